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
from batchinfer.local.demo_images import BAD_IMAGES, DEMO_IMAGES, write_demo_images

_DEMO_DIR = Path("demo")
_IMAGES_DIR, _CONFIG_FILE, _JOURNAL_FILE = (
    _DEMO_DIR / "photos",
    _DEMO_DIR / "config.toml",
    _DEMO_DIR / "journal.jsonl",
)
_REPORT_FILE = _DEMO_DIR / "report.html"
_ITEMS_BEFORE_INTERRUPT = 15
"""Finished items after which a run is interrupted."""
_EXIT_INTERRUPTED, _EXIT_SOME_FAILED = 130, 1
_STATUS_POLL_SECONDS = 0.2
_OUTPUT_WIDTH = 100

_step_numbers = count(1)


class DemoFailed(BatchInferError):  # noqa: N818 - reads as a fact
    """The demo did not go as it promises."""


def main() -> int:
    """Run the demo in `./demo`; 0 if everything was as promised."""
    try:
        _prepare_images()
        with _start_service():
            for mode in ("sync", "async"):
                _run_interrupted(mode)
                _resume_run(mode)
        _export_results("sync")
        _export_results("async")
        _verify_results()
        _write_report()
    except BatchInferError as error:
        _print(f"\nThe demo is broken: {error}")
        return 1
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    _print(f"\nAll as promised. Look at {_REPORT_FILE} in a browser.")
    return 0


# -- the steps -----------------------------------------------------------------------------------


def _prepare_images() -> None:
    _print_step(
        "Photographs",
        "Copying real photographs, which come inside scikit-image's wheel, to ./demo/photos; each\n"
        "with three variants (mirrored, darker, upper half), so that there are some more; and\n"
        f"three bad files: {', '.join(BAD_IMAGES)}.",
    )
    for name in ("photos", "sync-run", "async-run", "bucket"):
        shutil.rmtree(_DEMO_DIR / name, ignore_errors=True)
    _JOURNAL_FILE.unlink(missing_ok=True)
    good = write_demo_images(_IMAGES_DIR)
    _print(f"{good} good images, {len(BAD_IMAGES)} bad ones.")


