"""What `recipe=auto` chooses, over data sets from a few photos to millions."""

import dataclasses
import itertools

import pytest

from fmkit.config import auto_recipe, rules, units
from fmkit.config.auto_recipe import RunFacts
from fmkit.config.recipe_speed import Speed
from fmkit.config.schema.commands import TrainConfig
from fmkit.config.schema.data import PackagedData
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.optimizer import AdamConfig
from fmkit.config.schema.runtime import RuntimeConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import ClassificationConfig

SIZES = (10, 20, 60, 100, 300, 499, 500, 640, 1_555, 2_000, 5_000, 19_999, 20_000, 100_000,
         499_999, 500_000, 3_000_000)  # fmt: skip
SOLAR_CELLS = RunFacts(
    examples=1_555,
    classes=2,
    side=300,
    own_size=224,
    pretrained=True,
    device="cpu",
    cores=2,
    lengths={"head": "4", "full": "4"},
    is_solvable=True,
    batch_size=32,
    learning_rate=3e-3,
)
CLOTHES = dataclasses.replace(SOLAR_CELLS, examples=2_000, classes=10, side=28)
TEXTS = dataclasses.replace(CLOTHES, has_tokenizer=True, can_augment=False, side=None)


MINUTE = Speed(seconds=60.0, forward=0.005, side=224)


def chosen(facts=SOLAR_CELLS, by_user=(), **changes):
    """By key, the values that apply."""
    found = auto_recipe.choose(dataclasses.replace(facts, **changes), by_user)
    return {each.key: each.value for each in found if not each.by_user}


def steps(facts, phase="full"):
    """Updates of a phase, as the loop counts them."""
    length = units.parse_duration(chosen(facts)[f"stage.{phase}.epochs"], "epochs")
    return length.steps(facts.steps_per_epoch)


def config(**phases):
    return TrainConfig(
        model=ModelConfig(name="efficientnet_lite0"),
        data=PackagedData(name="mnist5k"),
        optimizer=AdamConfig(name="adamw", learning_rate=3e-3, weight_decay=0.01),
        stage=phases or {"head": PhaseConfig(train="head", epochs="4"), "full": PhaseConfig()},
        task=ClassificationConfig(),
        runtime=RuntimeConfig(),
    )


def test_solar_cells_on_two_cores():
    assert chosen() == {
        "data.batch_size": 32,
        "model.image_size": 224,
        "data.augment": "light",
        "optimizer.learning_rate": 3e-3,
        "optimizer.warmup": "10%",
        "stage.head.augment": "none",
        "stage.head.solver": "lbfgs",
        "stage.head.epochs": "6",  # 294 updates
        "stage.full.epochs": "10",  # 490
        "stage.full.learning_rate": 3e-4,
        "stage.full.batchnorm": "frozen",
        "optimizer.ema": 0.99,
    }


def test_a_head_is_solved_where_it_can_be():
    assert "stage.head.solver" not in chosen(is_solvable=False)
    assert "stage.head.solver" not in chosen(examples=20_000)
    assert chosen(lengths={"head": "10"})["stage.head.solver"] == "lbfgs"
    for examples, validation in ((499, 0), (2_000, 499), (20_000, 400)):
        few = chosen(examples=examples, validation=validation)
        assert few["stage.head.solver"] == "cross_validation"
    assert "stage.head.solver" not in chosen(is_solvable=False, validation=10)
    assert "stage.head.solver" not in chosen(lengths={"full": "10"})


def test_small_images_are_enlarged_and_more_so_by_a_fast_machine():
    assert chosen(CLOTHES)["model.image_size"] == 80
    assert chosen(CLOTHES, cores=16)["model.image_size"] == 112
    assert chosen(CLOTHES, device="gpu")["model.image_size"] == 112
    assert chosen(CLOTHES, side=32, device="gpu")["model.image_size"] == 128
    for side in range(1, 400):
        size = chosen(CLOTHES, side=side)["model.image_size"]
        assert 32 <= size <= 224
        assert size >= min(224, 2 * side - 8)  # a multiple of 16, the nearest
    assert "model.image_size" not in chosen(CLOTHES, side=None)
    assert "model.image_size" not in chosen(CLOTHES, own_size=None)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
@pytest.mark.parametrize(
    ("pretrained", "most", "most_epochs"), [(True, 20_000, 40), (False, 100_000, 100)]
)
def test_training_grows_with_the_data_within_bounds(device, pretrained, most, most_epochs):
    before = 0
    for examples in SIZES:
        facts = dataclasses.replace(
            CLOTHES, examples=examples, classes=1, device=device, pretrained=pretrained
        )
        facts = dataclasses.replace(facts, batch_size=chosen(facts)["data.batch_size"])
        assert facts.full_updates * facts.batch_size >= before
        before = facts.full_updates * facts.batch_size
        assert facts.full_updates <= min(most, most_epochs * facts.steps_per_epoch)
        assert steps(facts) == pytest.approx(
            facts.full_updates, abs=facts.steps_per_epoch / 2
        )  # whole epochs


