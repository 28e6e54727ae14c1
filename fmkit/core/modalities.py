"""The modalities: what an example can be (an image, a text), and all code that depends on it, a row
each.

Everything else asks the row, by `spec.modality` or `content.modality`, and never compares names of
modalities. Code is named by `module:name` and imported only when it is called. A plugin file adds
rows by a table `MODALITIES`, an installed package by entry points in the group `fmkit.modalities`.
"""

from dataclasses import dataclass

from fmkit.core import registry
from fmkit.core.errors import ConfigError, received
from fmkit.core.registry import Code


@dataclass(frozen=True)
class ModalityEntry:
    """What examples consist of; code is empty where a modality has none.

    Attributes:
        noun: one example, in messages.
        plural: several examples.
        models: models for it, as a message names them.
        feature_model: the pretrained model whose features describe examples where none is named;
            empty where there is none.
        open_loader: `(Examples, task, backbone, DataConfig, RuntimeConfig) -> Loader`.
        input_size: the attribute of a backbone that says how large its inputs are, such as
            `image_size`; a run's record has it.
        input_phrase: that size in words, with `{}` for the number.
        record_key: the key in a run's record for what its loader holds.
        has_tokenizer: whether models read tokens of texts, so that a run keeps a tokenizer, a
            vocabulary can be trained on the data, and a model may generate text.
        checks: `(Examples, DataConfig, cache folder, progress) -> ContentScan`, which reads all
            examples before training; empty where nothing is checked.
        thumbnail: `(Content, index, side) -> PIL image`; empty where examples cannot be drawn.
        deployed_input: `(the network's input tensor, DataConfig) -> (input, tensor)`: the input of
            a deployed model, and what the network reads of it; empty where they are the same.
        export_input: a `fmkit.export.inputs.DeployedInput`, the input of exported models; empty
            where they are not exported.
        read_inputs: `(PredictConfig, DataConfig of the run) -> inputs` of `fmkit predict`, which
            have a length.
        values_to_inputs: `(values, DataConfig of the run) -> inputs` of `run.predict` in Python.
        examples_to_inputs: `(Examples) -> inputs` of the same kind.
        predict: `(LoadedRun, inputs, batch size) -> (columns, a message per unreadable input)`.
        outputs: `(LoadedRun, Inference, inputs, batch size) -> (arrays, a message per input)`: each
            output of a network for inputs, (N, K), with rows of NaN where the message is not empty.
        corruptions: by name what `fmkit eval` tests robustness with, a table of functions
            `(inputs, severity 1 to 5, NumPy generator) -> inputs`; empty where there are none.
        corrupted_passes: `(EvaluationInputs, names, open_loader)` -> name, severity and
            EvaluationInputs of each evaluation of corrupted examples.
        predicts_features: a run without labels predicts features, rather than being refused.
        share_errors: how many standard errors the validation loss of a share of fine-tuning may be
            above the lowest one (`train/interpolation.py`): the more, the better few examples of
            the kind are known to do by fine-tuning.
        has_head_temperature: `stage.PHASE.head_temperature=auto` divides the logits of solved heads
            (`train/head_temperature.py`).
    """

    noun: str
    plural: str
    models: str = ""
    feature_model: str = ""
    open_loader: Code = ""
    input_size: str = ""
    input_phrase: str = ""
    record_key: str = ""
    has_tokenizer: bool = False
    checks: Code = ""
    thumbnail: Code = ""
    deployed_input: Code = ""
    export_input: Code = ""
    read_inputs: Code = ""
    values_to_inputs: Code = ""
    examples_to_inputs: Code = ""
    predict: Code = ""
    outputs: Code = ""
    corruptions: Code = ""
    corrupted_passes: Code = ""
    predicts_features: bool = False
    share_errors: int = 1
    has_head_temperature: bool = False


MODALITIES: dict[str, ModalityEntry] = {
    "image": ModalityEntry(
        noun="image",
        plural="images",
        models="such as model=efficientnet_lite0",
        feature_model="efficientnet_lite0",
        open_loader="fmkit.data.loaders.image_loader:open_loader",
        input_size="image_size",
        input_phrase="at {0} x {0}",
        record_key="images",
        checks="fmkit.data.quality.image_scan:check",
        thumbnail="fmkit.data.images.decode:thumbnail",
        deployed_input="fmkit.models.vision.preprocessing:deployed_input",
        export_input="fmkit.export.photos:PHOTOS",
        read_inputs="fmkit.data.predict_photos:read_photos",
        values_to_inputs="fmkit.data.predict_photos:photos_from_values",
        examples_to_inputs="fmkit.data.predict_photos:photos_of_examples",
        predict="fmkit.evaluation.predict:predict_photos",
        outputs="fmkit.evaluation.new_inputs:photo_outputs",
        corruptions="fmkit.evaluation.robustness.corruptions:OF_IMAGES",
        corrupted_passes="fmkit.evaluation.robustness.evaluate:passes_over_images",
        predicts_features=True,
        share_errors=2,
    ),
    "text": ModalityEntry(
        noun="text",
        plural="texts",
        models="model=minilm, model=small_bert, or model=hub with model.preset",
        feature_model="minilm",
        open_loader="fmkit.data.loaders.text_loader:open_loader",
        input_size="max_length",
        input_phrase="on texts of up to {} tokens",
        record_key="texts",
        has_tokenizer=True,
        checks="fmkit.data.quality.document_checks:check",
        export_input="fmkit.export.texts:TEXTS",
        read_inputs="fmkit.data.predict_inputs:read_texts",
        values_to_inputs="fmkit.data.predict_inputs:texts_from_values",
        examples_to_inputs="fmkit.data.predict_inputs:texts_of_examples",
        predict="fmkit.evaluation.predict:predict_texts",
        outputs="fmkit.evaluation.new_inputs:text_outputs",
        corruptions="fmkit.evaluation.robustness.corruptions:OF_TEXTS",
        corrupted_passes="fmkit.evaluation.robustness.evaluate:passes_over_texts",
        share_errors=0,
        has_head_temperature=True,
    ),
}
"""By modality."""


def names() -> list[str]:
    """Every modality, plugins' included."""
    return registry.names("modalities", MODALITIES)


def modality_entry(name: str) -> ModalityEntry:
    """The row of a modality.

    Raises:
        ConfigError: there is no such modality, or a plugin's row is of another type.
    """
    entry = registry.find("modalities", name, MODALITIES)
    if not isinstance(entry, ModalityEntry):
        raise ConfigError(received(f"plugin {name} of modalities", entry, "a ModalityEntry"))
    return entry
