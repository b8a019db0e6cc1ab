"""One command, one table: batchinfer beside its peers.

It always ends with 0: a goal that was missed is told, not an error.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import buckets, calls, payloads, sources, startup, store, table
from benchmarks.comparisons import Job, Samples, Setup, run_job
from benchmarks.measuring import PEERS, Runner, choose_cores, find_peers

JOBS: Sequence[Job] = (
    *calls.JOBS,
    *payloads.JOBS,
    *buckets.JOBS,
    *sources.JOBS,
    *store.JOBS,
    *startup.JOBS,
)
OUR_PACKAGES = ("batchinfer", "aiohttp", "aiobotocore", "orjson", "uvloop", "pybase64", "httptools")
QUICK_DIVISOR = 10


def main() -> None:
    given = _parser().parse_args()
    if given.quick:
        given.rounds, given.shrink = 1, given.shrink * QUICK_DIVISOR
    jobs = [job for job in JOBS if given.only.lower() in job.title.lower()]
    if given.list or not jobs:
        sys.exit("\n".join(job.title for job in JOBS) if given.list else "no row of that title")
    talk = sys.stderr if given.json or given.markdown else sys.stdout
    results: list[tuple[table.Section, Samples]] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="batchinfer-bench-") as below:
        setup = _make_setup(given, Path(below))
        machine = describe_machine(setup)
        print(_format_machine(machine), file=talk)
        for job in jobs:
            if talk.isatty():
                print(f"\n{job.title} ...", end="\r\033[A", file=talk, flush=True)
            results.append(run_job(job, setup))
            print("\n" + table.format_section(results[-1][0]), file=talk, flush=True)
    sections = [section for section, _ in results]
    minutes = (time.monotonic() - began) / 60
    print(f"\n{table.summarize(sections)} ({minutes:.1f} minutes)", file=talk)
    if given.markdown:
        print(f"{_format_machine(machine)}\n\n{table.format_markdown(sections)}")
    if given.json:
        print(json.dumps({"machine": machine, "rows": _to_json(results)}, indent=2))


def _make_setup(given: argparse.Namespace, below: Path) -> Setup:
    client, service = choose_cores()
    return Setup(
        below,
        Runner(sys.executable, client),
        Runner(find_peers(given.peers), client),
        service,
        given.rounds,
        given.shrink,
    )


def describe_machine(setup: Setup) -> dict[str, object]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "client_core": setup.ours.core,
        "service_core": setup.service_core,
        "rounds": setup.rounds,
        "divisor": setup.divisor,
        "packages": setup.ours.find_packages(OUR_PACKAGES),
        "peers": dict(setup.peer_packages),
        "peers_apart": setup.peers.python != setup.ours.python,
    }


def _format_machine(machine: Mapping[str, object]) -> str:
    lines = [f"Python {machine['python']}, {machine['system']}"]
    for name in ("packages", "peers"):
        packages = machine[name]
        assert isinstance(packages, dict)
        found = ", ".join(f"{name} {found or '(missing)'}" for name, found in packages.items())
        lines.append(f"{name}: {found}")
    if not machine["peers_apart"]:
        lines.append("peers run in this environment: `make peers` makes them one of their own")
    shared = machine["client_core"] == machine["service_core"]
    lines.append(
        f"client on core {machine['client_core']}, service on core {machine['service_core']}"
        f"{' (one core for both: expect little)' if shared else ''}; medians of "
        f"{machine['rounds']} interleaved rounds"
    )
    if machine["divisor"] != 1:
        lines.append(f"counts shrunk by {machine['divisor']}: not the figures to quote")
    return "\n".join(lines)


def _to_json(results: Sequence[tuple[table.Section, Samples]]) -> list[dict[str, object]]:
    return [
        {
            "title": section.title,
            "unit": section.shown.value,
            "contenders": {
                row.contender: {
                    **{measure.name.lower(): value for measure, value in row.values.items()},
                    "remark": row.remark,
                    "samples": [asdict(sample) for sample in samples[row.contender]],
                }
                for row in section.rows
            },
            "goals": [
                {
                    "goal": table.name_goal(each.goal),
                    "at_most": each.goal.at_most,
                    "bound": each.goal.bound,
                    "measured": each.measured,
                    "verdict": each.word,
                }
                for each in section.verdicts
            ],
            "notes": list(section.notes),
        }
        for section, samples in results
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--json", action="store_true", help="samples, rows and goals as JSON")
    add("--markdown", action="store_true", help="the table as Markdown, to paste")
    add("--quick", action="store_true", help=f"1/{QUICK_DIVISOR} of the items, only once")
    add("--rounds", type=int, default=3, metavar="N", help="of each contender (default: 3)")
    add("--shrink", type=int, default=1, metavar="N", help="1/N of the items")
    add("--only", default="", metavar="TEXT", help="rows with TEXT in their title")
    add("--list", action="store_true", help="the titles of all rows")
    add("--folder", type=Path, help="where files and runs go (default: temporary)")
    add("--peers", type=Path, default=PEERS, metavar="PYTHON", help="the peers' interpreter")
    return parser


if __name__ == "__main__":
    main()