@contextmanager
def _start_service() -> Iterator[None]:
    _print_step(
        "The service",
        "Starting an OSCAR-compatible service on this machine: two containers, cold for the first\n"
        "3 seconds, the bucket on a real S3 server. The model finds faces of people and of cats;\n"
        "its weights come inside OpenCV's wheel.",
    )
    command = ["local", "--model", "faces", "--containers", "2", "--cold-start", "3"]
    command += ["--data", str(_DEMO_DIR / "bucket"), "--journal", str(_JOURNAL_FILE)]
    command += ["--config-out", str(_CONFIG_FILE), "--json"]
    _print_command(command, " > /dev/null &")
    with (
        (_DEMO_DIR / "service.log").open("wb") as log,
        subprocess.Popen(  # noqa: S603 - our own command line
            _full_command(command), stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        try:
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            if not process.stdout.readline():  # where it is; the config says it, too
                raise DemoFailed(f"the service did not start; see {log.name}")
            _print(
                f"It runs. Where, and the secrets to get in, stands in {_CONFIG_FILE} (mode 0600)."
            )
            yield
        finally:
            process.terminate()


def _run_interrupted(mode: str) -> None:
    _print_step(
        f"A run in {mode} mode, interrupted",
        "Sending all photographs through the model. After a while it gets a Ctrl-C (SIGINT).",
    )
    run = f"{_DEMO_DIR}/{mode}-run"
    command = ["run", str(_IMAGES_DIR), "-c", str(_CONFIG_FILE), "-o", run, "--mode", mode]
    _print_command(command)
    with subprocess.Popen(_full_command(command)) as process:  # noqa: S603 - our own command line
        while process.poll() is None and _count_finished(run) < _ITEMS_BEFORE_INTERRUPT:
            time.sleep(_STATUS_POLL_SECONDS)
        process.send_signal(signal.SIGINT)
        _print("[the demo presses Ctrl-C]")
    _expect_status(process.returncode, _EXIT_INTERRUPTED, "an interrupted run")


def _resume_run(mode: str) -> None:
    _print_step("Going on", "What is recorded is not sent again; the rest is.")
    run = f"{_DEMO_DIR}/{mode}-run"
    before = _count_finished(run)
    _run_command("resume", run, "-c", str(_CONFIG_FILE), expected=_EXIT_SOME_FAILED)
    if not 0 < before < _count_finished(run):
        raise DemoFailed(
            f"{before} items were finished before the resume, {_count_finished(run)} after it"
        )


def _export_results(mode: str) -> None:
    run = f"{_DEMO_DIR}/{mode}-run"
    _print_step(f"What came of it in {mode} mode", "Where it stands, then the results as a table.")
    _run_command("status", run)
    for suffix in ("csv", "jsonl"):
        table = _DEMO_DIR / f"{mode}.{suffix}"
        _run_command("export", run, "-o", str(table))
        for line in table.read_text().splitlines()[:5]:
            _print(line if len(line) <= _OUTPUT_WIDTH else line[: _OUTPUT_WIDTH - 3] + "...")
    _run_command("show", run, f"people/{DEMO_IMAGES['people'][0]}")


def _verify_results() -> None:
    _print_step("Checking", "That every photograph has exactly one row, and the right one.")
    files = {str(p.relative_to(_IMAGES_DIR)) for p in _IMAGES_DIR.rglob("*") if p.is_file()}
    full = Counter(
        hashlib.sha256((_IMAGES_DIR / file).read_bytes()).hexdigest()
        for file in files
        if (_IMAGES_DIR / file).stat().st_size
    )
    predictions = []
    for mode in ("sync", "async"):
        lines = (_DEMO_DIR / f"{mode}.jsonl").read_text().splitlines()
        rows = {row["key"]: row for row in map(json.loads, lines)}
        _verify_promise(
            f"{mode}: {len(lines)} rows for {len(files)} files", len(lines) == len(files)
        )
        _verify_promise(f"{mode}: one row for each file, none for another", set(rows) == files)
        failed = {key: row["code"] for key, row in rows.items() if row["state"] == "failed"}
        _verify_promise(
            f"{mode}: just the bad files failed, with a code: {failed}",
            set(failed) == {*BAD_IMAGES},
        )
        _verify_promise(f"{mode}: every failure has its code", all(failed.values()))
        _verify_promise(
            f"{mode}: the service saw every file once that is not empty",
            _count_started(mode) == full,
        )
        predictions.append({key: row["prediction"] for key, row in rows.items()})
    for photograph, found in (
        (f"people/{DEMO_IMAGES['people'][0]}", "face"),
        (f"animals/{DEMO_IMAGES['animals'][0]}", "cat face"),
    ):
        names = [each["name"] for each in predictions[0][photograph] or ()]
        _verify_promise(f"a {found} was found in {photograph}", names == [found])
    _verify_promise("both modes gave the same predictions", predictions[0] == predictions[1])


def _write_report() -> None:
    _print_step(
        "The page to look at",
        "The results in SQL, labels for another program, and one HTML file with everything.",
    )
    run = f"{_DEMO_DIR}/sync-run"
    asked = "select label, count(*) as found, max(score) from detections group by label"
    _run_command("query", run, asked, "--format", "table")
    _run_command(
        "export", run, "-o", f"{_DEMO_DIR}/coco.json", "--format", "coco", "--state", "succeeded"
    )
    _run_command("report", run, "-o", str(_REPORT_FILE), "--title", "Faces of people and of cats")


def _count_started(mode: str) -> Counter[str]:
    """How often the service began a prediction on each file, by SHA-256."""
    lines = journal.read_journal(_JOURNAL_FILE)
    return Counter(
        line["sha256"] for line in lines if line["event"] == "started" and line["mode"] == mode
    )


# -- showing and doing ---------------------------------------------------------------------------


def _print_step(title: str, text: str) -> None:
    _print(f"\n-- {next(_step_numbers)}. {title} ".ljust(_OUTPUT_WIDTH, "-") + f"\n{text}")


def _run_command(*command: str, expected: int = 0) -> None:
    """Show a command of ours and run it."""
    _print_command(command)
    done = subprocess.run(_full_command(command), check=False)  # noqa: S603 - our own command line
    _expect_status(done.returncode, expected, command[0])


def _full_command(command: list[str] | tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "batchinfer", *command]


def _print_command(command: list[str] | tuple[str, ...], rest: str = "") -> None:
    _print(f"\n$ batchinfer {shlex.join(command)}{rest}")


def _count_finished(run: str) -> int:
    """Items of a run with a final outcome; 0 while there is no run yet."""
    done = subprocess.run(  # noqa: S603 - our own command line
        _full_command(["status", run, "--json"]), capture_output=True, check=False
    )
    if done.returncode:
        return 0
    status = json.loads(done.stdout)
    return int(status["succeeded"]) + int(status["failed"])


def _expect_status(status: int, expected: int, what: str) -> None:
    if status != expected:
        raise DemoFailed(f"{what} ended with exit status {status}, not {expected}")
    if expected:
        _print(f"[exit status {status}, as it should be]")


def _verify_promise(promise: str, kept: object) -> None:
    _print(f"  {'ok ' if kept else 'NOT'} {promise}")
    if not kept:
        raise DemoFailed(promise)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
