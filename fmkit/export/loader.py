"""The text of `load.py` and README.md, which stand beside each exported model."""

from typing import Any

from fmkit.config.registry import Export
from fmkit.export.formats import LOADER, Format
from fmkit.export.inputs import DeployedInput

_LOADER = '''\
"""Runs this model. Needs: pip install {install}

    python {name} {argument} ...
"""

import json
import sys
from pathlib import Path

{imports}

FOLDER = Path(__file__).parent
METADATA = json.loads((FOLDER / "metadata.json").read_text(encoding="utf-8"))


def load():
    """The model as a function, from the array of its input to results by name."""
{loads}
    return lambda array: run({{"{input}": np.asarray(array, np.{dtype})}})


{reader}

def describe(row):
    """A result in words."""
{describe}

if __name__ == "__main__":
    predict, batch = load(), METADATA["inputs"][0]["shape"][0]
    for name in sys.argv[1:]:
        rows = predict(read([name] * (batch if batch != "batch" else 1)))["{output}"]
        print(name, describe(rows[0]), sep="\\t")
'''
_DESCRIBE = {
    "class": """\
    return f"{METADATA['names'][row.argmax()]} {row.max():.4f}"
""",
    "tags": """\
    return " ".join(METADATA["names"][number] for number in row.argmax(axis=-1))
""",
    "labels": """\
    names = [name for name, share in zip(METADATA["names"], row) if share >= METADATA["threshold"]]
    return ", ".join(names) or "(none)"
""",
}
"""By `Export.answers`."""
_NUMBERS = """\
    return ", ".join(f"{name} {value:.6g}" for name, value in zip(METADATA["names"], row))
"""
_ARRAY = """\
    return f"{row.shape}, the first {row.ravel()[:4]}"
"""
_NO_READER = """\
def read(inputs):
    raise SystemExit("This file does not make the input: metadata.json says what it is.")
"""
_README = """\
# {title} of run {run}

{task}, {model}, exported by fmkit {fmkit}.

| | name | shape | |
| --- | --- | --- | --- |
| input | `{input}` | {input_shape} {input_dtype} | {input_phrase} |
| result | `{output}` | {output_shape} {output_dtype} | {output_phrase} |

`metadata.json` has the names in the order of the result, how inputs are prepared, and where the
weights came from{licence}.

```sh
pip install {install}
python {loader} {argument}
```

```python
import load  # {loader}, in this folder

predict = load.load()
result = predict(load.read(["{argument}"]))["{output}"]
```

Compared on {examples} examples ({split}) by {runtime} with the run itself, the results differ by at
most {max_abs:.1e}{agreement}: `parity.json`.
"""


def loader(format: Format, source: DeployedInput, reader: str, dtype: str, row: Export) -> str:
    """The code of `load.py`.

    Args:
        format: of the export.
        source: the modality's input.
        reader: the code of `read`; empty where there is none.
        dtype: of the input.
        row: what the task's model returns.
    """
    lines = ["import numpy as np", *format.imports.splitlines()]
    lines += [source.imports] if reader else []
    lines.sort(key=lambda line: line.split()[1].lower())
    numbers = _NUMBERS if row.has_names else _ARRAY
    return _LOADER.format(
        install=packages(format, source, reader), name=LOADER, argument=source.argument,
        imports="\n".join(lines), loads=format.loads, input=source.name, dtype=dtype,
        reader=reader or _NO_READER, describe=_DESCRIBE.get(row.answers, numbers),
        output=row.output,
    )  # fmt: skip


def packages(format: Format, source: DeployedInput, reader: str) -> str:
    """The distributions that a user of the file installs."""
    return " ".join(["numpy", *format.install.split(), *([source.install] if reader else [])])


def readme(
    format: Format, source: DeployedInput, install: str, metadata: dict[str, Any],
    record: dict[str, Any],
) -> str:  # fmt: skip
    """The README: signature, how to run it, how far it can be trusted.

    Args:
        format: of the export.
        source: the modality's input.
        install: what `packages` gives.
        metadata: what metadata.json has.
        record: what parity.json has.
    """
    (given,), (result,) = metadata["inputs"], metadata["outputs"]
    (runtime,) = (" ".join(pair) for pair in record["runtime"].items())
    agreement, licence = record["agreement"], metadata["weights"]["licence"]
    return _README.format(
        title=format.title, install=install, loader=LOADER, argument=source.argument,
        licence=f" ({licence})" if licence else "",
        input=given["name"], input_shape=_shape(given), input_dtype=given["dtype"],
        input_phrase=source.phrase, output=result["name"], output_shape=_shape(result),
        output_dtype=result["dtype"], output_phrase=result["is"], runtime=runtime,
        agreement="" if agreement is None else f", and {agreement:.2%} of the answers are the same",
        **{key: metadata[key] for key in ("run", "task", "model", "fmkit")},
        **{key: record[key] for key in ("examples", "split", "max_abs")},
    )  # fmt: skip


def _shape(tensor: dict[str, Any]) -> str:
    return " x ".join(map(str, tensor["shape"]))
