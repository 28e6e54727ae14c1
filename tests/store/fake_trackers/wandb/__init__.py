"""wandb as far as fmkit uses it: it adds what it is told to the file $FAKE_TRACKER, a line each."""

import json
import os
from pathlib import Path
from types import SimpleNamespace


def tell(**event):
    with Path(os.environ["FAKE_TRACKER"]).open("a") as stream:
        stream.write(json.dumps(event) + "\n")


class Settings(SimpleNamespace):
    pass


class Run:
    def __init__(self, identity, mode, folder):
        self.id, self.offline = identity, mode == "offline"
        self.url = None if self.offline else f"https://wandb.example/{identity}"
        self.settings = Settings(sync_dir=f"{folder}/wandb/offline-run-{identity}")
        self.summary = SimpleNamespace(update=lambda values: tell(summary=values))

    def define_metric(self, name, **options):
        tell(metric=name, **options)

    def log(self, row, step):
        tell(row=row, step=step)

    def save(self, path, base_path, policy):
        tell(file=Path(path).relative_to(base_path).as_posix(), policy=policy)

    def log_artifact(self, artifact):
        tell(artifact=artifact.files)

    def finish(self, exit_code):
        tell(exit_code=exit_code)


class Artifact:
    def __init__(self, name, type):
        self.files = []

    def add_file(self, path, name):
        self.files.append(name)


def init(settings, **options):
    tell(init=options, settings=vars(settings))
    return Run(options["id"], options["mode"] or os.environ.get("WANDB_MODE"), options["dir"])
