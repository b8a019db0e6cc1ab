"""One contender's work, measured in a process of its own.

Run as `python -m benchmarks.measuring MODULE:FUNCTION ARGUMENTS` this calls the function, which
loads what it needs and returns the work; does the work; and prints one `Sample` as JSON. Measured
is the work, not the start of Python nor imports. Nothing here imports batchinfer: peers are
measured by the same code in an environment where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers/bin/python"

LOOK_EVERY = 0.5
"""Seconds between two looks at a process."""

Work: TypeAlias = Callable[[], int]
"""Does what is measured; how many items came out well."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one contender took, once."""

    items: int
    seconds: float
    cpu_seconds: float
    """User and system, all threads and child processes of the contender."""
    peak_mb: float
    """Resident memory at its highest, Python and imports included."""
    began: float = 0.0
    """When the work began, by this machine's monotonic clock."""
    service_load: float | None = None
    """How busy the service was meanwhile: 1 is one core; None where there is none."""


class ContenderFailed(Exception):  # noqa: N818 - reads as a fact
    """A contender did not do its work; a rate of that would mean nothing."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Starts contenders of one environment, on one core."""

    python: str
    core: int | None

    def take(
        self,
        function: str,
        items: int,
        look: Callable[[int], None] | None = None,
        **arguments: object,
    ) -> Sample:
        """Measure `module:function` once. Raises ContenderFailed unless `items` came out well.

        `look` is called with the number of the process now and then.
        """
        with subprocess.Popen(
            self._command(function, arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=plain_environment(),
        ) as process:
            while True:
                try:
                    output, errors = process.communicate(timeout=LOOK_EVERY if look else None)
                    break
                except subprocess.TimeoutExpired:
                    assert look
                    look(process.pid)
        if process.returncode:
            last = errors.strip().rpartition("\n")[2]
            raise ContenderFailed(last or f"exit code {process.returncode}")
        sample = Sample(**json.loads(output.strip().rpartition("\n")[2]))
        if sample.items != items:
            raise ContenderFailed(f"{sample.items:,} of {items:,} items came out well")
        return sample

    def take_command(self, command: Sequence[str], items: int = 1) -> Sample:
        """Measure a program from its start to its end. Raises ContenderFailed when it fails."""
        sample = self.take("benchmarks.measuring:program", 1, command=[*command])
        return replace(sample, items=items)

    def take_until(
        self, happens: Callable[[], float | None], function: str, **arguments: object
    ) -> Sample:
        """Measure how long work takes until `happens` returns a time; then the work is cut off.

        Times are of this machine's monotonic clock. Raises ContenderFailed when the work ends
        before.
        """
        with subprocess.Popen(
            [*self._command(function, arguments), "--announce"],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=plain_environment(),
        ) as process:
            assert process.stdout
            began = float(process.stdout.readline() or "nan")
            before = cpu_seconds_of(process.pid)
            while (ended := happens()) is None:
                if process.poll() is not None:
                    raise ContenderFailed("it ended before anything happened")
                time.sleep(0.02)
            after, peak = cpu_seconds_of(process.pid), _peak_mb_of(process.pid)
            process.kill()
        return Sample(1, ended - began, (after or 0) - (before or 0), peak or 0)

    def _command(self, function: str, arguments: Mapping[str, object]) -> list[str]:
        command = [self.python, "-m", "benchmarks.measuring", function, json.dumps(arguments)]
        return command if self.core is None else [*command, "--core", str(self.core)]

    def find_packages(self, names: Sequence[str]) -> dict[str, str | None]:
        """The versions of installed packages, None for others."""
        command = [self.python, "-c", _FIND_PACKAGES, *names]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))


_FIND_PACKAGES = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        found[name] = None
print(json.dumps(found))
"""


def program(command: Sequence[str]) -> Work:
    """A program that runs and ends with 0; its output is thrown away."""

    def work() -> int:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        return int(done.returncode == 0)

    return work


def measure(work: Work) -> Sample:
    """Do the work once, in this process."""
    began, cpu = time.monotonic(), _cpu_seconds()
    items = work()
    seconds, cpu_seconds = time.monotonic() - began, _cpu_seconds() - cpu
    return Sample(items, seconds, cpu_seconds, peak_mb(), began)


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_mb() -> float:
    """Peak resident memory of this process or of its largest child, MB (10^6 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e6
    # Not rusage's where it can be helped: that begins with the peak of the parent process.
    own = _peak_mb_of(os.getpid())
    return child or own or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _peak_mb_of(pid: int) -> float | None:
    """Peak resident memory of a running process; None where nobody says."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        return None


def cpu_seconds_of(pid: int) -> float | None:
    """CPU seconds that a running process has used; None where nobody says."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return None


def pin(core: int | None) -> None:
    """Keep this process and its children on one core, where the system can."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def find_peers(python: Path = PEERS) -> str:
    """The peers' interpreter; without their environment ours, which has some of them."""
    return str(python) if python.exists() else sys.executable


def choose_cores() -> tuple[int | None, int | None]:
    """A core for the client and one for the service; None where they cannot be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def plain_environment() -> dict[str, str]:
    """Nothing that would send a client elsewhere: no proxy, no setting of batchinfer's or AWS'."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(("BATCHINFER_", "AWS_"))
    }


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("function", help="module:function, which returns the work")
    ask.add_argument("arguments", help="its arguments by name, a JSON object")
    ask.add_argument("--core", type=int, help="the core to stay on")
    ask.add_argument("--announce", action="store_true", help="print when the work begins")
    given = ask.parse_args()
    pin(given.core)
    module, _, name = given.function.partition(":")
    work = getattr(import_module(module), name)(**json.loads(given.arguments))
    if given.announce:
        print(time.monotonic(), flush=True)
    print(json.dumps(asdict(measure(work))))


if __name__ == "__main__":
    main()
