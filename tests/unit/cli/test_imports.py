"""What a command loads: nothing that it does without, so that it starts at once."""

import json
import subprocess
import sys

import pytest

from batchinfer.cli import COMMAND_SUMMARIES
from support.records import item, made

LOADED = """
import json
import os
import sys
from batchinfer.cli import main

loaded = {}
for args in json.loads(sys.argv[1]):
    read, write = os.pipe()
    if not os.fork():
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = main(args)
        os.write(write, json.dumps([code, *sys.modules]).encode())
        os._exit(0)
    os.close(write)
    with open(read) as pipe:
        code, *loaded[" ".join(args)] = json.load(pipe)
    assert code in (0, 1), args
print(json.dumps(loaded))
"""
"""Each command in a process of its own, forked from one that has loaded the group of commands."""

EVENT_LOOPS = {"aiohttp", "anyio", "asyncio"}
BUCKETS = {"aiobotocore", "botocore"}
LOOKS = {"PIL", "jinja2", "tqdm"}
TABLES = {"pyarrow", "pandas"}
STORE = {"orjson", "sqlite3"}
EVERYTHING = EVENT_LOOPS | BUCKETS | LOOKS | TABLES | STORE


def loaded(*lines, **options) -> dict[str, set[str]]:
    """The modules that each command line has loaded, and of ours the packages."""
    args = json.dumps([line.split() for line in lines])
    done = subprocess.run(
        [sys.executable, "-c", LOADED, args], capture_output=True, text=True, check=True, **options
    )
    return {line: set(names) for line, names in json.loads(done.stdout).items()}


def ours(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("batchinfer.")}


@pytest.fixture(scope="module")
def helps():
    return loaded("--help", "--version", *(f"{name} --help" for name in COMMAND_SUMMARIES))


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_help_and_version_load_the_group_of_commands_and_nothing_of_what_commands_use(flag, helps):
    packages = ours(helps[flag])

    assert "cli" in packages
    assert packages.isdisjoint(
        {"api", "backends", "config", "domain", "engine", "sources", "store"}
    )


@pytest.mark.parametrize("name", sorted(COMMAND_SUMMARIES.keys() - {"export", "query"}))
def test_help_of_a_command_loads_nothing_of_what_the_command_does(name, helps):
    names = helps[f"{name} --help"]

    assert names.isdisjoint(EVERYTHING)
    assert ours(names).isdisjoint({"backends", "engine", "exports", "predictions", "store"})


@pytest.mark.parametrize("name", ["export", "query"])
def test_help_that_lists_formats_loads_no_library_of_them(name, helps):
    assert helps[f"{name} --help"].isdisjoint(EVERYTHING - STORE)


async def test_what_only_reads_a_run_needs_no_event_loop_and_no_network(tmp_path):
    await made(tmp_path / "run", [item("a.jpg")], [])
    lines = {"status run", "export run -o results.csv", "query run"}

    for names in loaded(*lines, cwd=tmp_path).values():
        assert names.isdisjoint(EVENT_LOOPS | BUCKETS | LOOKS | TABLES)
        assert names >= {"sqlite3"}


def test_sync_mode_loads_nothing_of_buckets_reports_and_tables(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "empty.jpg").touch()
    (tmp_path / "batchinfer.toml").write_text(
        f'[service]\nendpoint = "http://127.0.0.1:9/run/nobody"\ntoken = "{"0" * 64}"\n'
    )

    (names,) = loaded("run photos --no-validate", cwd=tmp_path).values()

    assert names >= {"asyncio", "sqlite3"}
    assert names.isdisjoint(BUCKETS | LOOKS | TABLES)
    assert ours(names).isdisjoint({"exports", "images", "local", "predictions", "report"})
