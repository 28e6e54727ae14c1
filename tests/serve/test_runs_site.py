"""The local page over all runs: who gets an answer, what is in it, and that nothing is written."""

import http.client
import json
import os
import re
import shutil
import socket
import threading
import time
from html import unescape

import pytest
from hostile_run import CLASSES
from html_content import tables, text_of
from kept_runs import kept_run

from fmkit.cli import main
from fmkit.core.errors import ConfigError
from fmkit.report import page
from fmkit.serve import local_http, metric_rows, runs_pages
from fmkit.serve.runs_site import RunsSite

TOKEN = "a-token"  # noqa: S105 - of a test
IMAGES = "finetune/images"


def row(step, **more):
    return {"phase": "head", "epoch": step, "step": step, "loss": 1 / step, **more}


def make(root, identity, day, **status):
    folder = root / identity
    folder.mkdir(parents=True)
    content = {"state": "done", "started": f"2026-01-{day:02d}T00:00:00+00:00", **status}
    (folder / "status.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A finished run with an evaluation, one that is running, a hostile one, and 120 more."""
    whole = kept_run("images", tmp_path_factory.mktemp("images"))
    root = tmp_path_factory.mktemp("served") / "runs"
    shutil.copytree(whole, root / IMAGES)
    live = make(root, "finetune/live", 2, state="running", pid=os.getpid(), name="live one",
                host=socket.gethostname(), epoch=3, step=30)  # fmt: skip
    (live / "metrics.jsonl").write_text("".join(f"{json.dumps(row(k))}\n" for k in (1, 2, 3)))
    make(root, "pretrain/hostile", 3, name=CLASSES[0], model='"><img src=x onerror=alert(1)>')
    for number in range(120):
        make(root, f"pretrain/{number:03d}", 4, test={"accuracy": number / 120}, model="minilm")
    return root


@pytest.fixture(scope="module")
def server(root):
    server = local_http.open_server(None, 0, TOKEN, RunsSite(root, TOKEN))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def get(server):
    """Ask for a path below the token, or a whole one: (status, headers, text)."""

    def ask(path="", host=None, method="GET"):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
        whole = path if path.startswith("/") else f"/{TOKEN}/{path}"
        connection.putrequest(method, whole, skip_host=True)
        for name in [server.hosts[0]] if host is None else host:
            connection.putheader("Host", name)
        connection.endheaders()
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, answer.headers, text

    return ask


def rows_of(text):
    (table,) = tables(text).values()
    return [[cell.strip() for cell in row] for row in table]


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/", None), ("/wrong/", None), ("/a-toke/", None), (f"/{TOKEN}x/", None),
        (f"/{TOKEN}", None), (f"/x/../{TOKEN}/", None),
        ("", ["evil.example:80"]), ("", ["127.0.0.1"]), ("", []), ("", ["127.0.0.1:1", "x"]),
    ],
    ids=str,
)  # fmt: skip
def test_who_does_not_know_the_address_learns_nothing(get, path, host):
    status, headers, text = get(path, host)
    assert status in (403, 404)
    assert "run" not in text.replace("running", "")
    assert "Access-Control-Allow-Origin" not in headers


def test_localhost_is_this_machine_too(get, server):
    assert get("", [server.hosts[1]])[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_but_reading(get, method):
    assert get("", method=method)[0] == 501
    assert get("", method="HEAD")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "run/..%2F..%2Fetc", "report/../../../etc/passwd", "report/finetune/images/../live",
        "metrics/%2Fetc%2Fpasswd", "report/finetune/images/report.html", "run/nothing", "run/%FF",
        "nothing", "static/page.js", "run/finetune/images%00",
    ],
)  # fmt: skip
def test_a_path_leads_to_runs_alone(get, path):
    status, _, text = get(path)
    assert status == 404
    assert "root:" not in text


def test_pages_allow_nothing_from_anywhere(get):
    for path in ("", "run/finetune/live", "nothing"):
        _, headers, text = get(path)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "frame-ancestors 'none'" in policy
        assert "'unsafe-inline'" not in policy.replace("style-src 'unsafe-inline'", "")
        assert unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]) in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_the_list_has_pages_and_an_order(get):
    text = get()[2]
    rows = rows_of(text)
    assert len(rows) == runs_pages.ROWS
    assert "123 runs in" in text_of(text)
    assert len(rows_of(get("?page=2")[2])) == 23
    rows = rows_of(get("?sort=-test.accuracy")[2])
    assert [row[2] for row in rows[:2]] == ["0.99167", "0.98333"]
    rows = rows_of(get("?q=test.accuracy%3E0.95+model%3Dminilm&columns=model,test.accuracy")[2])
    assert [row[2:4] for row in rows] == [["minilm", f"{k / 120:.5g}"] for k in range(119, 114, -1)]


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("q=test.acuracy%3E0.9", "Did you mean test.accuracy"),
        ("q=nonsense", "no operator"),
        ("q=name%3D%27x", "quote"),
        ("sort=-nothing_like", "nothing_like"),
        ("page=0", "1 or more"),
        ("page=x", "1 or more"),
    ],
)
def test_a_wrong_condition_is_said_on_the_page(get, query, part):
    assert part in text_of(get(f"?{query}")[2])


