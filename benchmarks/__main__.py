"""One command, one table: batchinfer beside its peers.

It always ends with 0: a goal that was missed is told, not an error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TextIO

from benchmarks import table
from benchmarks.clients import IN_FLIGHT, Sample
from benchmarks.stub import running
from benchmarks.workloads import WORKLOADS, Workload, folder

PACKAGES = ("batchinfer", "aiohttp", "requests", "uvloop", "pybase64")


def main() -> None:
    ask = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    ask.add_argument("--json", action="store_true", help="samples, rows and goals as JSON")
    ask.add_argument("--quick", action="store_true", help="an eighth of the items, only once")
    ask.add_argument("--repetitions", type=int, default=3, help="of each client (default: 3)")
    ask.add_argument("--shrink", type=int, default=1, metavar="N", help="1/N of the items")
    ask.add_argument(
        "--only", default="", metavar="TEXT", help="workloads with TEXT in their title"
    )
    ask.add_argument("--folder", type=Path, help="where files and runs go (default: temporary)")
    given = ask.parse_args()
    if given.quick:
        given.repetitions, given.shrink = 1, 8
    talk = sys.stderr if given.json else sys.stdout
    machine = _machine()
    _say(_shown(machine, given.repetitions), talk)
    rows: list[table.Row] = []
    goals: list[table.Goal] = []
    samples: dict[str, Mapping[str, list[Sample]]] = {}
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="batchinfer-bench-") as below:
        chosen = (each for each in WORKLOADS if given.only in each.title)
        for workload in (each.shrunk(given.shrink) for each in chosen):
            taken = _measure(workload, Path(below), given.repetitions)
            samples[workload.title] = taken
            rows += table.rows(workload, taken)
            goals += table.goals(workload, taken)
            _say(f"\n{table.text_of_rows(table.rows(workload, taken))}", talk)
    _say(f"\n{table.text_of_goals(goals)}", talk)
    if given.json:
        result = {
            "machine": machine,
            "rows": [asdict(row) for row in rows],
            "goals": [asdict(goal) for goal in goals],
            "samples": {
                title: {client: [asdict(one) for one in some] for client, some in taken.items()}
                for title, taken in samples.items()
            },
        }
        print(json.dumps(result, indent=2))


def _measure(workload: Workload, below: Path, repetitions: int) -> Mapping[str, list[Sample]]:
    """All clients in turn, again and again; those that are asked for equally much share files."""
    client_core, service_core = _cores()
    folders = {
        client: folder(below, workload.size, count) for client, count in workload.counts.items()
    }
    taken: dict[str, list[Sample]] = {client: [] for client in workload.counts}
    with running(workload.latency, service_core) as endpoint:
        for _ in range(workload.repetitions or repetitions):
            for client, files in folders.items():
                sample = _sample(client, endpoint, files, client_core)
                if sample.items != workload.counts[client]:
                    sys.exit(
                        f"{client}: {sample.items} of {workload.counts[client]} items came back "
                        "well; a rate of that would mean nothing."
                    )
                taken[client].append(sample)
    return taken


def _sample(client: str, endpoint: str, files: Path, core: int | None) -> Sample:
    """One client's work, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.clients", client, endpoint, str(files)]
    if core is not None:
        command += ["--core", str(core)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=_plain_environment())
    return Sample(**json.loads(done.stdout))


def _plain_environment() -> dict[str, str]:
    """Nothing that would send a client elsewhere: no proxy, no setting of batchinfer's."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("BATCHINFER_")
    }


def _cores() -> tuple[int | None, int | None]:
    """A core for the client and one for the service; None where they cannot be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def _machine() -> dict[str, object]:
    client, service = _cores()
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "client_core": client,
        "service_core": service,
        "in_flight": IN_FLIGHT,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _shown(machine: Mapping[str, object], repetitions: int) -> str:
    packages = machine["packages"]
    assert isinstance(packages, dict)
    listed = ", ".join(f"{name} {found or 'missing'}" for name, found in packages.items())
    shared = machine["client_core"] == machine["service_core"]
    warning = " (one core for both: expect little)" if shared else ""
    return (
        f"Python {machine['python']}, {machine['system']}; {listed}\n"
        f"{machine['in_flight']} in flight; client on core {machine['client_core']}, service on "
        f"core {machine['service_core']}{warning}; medians of {repetitions}, interleaved"
    )


def _say(text: str, talk: TextIO) -> None:
    print(text, file=talk, flush=True)


if __name__ == "__main__":
    main()
