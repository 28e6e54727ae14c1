"""T12: fifty starts in one instant get fifty folders; of several resumes exactly one wins."""

from __future__ import annotations

import time
from pathlib import Path

import yaml

from fmkit.core import fault_injection
from torture import moments, runs, zygote
from torture.suite import Result, Suite, cache

_RESUMES = 3


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _leave() -> None:
    """End a victim once its folder is claimed and its status is written."""
    raise KeyboardInterrupt


def _starts(suite: Suite, count: int) -> list[str]:
    """What is wrong, a text for each start; the claims are all made in one instant."""
    folder = suite.folder / "starts"
    instant = time.monotonic() + 4 + 1.2 * count

    def before() -> None:
        moments.at("fmkit.commands.train:claim", 1, lambda: _wait_until(instant))
        moments.at("fmkit.commands.training.training_run:train", 1, _leave)

    words = runs.RECIPES["plain"]
    victims = [
        zygote.fmkit([*words, f"runtime.seed={seed}"], folder, environment=cache(folder),
                     before=before, output=f"out-{seed}.txt")
        for seed in range(count)
    ]  # fmt: skip
    codes = [victim.wait(300) for victim in victims]
    found = sorted(folder.glob("runs/finetune/*/config.yaml"))
    configs = [yaml.safe_load(path.read_text()) for path in found]
    seeds = [config["runtime"]["seed"] for config in configs]
    failures = []
    for seed, code in enumerate(codes):
        if code != 130:
            failures.append(f"start {seed} ended with {code}: {victims[seed].text()[-200:]!r}")
        elif seeds.count(seed) != 1:
            failures.append(f"start {seed} has {seeds.count(seed)} folders of {len(found)}")
        else:
            failures.append(
                ""
                if _is_its_own(found[seeds.index(seed)].parent, seed)
                else f"start {seed}: mixed files"
            )
    return failures


def _is_its_own(run: Path, seed: int) -> bool:
    """Whether Hydra's record and the status are of the same start as the config."""
    words = yaml.safe_load((run / ".hydra" / "overrides.yaml").read_text())
    return f"runtime.seed={seed}" in words and runs.status(run)["seed"] == seed


def _resumes(suite: Suite) -> str:
    """Kill a run, resume it several times at once: one goes on, the others are refused."""
    trial = suite.trials("two-resumes", 1)[0]
    environment = cache(trial.folder)
    kill = {**environment, fault_injection.VARIABLE: "train.step:10:kill"}
    zygote.fmkit(runs.RECIPES["plain"], trial.folder, environment=kill).wait()
    run = runs.only_run(trial.folder)
    instant = time.monotonic() + 3

    def before() -> None:
        _wait_until(instant)

    victims = [
        zygote.fmkit(runs.resume(run), trial.folder, environment=environment, before=before,
                     output=f"resume-{number}.txt")
        for number in range(_RESUMES)
    ]  # fmt: skip
    ends = [(victim.wait(), victim.text()) for victim in victims]
    codes = sorted(code for code, _ in ends)
    failure = ""
    if codes != [0, *[4] * (_RESUMES - 1)]:
        failure = f"resumes ended with {codes}: {[text[-200:] for _, text in ends]}"
    elif not all("in use by pid" in text for code, text in ends if code == 4):
        failure = f"the refusal does not say by whom it is used: {ends}"
    elif run is not None:
        failure = "; ".join(runs.differences(run, suite.reference("plain")))
    return trial.clean(failure)


def starts(suite: Suite) -> Result:
    """T12."""
    result = Result("starts")
    for failure in _starts(suite, suite.size("starts", 50, 8)):
        result.add(failure)
    wrong = _resumes(suite)
    result.note = f"one of {_RESUMES} resumes won"
    if wrong:
        result.note = "more or less than one resume won"
        result.add(wrong)
    return result
