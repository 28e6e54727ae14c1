"""Logistic regression on a frozen backbone's features: the figure that fine-tuning has to beat.

    python scripts/linear_probe.py data=image_folder data.root=DIR model.image_size=160

Takes the overrides of `fmkit finetune` and makes the same splits. C is chosen on the validation
split; the features are the pooled ones that the head gets, standardised.
"""

import sys

import numpy as np
from quality import features
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def main() -> None:
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(__doc__)
        return
    splits = features.of_splits(sys.argv[1:])
    scores = {}
    for strength in np.logspace(-4, 1, 11):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=5000))
        probe.fit(*splits["train"])
        scores[strength] = [probe.score(*splits[name]) for name in ("val", "test")]
    best = max(scores, key=lambda strength: scores[strength][0])
    val, test = scores[best]
    print(f"linear probe: C {best:.2g}, val {val:.4f}, test {test:.4f}")


if __name__ == "__main__":
    main()
