"""Runs one prediction: the script around it, and the model in a process or a thread.

Everything here blocks; the service calls it in worker threads, one for each container.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Protocol

from batchinfer.local import capture, deepaas, script
from batchinfer.local.children import Children
from batchinfer.local.environment import Environment
from batchinfer.local.journal import Journal
from batchinfer.local.options import Options


@dataclass(frozen=True, slots=True)
class Order:
    """One prediction to be made."""

    mode: str
    name: str
    """`event-file-<uuid>` of a call, the input object's base name of a job."""
    payload: bytes
    chance: Random
    die: bool = False
    """Kill the model half-way."""


class Runner(Protocol):
    """Runs `deepaas-cli` with a model in it."""

    def run(self, argv: list[str], folder: Path, *, die: bool) -> str:
        """All that it wrote."""

    def stop(self) -> None:
        """End what runs, and what is being started, so far as that is possible."""


class Predictor:
    """Makes predictions as the platform makes them."""

    def __init__(self, options: Options, journal: Journal) -> None:
        self._journal = journal
        self._runner: Runner
        self._versions = options.deepaas, platform.python_version()
        if options.deepaas_venv is not None:
            self._runner = environment = Environment(Path(options.deepaas_venv))
            self._versions = environment.versions
        else:
            self._runner = Threads(options) if options.threads else Processes(options)

    def call(self, order: Order) -> bytes:
        """Predict for a call: the body of its answer."""
        saving = order.name.endswith(".json")
        with _place(order.chance) as place:
            log = self._predict(order, place, saving=saving)
            return script.body(log, place.outputs, name=order.name, versions=self._versions)

    def job(self, order: Order) -> Mapping[str, bytes]:
        """Predict for an object: what is to be uploaded."""
        saving = order.name.endswith(".json")
        with _place(order.chance) as place:
            log = self._predict(order, place, saving=saving)
            return script.uploads(log, place.outputs, name=order.name)

    def stop(self) -> None:
        """End what runs now."""
        self._runner.stop()

    def _predict(self, order: Order, place: script.Place, *, saving: bool) -> str:
        prepared = script.prepare(order.payload, place, saving=saving)
        log = prepared.crash
        if not log and prepared.argv:
            note = partial(
                self._journal.note, mode=order.mode, name=order.name, sha256=prepared.sha256
            )
            helps = "--help" in prepared.argv
            note("asked" if helps else "started")
            try:
                log = self._runner.run(prepared.argv, place.folder, die=order.die)
            except OSError:  # all arguments together are too long
                prepared.said.append(script.WENT_WRONG)
            note("helped" if helps else "killed" if order.die else "finished")
        return log + "".join(line + "\n" for line in prepared.said)


class Processes:
    """Each prediction in a process of its own, as on the platform."""

    def __init__(self, options: Options) -> None:
        program = [sys.executable, "-P", deepaas.__file__]
        self._command = [*program, options.deepaas, options.spec, str(Path.cwd())]
        self._children = Children(subprocess.Popen.kill)
        checked = subprocess.run(  # noqa: S603 - our own program; no shell
            [*self._command, "check"], capture_output=True, text=True, check=False
        )
        if checked.returncode:
            raise ImportError(checked.stdout.strip().rpartition("\n")[2])

    def run(self, argv: list[str], folder: Path, *, die: bool) -> str:
        """All that the process wrote until it ended, or was killed."""
        process = subprocess.Popen(  # noqa: S603 - our own program; no shell
            [*self._command, "die" if die else "live", *argv],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUTF8": "1"},
        )
        with process, self._children.with_(process):
            return process.communicate()[0].decode("utf-8", "replace")

    def stop(self) -> None:
        """Kill them."""
        self._children.stop()


class Threads:
    """Predictions in the caller's thread: quick, for tests and large trials."""

    def __init__(self, options: Options) -> None:
        self._style = deepaas.STYLES[options.deepaas]
        sys.path.insert(0, str(Path.cwd()))
        self._parser = deepaas.Parser(deepaas.resolve(options.spec))
        capture.install(self._style)

    def run(self, argv: list[str], folder: Path, *, die: bool) -> str:
        """All that the model printed or logged in this thread."""
        with capture.captured() as text:
            with suppress(_Killed, SystemExit):
                deepaas.predict(self._parser, argv, self._style, folder, _die if die else _live)
            return text.getvalue()

    def stop(self) -> None:
        """A thread cannot be ended: nothing."""


class _Killed(BaseException):
    """Ends a prediction where a kill would."""


def _die() -> None:
    raise _Killed


def _live() -> None:
    pass


@contextmanager
def _place(chance: Random) -> Iterator[script.Place]:
    """Two temporary folders, gone afterwards."""
    with TemporaryDirectory() as folder, TemporaryDirectory() as outputs:
        yield script.Place(Path(folder), Path(outputs), chance)
