"""MLflow's client as far as fmkit uses it: it keeps its records in the file $FAKE_TRACKER.

$FAKE_FAULT makes it fail as clients do: `gone`, `hang`, `crash`, `exit`, `secret`.
"""

import json
import os
import signal
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

from mlflow.exceptions import MlflowException

FILE = Path(os.environ["FAKE_TRACKER"])


def fail_if_told():
    fault = os.environ.get("FAKE_FAULT", "")
    if fault == "gone":
        raise ConnectionError("HTTPConnectionPool(host='127.0.0.1', port=1): refused\nmore")
    if fault == "secret":
        raise PermissionError(f"401: wrong password {os.environ['MLFLOW_TRACKING_PASSWORD']}")
    if fault == "hang":
        time.sleep(1000)
    if fault == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "exit":
        sys.exit(7)


class MlflowClient:
    def __init__(self, tracking_uri):
        print("a client that talks", tracking_uri)
        fail_if_told()
        self.store = {"experiments": {}, "runs": []}
        if FILE.exists():
            self.store = json.loads(FILE.read_text())
        self.store["uri"] = tracking_uri

    def save(self):
        FILE.with_suffix(".new").write_text(json.dumps(self.store))
        FILE.with_suffix(".new").replace(FILE)

    def run_of(self, identity):
        return next(row for row in self.store["runs"] if row["id"] == identity)

    def get_experiment_by_name(self, name):
        identity = self.store["experiments"].get(name)
        return None if identity is None else SimpleNamespace(experiment_id=identity)

    def create_experiment(self, name, artifact_location=None, tags=None):
        self.store["experiments"][name] = str(len(self.store["experiments"]) + 1)
        self.store["location"] = artifact_location
        self.save()
        return self.store["experiments"][name]

    def get_run(self, identity):
        if not any(row["id"] == identity for row in self.store["runs"]):
            raise MlflowException("RESOURCE_DOES_NOT_EXIST")
        return self.entity(self.run_of(identity))

    def entity(self, row):
        info = SimpleNamespace(
            run_id=row["id"], status=row["status"], experiment_id=row["experiment"],
            lifecycle_stage="active",
        )  # fmt: skip
        return SimpleNamespace(info=info, data=SimpleNamespace(
            params=row["params"], metrics={key: value for key, _, value in row["metrics"]},
        ))  # fmt: skip

    def search_runs(self, experiments, filter_string):
        tag, value = filter_string.removeprefix("tags.`").removesuffix("'").split("` = '")
        rows = [row for row in self.store["runs"] if row["tags"].get(tag) == value]
        return [self.entity(row) for row in rows if row["experiment"] in experiments]

    def create_run(self, experiment, start_time, tags, name):
        row = {"id": uuid.uuid4().hex, "experiment": experiment, "name": name,
               "tags": tags, "params": {}, "metrics": [], "files": [], "status": "RUNNING",
               "start": start_time, "end": None}  # fmt: skip
        self.store["runs"].append(row)
        self.save()
        return self.entity(row)

    def update_run(self, identity, status):
        self.run_of(identity)["status"] = status
        self.save()

    def set_terminated(self, identity, status="FINISHED", end_time=None):
        self.run_of(identity).update(status=status, end=end_time)
        self.save()

    def set_tag(self, identity, key, value):
        self.run_of(identity)["tags"][key] = value
        self.save()

    def log_batch(self, identity, metrics=(), params=(), tags=()):
        fail_if_told()
        assert len(metrics) <= 1000
        assert len(params) <= 100
        row = self.run_of(identity)
        for param in params:
            assert param.key not in row["params"], "params are immutable"
            row["params"][param.key] = param.value
        row["metrics"] += [[metric.key, metric.step, metric.value] for metric in metrics]
        row["tags"].update({tag.key: tag.value for tag in tags})
        self.save()

    def log_artifact(self, identity, path, folder=None):
        assert Path(path).is_file()
        self.run_of(identity)["files"].append(f"{folder}/" * bool(folder) + Path(path).name)
        self.save()