def test_hostile_names_are_text(get):
    for path in ("?q=id%3Dhostile", "run/pretrain/hostile"):
        text = get(path)[2]
        assert "<script>alert" not in text
        assert "<img" not in text
        assert CLASSES[0] in text_of(text)


def test_metrics_come_by_and_by(get, root):
    path = root / "finetune" / "live" / "metrics.jsonl"
    before = path.read_bytes()
    first = json.loads(get("metrics/finetune/live")[2])
    assert [row["step"] for row in first["rows"]] == [1, 2, 3]
    assert first["state"] == "running"
    assert "epoch 3" in first["progress"]
    try:
        with path.open("a") as stream:
            stream.write(f'{json.dumps(row(4, val_loss=float("nan")))}\n{{"torn')
        second = json.loads(get(f"metrics/finetune/live?from={first['next']}")[2])
        assert [(row["step"], row["val_loss"]) for row in second["rows"]] == [(4, None)]
        again = json.loads(get(f"metrics/finetune/live?from={second['next']}")[2])
        assert (again["rows"], again["next"]) == ([], second["next"])
        path.write_bytes(before.split(b"\n")[0] + b"\n")  # resumed from a checkpoint
        restarted = json.loads(get(f"metrics/finetune/live?from={second['next']}")[2])
        assert restarted["restarted"]
        assert [row["step"] for row in restarted["rows"]] == [1]
    finally:
        path.write_bytes(before)
    assert get("metrics/finetune/live?from=-1")[0] == 400
    assert json.loads(get("metrics/pretrain/000")[2])["rows"] == []


def test_many_rows_come_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(metric_rows, "_AT_ONCE", 200)
    lines = [json.dumps(row(k)) for k in range(1, 30)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines[:3], "{damaged", *lines[3:], ""]))
    steps, answer = [], {"next": 0, "more": True}
    while answer["more"]:
        answer = metric_rows.read(tmp_path, answer["next"])
        steps += [row["step"] for row in answer["rows"]]
    assert steps == list(range(1, 30))


def test_a_report_of_another_person_runs_nothing(get, root):
    path = root / "pretrain" / "000" / "report.html"
    path.write_text("<script>alert(1)</script>")
    _, headers, text = get("report/pretrain/000")
    assert text == "<script>alert(1)</script>"
    policy = headers["Content-Security-Policy"]
    assert "sandbox allow-scripts" in policy
    assert "allow-same-origin" not in policy
    assert re.findall("script-src ([^;]*)", policy) == re.findall(
        "script-src ([^;]*)", page.policy()
    )
    path.unlink()


@pytest.mark.slow
def test_reports_and_comparisons_are_made_and_nothing_is_written(get, root):
    second = root / "finetune" / "second"
    shutil.copytree(root / IMAGES, second)
    before = sorted(path for path in root.rglob("*"))
    time.sleep(1.1)  # until the list is read again
    get()
    status, _, text = get(f"report/{IMAGES}")
    assert (status, "Training curves" in text) == (200, True)
    status, _, text = get(f"compare?run={IMAGES}&run=finetune/second")
    assert (status, "They agree on every example" in text_of(text)) == (200, True)
    assert get("compare?run=nothing")[0] == 400
    path = root / "pretrain" / "001" / "report.html"
    path.symlink_to("/etc/passwd")
    assert "root:" not in get("report/pretrain/001")[2]
    path.unlink()
    assert sorted(path for path in root.rglob("*")) == before
    shutil.rmtree(second)


def test_a_new_run_is_seen(get, root):
    make(root, "finetune/new", 28, name="brand new")
    deadline = time.monotonic() + 30
    while "brand new" not in get("?limit=1")[2] and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "brand new" in get()[2]
    shutil.rmtree(root / "finetune" / "new")


def test_a_port_that_is_taken(server, root, capsys):
    site = RunsSite(root, TOKEN)
    with pytest.raises(ConfigError, match="taken"):
        local_http.open_server(server.server_port, 0, TOKEN, site)
    with local_http.open_server(None, server.server_port, TOKEN, site) as other:
        assert other.server_port != server.server_port
        assert other.server_address[0] == "127.0.0.1"
    assert "is taken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["port=0"], "1 to 65535"), (["port=x"], "1 to 65535"), (["runs_dir=none"], "no folder"),
        (["--json"], "does not take --json"), (["x"], "no run"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_words(words, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "serve", *words]) == 2
    assert part in capsys.readouterr().err