def test_more_than_an_epoch_can_be_too_much():
    assert chosen(examples=3_000_000)["stage.full.epochs"] == "20000 steps"


def test_a_run_on_two_cores_costs_some_two_to_three_times_the_default():
    # A frozen pass costs about a third of a training pass; the default is 4 and 4 epochs.
    for facts, default_size in ((SOLAR_CELLS, 224), (CLOTHES, 56)):
        values = chosen(facts)
        passes = int(values["stage.head.epochs"]) + 3 * int(values["stage.full.epochs"])
        pixels = (values["model.image_size"] / default_size) ** 2
        assert passes / (4 + 3 * 4) * pixels < 4


def test_few_examples_a_class_keep_the_backbone_frozen():
    tiny = chosen(CLOTHES, examples=49)
    assert tiny["stage.full"] is None
    assert not [key for key in tiny if key.startswith("stage.full.")]
    assert tiny["stage.head.epochs"] == "100"  # the most
    enough = chosen(CLOTHES, examples=50)
    assert "stage.full" not in enough
    assert "stage.full.epochs" in enough


def test_few_texts_train_for_less_time_and_at_a_lower_rate_than_as_many_photos():
    few = dataclasses.replace(TEXTS, examples=160, classes=20)
    assert "stage.full" not in chosen(few)
    assert chosen(few)["stage.full.epochs"] == "6"  # 60 updates of 16
    assert chosen(few)["stage.full.learning_rate"] == 1e-4
    assert chosen(few, examples=64, classes=8)["stage.full.epochs"] == "15"
    for other in ({"has_tokenizer": False}, {"is_classification": False}, {"examples": 500}):
        assert int(chosen(few, **other)["stage.full.epochs"]) > 15
        assert chosen(few, **other)["stage.full.learning_rate"] >= 2.1e-4
    assert chosen(few, examples=99)["stage.full"] is None  # fewer than five a class
    assert chosen(few, pretrained=False)["stage.full.epochs"] == "100"


def test_pretraining_a_head_stays_that():
    values = chosen(lengths={"head": "10"})
    assert int(values["stage.head.epochs"]) >= 10
    assert not [key for key in values if key.startswith("stage.full")]


def test_a_random_backbone_learns_whole_and_at_the_full_rate():
    values = chosen(pretrained=False)
    assert values["stage.head"] is None
    assert "stage.head.epochs" not in values
    assert values["stage.full.batchnorm"] == "train"
    assert values["stage.full.learning_rate"] == values["optimizer.learning_rate"]
    assert int(values["stage.full.epochs"]) * 49 == pytest.approx(2_000, abs=49)
    # With one phase there is nothing to leave out.
    assert "stage.head" not in chosen(pretrained=False, lengths={"head": "10"})


def test_mixing_and_smoothing_are_for_large_sets():
    few, many, most = (
        chosen(CLOTHES, examples=each, device="gpu") for each in (2_000, 20_000, 500_000)
    )
    assert [each["data.augment"] for each in (few, many, most)] == ["light", "medium", "strong"]
    assert "task.label_smoothing" not in few
    assert many["task.label_smoothing"] == 0.1
    other = chosen(CLOTHES, examples=500_000, device="gpu", is_classification=False)
    assert other["data.augment"] == "medium"  # there is nothing to mix and to smooth
    assert "task.label_smoothing" not in other
    assert chosen(CLOTHES, examples=500_000)["data.augment"] == "light"  # a CPU has no time for it
    assert chosen(CLOTHES, examples=499)["data.augment"] == "medium"
    assert chosen(examples=499, lengths={"head": "10"})["data.augment"] == "light"
    assert (few["stage.full.batchnorm"], many["stage.full.batchnorm"]) == ("frozen", "train")


def test_the_rate_goes_with_the_root_of_the_batch():
    assert chosen(examples=400)["optimizer.learning_rate"] == pytest.approx(3e-3 / 2**0.5, rel=0.02)
    on_gpu = chosen(examples=50_000, device="gpu")
    assert on_gpu["data.batch_size"] == 128
    assert on_gpu["optimizer.learning_rate"] == pytest.approx(6e-3)
    assert on_gpu["stage.full.learning_rate"] == pytest.approx(6e-4)
    theirs = chosen(by_user={"data.batch_size"}, batch_size=8)
    assert theirs["optimizer.learning_rate"] == pytest.approx(1.5e-3)
    assert theirs["stage.full.batchnorm"] == "frozen"


@pytest.mark.parametrize("key", sorted({each.key for each in auto_recipe.RULES}))
def test_the_user_wins(key):
    for facts in (CLOTHES, dataclasses.replace(CLOTHES, examples=30),
                  dataclasses.replace(CLOTHES, pretrained=False),
                  dataclasses.replace(CLOTHES, examples=10**6)):  # fmt: skip
        assert key not in chosen(facts, {key})
        if key.startswith("stage."):
            assert key not in chosen(facts, {"stage"})
            assert key not in chosen(facts, {".".join(key.split(".")[:2])})


