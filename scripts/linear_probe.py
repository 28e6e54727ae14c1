"""Logistic regression on a frozen backbone's features: the figure that fine-tuning has to beat.

    python scripts/linear_probe.py data=image_folder data.root=DIR model.image_size=160

Takes the overrides of `fmkit finetune` and makes the same splits. C is chosen on the validation
split; the features are the pooled ones that the head gets, standardised.
"""

import sys

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fmkit.config import command_line
from fmkit.config.preflight import check
from fmkit.data import dataset
from fmkit.data.sources import registry as source_registry
from fmkit.models import heads
from fmkit.models import registry as model_registry
from fmkit.tasks import registry as task_registry
from fmkit.train import build_model, devices


def main() -> None:
    names = {
        "model.name": model_registry.names(),
        "data.name": source_registry.names(),
        "task.name": task_registry.names(),
    }
    config = check(command_line.parse("finetune", sys.argv[1:]), names)
    seed = config.data.split_seed
    data = dataset.read(config.data, config.runtime.seed if seed is None else seed)
    devices.prepare(config.runtime)
    config.model.image_size = build_model.image_size(config.model, data.examples)
    backbone = model_registry.build(config.model)
    pooled = heads.pool(backbone, config.model.pooling)
    network = keras.Model(backbone.model.input, pooled)
    task = task_registry.build(config.task, data.spec)
    loader = build_model.open_loader(
        config.data, config.runtime, data.examples, task, backbone.image_size
    )
    features = {
        split: network.predict(loader.ordered(indices), verbose=0)
        for split, indices in data.splits.items()
    }
    labels = {split: data.examples.labels[indices] for split, indices in data.splits.items()}
    scores = {}
    for strength in np.logspace(-4, 1, 11):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))
        probe.fit(features["train"], labels["train"])
        scores[strength] = [probe.score(features[each], labels[each]) for each in ("val", "test")]
    best = max(scores, key=lambda strength: scores[strength][0])
    val, test = scores[best]
    print(f"linear probe: C {best:.2g}, val {val:.4f}, test {test:.4f}")


if __name__ == "__main__":
    main()
