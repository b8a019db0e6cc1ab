"""The tutorial and the how-to guides, as a reader pastes them: every block, in its order.

Each guide gets a folder of its own with photographs, a configuration and a finished run. What only
an installation or a service manager could show is left out.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess, start_service
from support.cli import shell
from support.paths import ROOT

DOCS = ROOT / "docs"
GUIDES = sorted((DOCS / "how-to").glob("*.md"))
NOT_RUN = ("python3 -m venv", ". .venv/", "pip ", "systemctl ", "loginctl ", "journalctl ")
"""What would change this machine, or needs a service manager."""
LANGUAGES = {
    "": "shell",
    "console": "shown",
    "json": "shown",
    "toml": "shown",
    "cron": "test_env_files.py",
    "py": "test_slurm.py",
    "yaml": "test_slurm.py",
} | {language: language for language in ("python", "bash", "ini")}
PHOTOGRAPHS = ["people/astronaut.png", "animals/chelsea.png", "sky/*.jpg", "bad/*"]
"""Some of each folder that the guides name."""


def blocks(page: Path) -> list[tuple[str, str]]:
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def lines_of(page: Path) -> list[str]:
    """The lines of a page that are pasted into a shell, without those that are not run here."""
    pasted = [text for language, text in blocks(page) if not language]
    return [line for text in pasted for line in text.splitlines() if not line.startswith(NOT_RUN)]


def paste(line: str, folder: Path) -> str:
    """Run one line as it stands; what it said.

    With broken photographs a run ends with 1. On a busy machine a run may be over before it is
    controlled, and where no item failed with a code there is nothing to retry.
    """
    done = shell(line, folder)
    may_fail = re.search(r"batchinfer (run|watch|submit|resume|collect) ", line)
    allowed = {0, 1} if may_fail else {0}
    if "ctl" in line and "is not running" in done.stderr:
        allowed = {3}
    if "retry" in line and "No item failed with" in done.stderr:
        allowed = {2}
    assert done.returncode in allowed, f"{line}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    done = shell("batchinfer local --threads --photographs all --detach", folder)
    (stop,) = re.findall(r"stop it: (kill \d+)$", done.stderr, re.MULTILINE)
    assert shell(stop, folder).returncode == 0
    for pattern in PHOTOGRAPHS:
        for path in sorted((folder / "all").glob(pattern))[:3]:
            copy = folder / "some" / path.relative_to(folder / "all")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return folder / "some"


@pytest.fixture(scope="module")
def service() -> Iterator[ServiceProcess]:
    with start_service(LocalServiceOptions(model="faces", threads=True)) as service:
        yield service


@pytest.fixture
def desk(tmp_path: Path, photographs: Path, service: ServiceProcess) -> Path:
    """A folder with photographs, a configuration, and a run of them."""
    shutil.copytree(photographs, tmp_path / "photos")
    (tmp_path / "batchinfer.toml").write_text(service.connection.to_toml())
    paste("batchinfer run photos -o my-run -q", tmp_path)
    return tmp_path


def test_every_block_is_of_a_kind_that_is_tested():
    found = {language for page in (*GUIDES, DOCS / "tutorial.md") for language, _ in blocks(page)}

    assert found <= LANGUAGES.keys()
    assert sum(len(lines_of(page)) for page in GUIDES) > 40


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_a_guide_runs_as_it_stands(page: Path, desk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(desk)
    names: dict[str, object] = {}
    for language, text in blocks(page):
        match language:
            case "":
                for line in text.splitlines():
                    if not line.startswith(NOT_RUN):
                        paste(line, desk)
            case "python":
                exec(text, names)
            case "ini":
                for line in re.findall(r"^ExecStart=\S+/(batchinfer .*)$", text, re.MULTILINE):
                    paste(line, desk)
    if (desk / "my-run" / ".control").exists():
        paste("batchinfer ctl my-run stop", desk)
        paste("batchinfer status my-run --follow", desk)


def test_the_tutorial_runs_as_it_stands(tmp_path: Path):
    lines = lines_of(DOCS / "tutorial.md")
    start = next(line for line in lines if line.startswith("batchinfer local"))
    # The model that is shown needs a second and more for each photograph.
    said = paste(start.replace("--model faces", "--threads"), tmp_path)
    (stop,) = re.findall(r"stop it: (kill \d+)$", said, re.MULTILINE)
    try:
        for line in lines[lines.index(start) + 1 :]:
            paste(line, tmp_path)
    finally:
        assert shell(stop, tmp_path).returncode == 0

    counts = bi.status(tmp_path / "my-run").counts
    assert (counts.succeeded, counts.failed) == (59, 0)  # this model only counts bytes
    assert bi.status(tmp_path / "my-async-run").counts.succeeded == 59
    assert (tmp_path / "my-run" / "report.html").exists()
