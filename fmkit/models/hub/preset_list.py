"""KerasHub's presets, and what Hugging Face calls the same models; KerasHub is not imported."""

import ast
import importlib.util
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fmkit.models.hub.families import IMAGE_BACKBONES, TEXT_BACKBONES


@dataclass(frozen=True)
class Preset:
    """A preset that fmkit can use: what it reads, its parameters, and a sentence about it."""

    modality: str
    parameters: int
    description: str


@cache
def presets() -> dict[str, Preset]:
    """By name, the presets of the backbones that fmkit can use, as KerasHub's source lists them."""
    modalities = {
        name.removesuffix("Backbone").replace("_", "").lower(): modality
        for modality, names in (("image", IMAGE_BACKBONES), ("text", TEXT_BACKBONES))
        for name in names
    }
    spec = importlib.util.find_spec("keras_hub")
    rows: dict[str, Preset] = {}
    for folder in (spec and spec.submodule_search_locations) or ():
        for file in sorted(Path(folder).glob("src/models/*/*_presets.py")):
            if modality := modalities.get(file.parent.name.replace("_", "")):
                rows |= _presets_in(file, modality)
    return rows


def _presets_in(file: Path, modality: str) -> dict[str, Preset]:
    """The literal tables of a source file, of which nothing is run."""
    rows = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        try:
            table = ast.literal_eval(node.value) if isinstance(node, ast.Assign) else None
        except ValueError:
            continue
        for name, entry in table.items() if isinstance(table, dict) else ():
            about = entry.get("metadata", {}) if isinstance(entry, dict) else {}
            text = " ".join(str(about.get("description", "")).split())
            rows[str(name)] = Preset(modality, int(about.get("params") or 0), text)
    return rows


HUGGING_FACE_NAMES: dict[str, str] = {
    "albert-base-v2": "albert_base_en_uncased",
    "albert-large-v2": "albert_large_en_uncased",
    "bert-base-cased": "bert_base_en",
    "bert-base-chinese": "bert_base_zh",
    "bert-base-multilingual-cased": "bert_base_multi",
    "bert-base-uncased": "bert_base_en_uncased",
    "bert-large-cased": "bert_large_en",
    "bert-large-uncased": "bert_large_en_uncased",
    "distilbert-base-cased": "distil_bert_base_en",
    "distilbert-base-multilingual-cased": "distil_bert_base_multi",
    "distilbert-base-uncased": "distil_bert_base_en_uncased",
    "facebook/bart-base": "bart_base_en",
    "facebook/bart-large": "bart_large_en",
    "facebook/deit-base-distilled-patch16-224": "deit_base_distilled_patch16_224_imagenet",
    "facebook/deit-small-distilled-patch16-224": "deit_small_distilled_patch16_224_imagenet",
    "facebook/deit-tiny-distilled-patch16-224": "deit_tiny_distilled_patch16_224_imagenet",
    "facebook/dinov2-base": "dinov2_base",
    "facebook/dinov2-large": "dinov2_large",
    "facebook/dinov2-small": "dinov2_small",
    "facebook/opt-125m": "opt_125m_en",
    "facebook/opt-1.3b": "opt_1.3b_en",
    "google/electra-base-discriminator": "electra_base_discriminator_uncased_en",
    "google/electra-large-discriminator": "electra_large_discriminator_uncased_en",
    "google/electra-small-discriminator": "electra_small_discriminator_uncased_en",
    "google/vit-base-patch16-224": "vit_base_patch16_224_imagenet",
    "google/vit-base-patch16-224-in21k": "vit_base_patch16_224_imagenet21k",
    "google/vit-base-patch16-384": "vit_base_patch16_384_imagenet",
    "google/vit-large-patch16-224": "vit_large_patch16_224_imagenet",
    "gpt2": "gpt2_base_en",
    "gpt2-large": "gpt2_large_en",
    "gpt2-medium": "gpt2_medium_en",
    "gpt2-xl": "gpt2_extra_large_en",
    "microsoft/deberta-v3-base": "deberta_v3_base_en",
    "microsoft/deberta-v3-large": "deberta_v3_large_en",
    "microsoft/deberta-v3-small": "deberta_v3_small_en",
    "microsoft/deberta-v3-xsmall": "deberta_v3_extra_small_en",
    "microsoft/mdeberta-v3-base": "deberta_v3_base_multi",
    "microsoft/resnet-18": "resnet_18_imagenet",
    "microsoft/resnet-50": "resnet_50_imagenet",
    "roberta-base": "roberta_base_en",
    "roberta-large": "roberta_large_en",
    "xlm-roberta-base": "xlm_roberta_base_multi",
    "xlm-roberta-large": "xlm_roberta_large_multi",
}
"""By Hugging Face's name, in lower case, the preset of the same model."""

_ORGANISATIONS = ("albert/", "distilbert/", "facebookai/", "google-bert/", "openai-community/")
"""What Hugging Face has put before names that had no such part."""

_OWN = {
    "sentence-transformers/all-minilm-l6-v2": "minilm",
    "all-minilm-l6-v2": "minilm",
    "huggingfacetb/smollm2-135m-instruct": "smollm2",
}
"""By Hugging Face's name, in lower case, the model of fmkit's."""

_ADDRESS = re.compile(r"[\w.-]+/[\w.-]+")


def settings_for(name: str, allowed: list[str]) -> list[str]:
    """The overrides for a model by a name of another tool's; none where it means nothing.

    Args:
        name: what was typed after `model=`, and is not a model of fmkit's.
        allowed: names of models.
    """
    lower = name.lower()
    for organisation in _ORGANISATIONS:
        lower = lower.removeprefix(organisation)
    plain = {_plain(other): other for other in allowed}
    if own := _OWN.get(lower) or plain.get(_plain(name)):
        return [f"model={own}"]
    preset = HUGGING_FACE_NAMES.get(lower, name)
    if preset not in presets():
        is_address = "://" in name or _ADDRESS.fullmatch(name) or Path(name).expanduser().is_dir()
        if not is_address:
            return []
        is_hub_name = _ADDRESS.fullmatch(name) and not Path(name).is_dir()
        preset = f"hf://{name}" if is_hub_name else name
    return ["model=hub", f"model.preset={preset}"]


def _plain(name: str) -> str:
    return re.sub(r"[-_. ]", "", name).lower()
