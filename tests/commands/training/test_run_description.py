"""What a run says of its model before the first step."""

from types import SimpleNamespace

import keras
import pytest

from fmkit.commands.training import run_description
from fmkit.config.schema.stage import PhaseConfig

HEAD, FULL = PhaseConfig(train="head"), PhaseConfig(train="all")
SCRATCH = PhaseConfig(train="all", batchnorm="train")


@pytest.mark.parametrize(
    ("stage", "with_batchnorm", "without"),
    [
        (
            {"head": HEAD, "full": FULL},
            "phase head keeps all or a part of it frozen and phase full keeps BatchNorm frozen",
            "phase head keeps all or a part of it frozen",
        ),
        ({"one": FULL, "two": FULL}, "phases one, two keep BatchNorm frozen", ""),
        ({"full": SCRATCH}, "", ""),
    ],
    ids=["lp_ft", "full", "scratch"],
)
def test_what_stays_random_is_said_of_what_the_backbone_has(stage, with_batchnorm, without):
    config = SimpleNamespace(stage=stage)
    for layer, expected in (
        (keras.layers.BatchNormalization(), with_batchnorm),
        (keras.layers.LayerNormalization(), without),
    ):
        block = SimpleNamespace(layers=[keras.layers.Dense(2), layer])
        assert run_description.frozen_parts(config, SimpleNamespace(blocks=[block])) == expected
