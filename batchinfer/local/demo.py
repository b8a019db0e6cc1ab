"""`make demo`: the whole way of a user, on this machine, in about a minute.

It says what it does, shows every command before it runs it (the real command line, as processes),
interrupts a run in each mode, and in the end checks what was promised: its exit status is 0 only if
every photograph has exactly one row, and the right one.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from batchinfer.errors import BatchInferError
from batchinfer.local import journal
from batchinfer.local.photographs import BAD, PHOTOGRAPHS, collect

_HOME = Path("demo")
_PHOTOS, _CONFIG, _JOURNAL = _HOME / "photos", _HOME / "config.toml", _HOME / "journal.jsonl"
_REPORT = _HOME / "report.html"
_ENOUGH = 15
"""Finished items after which a run is interrupted."""
_INTERRUPTED, _SOME_FAILED = 130, 1
_LOOK_EVERY = 0.2
_WIDTH = 100

_steps = count(1)


class Broken(BatchInferError):  # noqa: N818 - reads as a fact
    """The demo did not go as it promises."""


def main() -> int:
    """Run the demo in `./demo`; 0 if everything was as promised."""
    try:
        _prepare()
        with _service():
            for mode in ("sync", "async"):
                _run_interrupted(mode)
                _go_on(mode)
        _export("sync")
        _export("async")
        _verify()
        _report()
    except BatchInferError as error:
        _say(f"\nThe demo is broken: {error}")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    _say(f"\nAll as promised. Look at {_REPORT} in a browser.")
    return 0


# -- the steps -----------------------------------------------------------------------------------


def _prepare() -> None:
    _step(
        "Photographs",
        "Copying real photographs, which come inside scikit-image's wheel, to ./demo/photos; each\n"
        "with three variants (mirrored, darker, upper half), so that there are some more; and\n"
        f"three bad files: {', '.join(BAD)}.",
    )
    for name in ("photos", "sync-run", "async-run", "bucket"):
        shutil.rmtree(_HOME / name, ignore_errors=True)
    _JOURNAL.unlink(missing_ok=True)
    good = collect(_PHOTOS)
    _say(f"{good} good images, {len(BAD)} bad ones.")


@contextmanager
def _service() -> Iterator[None]:
    _step(
        "The service",
        "Starting an OSCAR-compatible service on this machine: two containers, cold for the first\n"
        "3 seconds, the bucket on a real S3 server. The model finds faces of people and of cats;\n"
        "its weights come inside OpenCV's wheel.",
    )
    command = ["local", "--model", "faces", "--containers", "2", "--cold-start", "3"]
    command += ["--data", str(_HOME / "bucket"), "--journal", str(_JOURNAL)]
    command += ["--config-out", str(_CONFIG), "--json"]
    _show(command, " > /dev/null &")
    with (
        (_HOME / "service.log").open("wb") as log,
        subprocess.Popen(  # noqa: S603 - our own command line
            _real(command), stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        try:
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            if not process.stdout.readline():  # where it is; the config says it, too
                raise Broken(f"the service did not start; see {log.name}")
            _say(f"It runs. Where, and the secrets to get in, stands in {_CONFIG} (mode 0600).")
            yield
        finally:
            process.terminate()


def _run_interrupted(mode: str) -> None:
    _step(
        f"A run in {mode} mode, interrupted",
        "Sending all photographs through the model. After a while it gets a Ctrl-C (SIGINT).",
    )
    run = f"{_HOME}/{mode}-run"
    command = ["run", str(_PHOTOS), "-c", str(_CONFIG), "-o", run, "--mode", mode]
    _show(command)
    with subprocess.Popen(_real(command)) as process:  # noqa: S603 - our own command line
        while process.poll() is None and _finished(run) < _ENOUGH:
            time.sleep(_LOOK_EVERY)
        process.send_signal(signal.SIGINT)
        _say("[the demo presses Ctrl-C]")
    _expect(process.returncode, _INTERRUPTED, "an interrupted run")


def _go_on(mode: str) -> None:
    _step("Going on", "What is recorded is not sent again; the rest is.")
    run = f"{_HOME}/{mode}-run"
    before = _finished(run)
    _do("resume", run, "-c", str(_CONFIG), expected=_SOME_FAILED)
    if not 0 < before < _finished(run):
        raise Broken(f"{before} items were finished before the resume, {_finished(run)} after it")


def _export(mode: str) -> None:
    run = f"{_HOME}/{mode}-run"
    _step(f"What came of it in {mode} mode", "Where it stands, then the results as a table.")
    _do("status", run)
    for suffix in ("csv", "jsonl"):
        table = _HOME / f"{mode}.{suffix}"
        _do("export", run, "-o", str(table))
        for line in table.read_text().splitlines()[:5]:
            _say(line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "...")
    _do("show", run, f"people/{PHOTOGRAPHS['people'][0]}")


def _verify() -> None:
    _step("Checking", "That every photograph has exactly one row, and the right one.")
    files = {str(p.relative_to(_PHOTOS)) for p in _PHOTOS.rglob("*") if p.is_file()}
    full = Counter(
        hashlib.sha256((_PHOTOS / file).read_bytes()).hexdigest()
        for file in files
        if (_PHOTOS / file).stat().st_size
    )
    predictions = []
    for mode in ("sync", "async"):
        lines = (_HOME / f"{mode}.jsonl").read_text().splitlines()
        rows = {row["key"]: row for row in map(json.loads, lines)}
        _check(f"{mode}: {len(lines)} rows for {len(files)} files", len(lines) == len(files))
        _check(f"{mode}: one row for each file, none for another", set(rows) == files)
        failed = {key: row["code"] for key, row in rows.items() if row["state"] == "failed"}
        _check(f"{mode}: just the bad files failed, with a code: {failed}", set(failed) == {*BAD})
        _check(f"{mode}: every failure has its code", all(failed.values()))
        _check(f"{mode}: the service saw every file once that is not empty", _seen(mode) == full)
        predictions.append({key: row["prediction"] for key, row in rows.items()})
    for photograph, found in (
        (f"people/{PHOTOGRAPHS['people'][0]}", "face"),
        (f"animals/{PHOTOGRAPHS['animals'][0]}", "cat face"),
    ):
        names = [each["name"] for each in predictions[0][photograph] or ()]
        _check(f"a {found} was found in {photograph}", names == [found])
    _check("both modes gave the same predictions", predictions[0] == predictions[1])


def _report() -> None:
    _step(
        "The page to look at",
        "The results in SQL, labels for another program, and one HTML file with everything.",
    )
    run = f"{_HOME}/sync-run"
    asked = "select label, count(*) as found, max(score) from detections group by label"
    _do("query", run, asked, "--format", "table")
    _do("export", run, "-o", f"{_HOME}/coco.json", "--format", "coco", "--state", "succeeded")
    _do("report", run, "-o", str(_REPORT), "--title", "Faces of people and of cats")


def _seen(mode: str) -> Counter[str]:
    """How often the service began a prediction on each file, by SHA-256."""
    lines = journal.read(_JOURNAL)
    return Counter(
        line["sha256"] for line in lines if line["event"] == "started" and line["mode"] == mode
    )


# -- showing and doing ---------------------------------------------------------------------------


def _step(title: str, text: str) -> None:
    _say(f"\n-- {next(_steps)}. {title} ".ljust(_WIDTH, "-") + f"\n{text}")


def _do(*command: str, expected: int = 0) -> None:
    """Show a command of ours and run it."""
    _show(command)
    done = subprocess.run(_real(command), check=False)  # noqa: S603 - our own command line
    _expect(done.returncode, expected, command[0])


def _real(command: list[str] | tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "batchinfer", *command]


def _show(command: list[str] | tuple[str, ...], rest: str = "") -> None:
    _say(f"\n$ batchinfer {shlex.join(command)}{rest}")


def _finished(run: str) -> int:
    """Items of a run with a final outcome; 0 while there is no run yet."""
    done = subprocess.run(  # noqa: S603 - our own command line
        _real(["status", run, "--json"]), capture_output=True, check=False
    )
    if done.returncode:
        return 0
    status = json.loads(done.stdout)
    return int(status["succeeded"]) + int(status["failed"])


def _expect(status: int, expected: int, what: str) -> None:
    if status != expected:
        raise Broken(f"{what} ended with exit status {status}, not {expected}")
    if expected:
        _say(f"[exit status {status}, as it should be]")


def _check(promise: str, kept: object) -> None:
    _say(f"  {'ok ' if kept else 'NOT'} {promise}")
    if not kept:
        raise Broken(promise)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
