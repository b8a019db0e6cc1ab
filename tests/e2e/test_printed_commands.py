"""Every command that is printed works as it stands, pasted into sh with an empty environment.

Names are as unkind as they may be: a run directory with a blank and a quote, keys like options, a
config in another folder whose secrets stand in it (so that no run keeps them).
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer import cli
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, images

RUN = "it's a run"
_COMMAND = re.compile(rf"batchinfer (?:{'|'.join(cli.COMMAND_SUMMARIES)})\b[^`\n]*")
_PLACEHOLDER = re.compile(r"(?<![\w'/.-])(?:RUN|SOURCE|NAME|FILE|KEY|PATH|CONFIG)(?![\w'/.-])")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("printed")
    photos = images(folder / "photos", 6)
    (photos / "-empty 'one'.jpg").write_bytes(b"")
    (photos / "second empty.jpg").write_bytes(b"")
    (folder / "results.csv").write_text("mine")
    with start_service(LocalServiceOptions(threads=True)) as service:
        (folder / "my conf").mkdir()
        (folder / "my conf" / "c.toml").write_text(service.connection.to_toml())
        yield folder


def sh(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Paste a line into a shell that knows where batchinfer is, and nothing else."""
    path = f"PATH={Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    return subprocess.run(
        ["env", "-i", path, shutil.which("sh"), "-c", line],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def commands_in(text: str) -> list[str]:
    return list(dict.fromkeys(line.strip().rstrip(".") for line in _COMMAND.findall(text)))


def printed_by(line: str, folder: Path, codes: tuple[int, ...] = (0,)) -> list[str]:
    done = sh(line, folder)
    assert done.returncode in codes, f"{line}\n{done.stdout}\n{done.stderr}"
    return commands_in(f"{done.stdout}\n{done.stderr}")


def follow(commands: list[str], folder: Path) -> None:
    """Paste each of them; what they print is pasted, too, until nothing new is printed."""
    seen: set[str] = set()
    while commands:
        line = commands.pop(0)
        if line in seen:
            continue
        seen.add(line)
        assert not _PLACEHOLDER.search(line), line
        done = sh(line, folder)
        # 1: items have failed (as some here do, by design).
        assert done.returncode in (0, 1), f"{line}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        if " show " not in line and " --help" not in line:
            commands += commands_in(f"{done.stdout}\n{done.stderr}")


def start(run: str, *more: str) -> str:
    return f"""batchinfer run photos -c 'my conf/c.toml' -o "{run}" {" ".join(more)}"""


def test_what_a_run_and_its_status_print(folder: Path):
    printed = printed_by(start(RUN), folder, (1,))
    assert {line.split()[1] for line in printed} == {"status", "report", "export"}
    assert [line for line in printed if line.endswith("-o results.csv")] == []

    follow(printed, folder)

    assert (folder / "results.csv").read_text() == "mine"
    assert (folder / "results-2.csv").exists()


def test_what_a_part_of_a_run_prints(folder: Path):
    printed = printed_by(start("part", "--limit 2"), folder, (0, 1))
    assert "batchinfer resume part" in printed
    follow(printed, folder)
    assert bi.status(folder / "part").counts.succeeded == 6

    follow(printed_by(start("guess", "--estimate 2"), folder, (0, 1)), folder)
    assert bi.status(folder / "guess").counts.succeeded == 6


def test_what_both_halves_of_async_mode_print(folder: Path):
    line = start("halves").replace("batchinfer run", "batchinfer submit")
    printed = printed_by(line, folder, (0, 1))
    assert "batchinfer collect halves" in printed

    follow(printed, folder)
    follow(printed_by("batchinfer clean halves --dry-run", folder), folder)

    assert bi.status(folder / "halves").counts.succeeded == 6


def test_what_a_run_in_the_background_prints(folder: Path):
    printed = printed_by(start("away", "--detach"), folder)
    (watch,) = [line for line in printed if "--follow" in line]
    assert any("batchinfer ctl away pause" in line for line in printed)

    follow([watch], folder)


def test_what_is_printed_when_nobody_is_at_work(folder: Path):
    follow(printed_by(start("idle", "--limit 1"), folder, (0, 1)), folder)

    printed = printed_by("batchinfer ctl idle pause", folder, (3,))

    assert printed == ["batchinfer resume idle"]
    follow(printed, folder)


def test_what_an_aborted_run_prints(folder: Path):
    printed = printed_by(start("aborted", "--max-failures 0"), folder, (3,))

    assert printed == ["batchinfer resume aborted -c 'my conf/c.toml'"]
    # It may go on to its end, or be given up again: its own limit of failures still holds.
    assert sh(printed[0], folder).returncode in (1, 3)
    assert bi.status(folder / "aborted").counts.succeeded == 6


def test_what_init_prints(folder: Path):
    printed = printed_by("batchinfer init 'new one.toml'", folder)
    assert printed == ["batchinfer check -c 'new one.toml'"]
    assert sh(printed[0], folder).returncode == 2  # not filled in yet

    printed = printed_by("batchinfer init 'new one.toml'", folder, (2,))
    assert printed == ["batchinfer init 'new one-2.toml'"]
    assert sh(printed[0], folder).returncode == 0


def test_what_check_describe_and_prepare_print(folder: Path):
    given = "-c 'my conf/c.toml'"

    follow(printed_by(f"batchinfer check {given}", folder), folder)
    follow(printed_by(f"batchinfer describe {given}", folder), folder)
    follow(printed_by(f"batchinfer prepare photos -o payloads {given}", folder, (1,)), folder)


def test_what_a_report_prints(folder: Path):
    printed_by(start("reported"), folder, (1,))
    batchinfer("report", "reported", cwd=folder)
    page = html.unescape((folder / "reported" / "report.html").read_text())
    texts = re.findall(r'"(batchinfer (?:\\.|[^"\\])*)"', page)
    scripted = [line for text in texts for line in commands_in(json.loads(f'"{text}"'))]
    found = {*scripted, *re.findall(r"<code[^>]*>(batchinfer [^<]+)</code>", page)}

    wanted = {line.split()[1] for line in found}
    assert {"retry", "show"} <= wanted
    for line in found:
        done = sh(line, folder)
        assert done.returncode in (0, 1), f"{line}\n{done.stderr}"
