"""Instruction tuning with LoRA through the real loop, with a small GPT and a small Llama."""

import dataclasses

import keras
import keras_hub
import numpy as np
import pytest
from small_runs import assembled, settings, train
from test_resume import assert_same, cut, go_on, snapshot

from fmkit.config.schema.data import ChatData
from fmkit.config.schema.model import ModelConfig
from fmkit.config.schema.stage import PhaseConfig
from fmkit.config.schema.task import InstructionConfig
from fmkit.core.errors import DataError
from fmkit.core.types import Message
from fmkit.data.content.texts import Conversations
from fmkit.data.examples import Examples
from fmkit.evaluation import load_run
from fmkit.models import lora as adapters
from fmkit.models import registry as model_registry
from fmkit.models.text.small import byte_tokenizer
from fmkit.models.text.token_input import chosen_length, text_backbone
from fmkit.store.run_reader import RunReader
from fmkit.train import assemble, build_model


def small_llama(config):
    """As SmolLM2 is built: a Llama with tied embeddings, here of two layers, a token a byte."""
    tokenizer = byte_tokenizer("causal")
    inner = keras_hub.models.LlamaBackbone(
        tokenizer.size, 2, 4, 32, 64, 2, tie_word_embeddings=True, name="small_llama"
    )
    return text_backbone(config, inner, tokenizer, chosen_length(config, None), is_causal=True)


def talks(count=40):
    """Numbers, each answered in the same form."""
    said = [(Message("user", f"{each}?"), Message("assistant", f"is {each}")) for each in
            range(count)]  # fmt: skip
    return Examples(
        ids=tuple(f"talk-{each:03d}" for each in range(count)),
        labels=np.zeros(count, np.int32),
        classes=(),
        content=Conversations(tuple(said)),
        splits=np.where(np.arange(count) % 5 == 4, "val", "train"),
    )


def instruction_settings(name):
    stage = {"adapters": PhaseConfig(train="lora", epochs="4", learning_rate=0.02)}
    config = settings(stage, runtime_save_every="1 steps", runtime_keep=99)
    config.task = InstructionConfig()
    config.data = ChatData(root="unread", batch_size=8)
    config.model = ModelConfig(name, "none", max_length=48, lora_rank=4)
    return config


@pytest.fixture(scope="module", params=["small_gpt", "small_llama"])
def lora(request, tmp_path_factory):
    models = {**model_registry.MODELS, "small_llama": small_llama}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(model_registry, "MODELS", models)
        config = instruction_settings(request.param)
        done = train(tmp_path_factory.mktemp("lora"), config, talks())
        done.run.write_config(assemble.resolved_config(config, done.assembly, 0))
        done.run.write_environment(data=done.assembly.spec.as_dict())
        done.assembly.backbone.tokenizer.save(_empty(done.run.folder / "tokenizer"))
        yield done


def _empty(folder):
    folder.mkdir()
    return folder


def logits(model):
    tokens = np.random.default_rng(0).integers(4, 260, (2, 16)).astype(np.int32)
    tokens[1, 11:] = -1
    return keras.ops.convert_to_numpy(model(tokens))


def test_the_loss_of_held_out_answers_falls_and_only_adapters_move(lora):
    losses = [row["val_loss"] for row in lora.rows]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]
    first, last = lora.saved(1), lora.saved()
    moved = {path for path, value in last.items() if value.tobytes() != first[path].tobytes()}
    assert moved
    assert moved == {path for path in last if adapters.is_adapter_path(path)}


def test_a_resumed_run_is_equal_bit_for_bit(lora, tmp_path):
    expected = snapshot(lora)
    assert expected[2]["step"] == 16
    assert_same(go_on(cut(lora, 6, tmp_path), lora.assembly), expected)


def test_merged_saved_and_loaded_it_gives_the_same_logits(lora, tmp_path):
    expected = logits(lora.assembly.model)
    found = load_run.load(RunReader(lora.run.folder), lora.assembly.config.runtime)
    assert not adapters.adapted_layers(found.model)
    np.testing.assert_allclose(logits(found.model), expected, atol=1e-5)
    assert found.task.chat_template.name == "plain"
    deployed = build_model.inference_model(
        found.model, found.task, lora.assembly.config.data, lora.assembly.backbone.modality
    )
    deployed.save(tmp_path / "model.keras")
    deployed = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(logits(deployed), expected, atol=1e-5)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_of_which_no_answer_is_left_is_told_before_anything_trains(split):
    examples = talks(10)
    long = [
        (Message("user", "x" * 60), each[1]) if examples.splits[at] == split else each
        for at, each in enumerate(examples.content.conversations)
    ]
    cut_off = dataclasses.replace(examples, content=Conversations(tuple(long)))
    with pytest.raises(DataError, match=rf"examples of {split} leaves anything .*max_length=48"):
        assembled(instruction_settings("small_gpt"), cut_off)