def test_the_users_values_are_what_later_choices_go_by():
    assert chosen(by_user={"optimizer.learning_rate"}, learning_rate=1e-3)[
        "stage.full.learning_rate"
    ] == pytest.approx(1e-4)
    short = {"head": "4", "full": "2"}
    assert "optimizer.ema" not in chosen(by_user={"stage.full.epochs"}, lengths=short)
    # Whoever sets something of a phase wants the phase.
    assert "stage.full" not in chosen(CLOTHES, {"stage.full.epochs"}, examples=30)


def test_every_rule_applies_somewhere_and_gives_allowed_values_with_a_reason(monkeypatch):
    used = set()

    def noted(rule):
        return dataclasses.replace(rule, value=lambda f: used.add(rule) or rule.value(f))

    all_rules = auto_recipe.RULES
    monkeypatch.setattr(auto_recipe, "RULES", [noted(each) for each in all_rules])
    for facts, examples, device, pretrained, speed in itertools.product(
        (SOLAR_CELLS, CLOTHES, TEXTS), SIZES, ("cpu", "gpu"), (True, False), (None, MINUTE)
    ):
        told = config()
        changed = dataclasses.replace(
            facts, examples=examples, device=device, pretrained=pretrained,
            has_mirrored_classes=pretrained, validation=examples // 5, speed=speed,
        )  # fmt: skip
        rows = auto_recipe.apply(told, auto_recipe.choose(changed, ()))
        assert not rules.problems(told, {})
        assert all(row["reason"] and "{" not in row["reason"] for row in rows)
    assert used == set(all_rules)


def test_applying_records_what_was_there_and_what_was_left():
    told = config()
    by_user = {"optimizer.learning_rate", "stage.head.epochs"}
    choices = auto_recipe.choose(dataclasses.replace(CLOTHES, examples=30), by_user)
    rows = {row["key"]: row for row in auto_recipe.apply(told, choices)}
    assert list(told.stage) == ["head"]
    assert rows["stage.full"]["before"]["epochs"] == "10"
    assert (told.data.batch_size, rows["data.batch_size"]["before"]) == (16, 32)
    assert told.optimizer.learning_rate == 3e-3
    assert rows["optimizer.learning_rate"]["applied"] is False
    lines = [auto_recipe.format_choice(row) for row in rows.values()]
    tiny = "3.0 examples a class, fewer than 5: the backbone stays frozen"
    assert f"stage.full left out ({tiny})" in lines
    assert "optimizer.learning_rate=0.003 kept, since it was set (the rule says 0.0021)" in lines


def seconds(facts, side, updates):
    """A plain count of what a run takes: the head's features, training, validation, and a refit."""
    forward = MINUTE.forward * (side / 224) ** 2
    passes = facts.examples + facts.validation
    for _ in range(2 if facts.validation < 500 else 1):
        passes += 3 * updates * facts.batch_size
    passes += updates / facts.steps_per_epoch * facts.validation
    return forward * passes


@pytest.mark.parametrize("minutes", [1, 2, 4, 8, 60])
@pytest.mark.parametrize("validation", [200, 800])
def test_under_a_time_limit_it_chooses_what_fits(minutes, validation):
    facts = dataclasses.replace(SOLAR_CELLS, validation=validation)
    limit = 60.0 * minutes
    usual, speed = chosen(facts), dataclasses.replace(MINUTE, seconds=limit)
    values = chosen(facts, speed=speed)
    side = values["model.image_size"]
    assert side % 16 == 0
    assert usual["model.image_size"] / 2 <= side <= usual["model.image_size"]
    enough, hardly_any = (facts.full_updates * share for share in (0.5, 0.25))
    if "stage.full" in values:
        assert seconds(facts, side, hardly_any) > limit
        return
    assert seconds(facts, side, hardly_any) <= limit
    assert seconds(facts, side, enough) <= limit or side == usual["model.image_size"] / 2
    assert values["stage.full.epochs"] == usual["stage.full.epochs"]  # the loop shortens it
    if side < usual["model.image_size"]:  # the next larger size had room for less than half
        assert seconds(facts, side + 16, enough) > limit
    if minutes == 60:
        assert values == usual


def test_what_the_user_chose_stays_under_a_time_limit():
    speed = dataclasses.replace(MINUTE, seconds=1.0)
    by_user = {"model.image_size", "stage.full.epochs"}
    values = chosen(by_user=by_user, speed=speed, image_size=224)
    assert not by_user & values.keys()
    assert "stage.full" not in values
    assert chosen(speed=speed)["stage.full"] is None
    assert "optimizer.ema" in chosen()
    few = dataclasses.replace(MINUTE, seconds=0.4 * 490 * 32 * 3 * MINUTE.forward)
    assert "optimizer.ema" not in chosen(image_size=224, by_user={"model.image_size"}, speed=few)
