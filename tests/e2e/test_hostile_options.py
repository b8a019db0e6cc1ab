"""Whatever is given to whatever option: it is told in words what is wrong, or it works."""

import subprocess
from pathlib import Path

import anyio
import click
import pytest

from batchinfer import cli
from batchinfer.store.sqlite import SqliteStore
from batchinfer.text_format import escape_unprintable
from support.cli import CONFIG, TOKEN, command
from support.records import INFO, item, reply

BASE = {
    "init": ["new.toml"],
    "describe": ["no-run"],
    "run": ["photos", "--dry-run"],
    "watch": ["photos", "-o", "no-run", "--mode", "async"],
    "resume": ["no-run"],
    "submit": ["-o", "no-run"],
    "collect": ["no-run"],
    "status": ["run"],
    "ctl": ["run", "pause"],
    "retry": ["run"],
    "compare": ["run", "run"],
    "merge": ["run"],
    "report": ["run"],
    "export": ["run", "-o", "out.csv"],
    "query": ["run", "select 1"],
    "show": ["run", "a"],
    "clean": ["no-run"],
    "prepare": ["photos", "-o", "payloads"],
}
"""What a command is given besides; nothing is sent. `check` and `local` have other tables."""
VALUES = [
    "",
    " ",
    "-",
    "-1",
    "0",
    "1.5",
    "nan",
    "inf",
    "1e309",
    "9" * 400,
    "true",
    "é\u202e",
    "\udcff",
    "a=b=c",
    "*[",
    "x" * 5000,
    "photos",
    "run",
    "batchinfer.toml",
    "/dev/null",
    "no/such/file.csv",
    "batchinfer.toml/below",
]


def options() -> list[tuple[str, str]]:
    """Every option that takes a value, by command."""
    group = cli.batchinfer
    return [
        (name, max(each.opts, key=len))
        for name in BASE
        for each in group.get_command(click.Context(group), name).params
        if isinstance(each, click.Option) and not each.is_flag
    ]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch) -> Path:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"\xff\xd8\xff some photo")
    (tmp_path / "batchinfer.toml").write_text(CONFIG)

    async def made() -> None:
        async with SqliteStore.create(tmp_path / "run", INFO) as store:
            await store.add([item("a", path=str(tmp_path / "photos" / "a.jpg"))])
            await store.commit_records([reply(1, prediction={"a": 1})])

    anyio.run(made)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OSCAR_TOKEN", TOKEN)
    return tmp_path


def test_every_command_has_its_table():
    assert {*BASE, "check", "local"} == set(cli.COMMAND_SUMMARIES)


@pytest.mark.parametrize(("name", "option"), options())
def test_no_value_of_an_option_is_a_bug(name: str, option: str, desk: Path, capfd):
    wrong = []
    values = [each for each in VALUES if option != "--key" or each.isprintable()]
    for number, value in enumerate(values):
        base = [f"payloads-{number}" if each == "payloads" else each for each in BASE[name]]
        code = cli.main([name, *base, option, value])
        said = capfd.readouterr()
        if code not in (0, 1, 2, 3) or "Traceback" in said.err or (code > 1 and not said.err):
            wrong.append((value[:40], code, said.err[-300:]))
        named = (
            option,
            escape_unprintable(value)[:20],
            "xff",
            str(Path(value).parent),
            "[service]",
            "[bucket]",
        )
        if code == 2 and not any(word in said.err for word in named):
            wrong.append((value[:40], "names neither option nor value", said.err[-300:]))

    assert wrong == []


LOCAL = {
    "--port": ["80000", "-1", "x", ""],
    "--containers": ["0", "x"],
    "--latency": ["nan", "-1", "inf", "1e309"],
    "--slow": ["2:1", "nan:1", "0.1:-1", "1"],
    "--fail-with": ["99", "503:2", "503:nan", "x:1"],
    "--model": ["nowhere", "no:such", ""],
    "--config-out": [".", "/dev/null/x"],
    "--data": ["/dev/null", "/dev/null/x"],
    "--journal": [".", "no/such/journal"],
    "--photographs": ["/dev/null/x"],
    "--name": ["", "ü", "a/b", "a" * 300],
    "--token": ["x"],
    "--deepaas": [".", "/dev/null", "nowhere"],
    "--deepaas-format": ["9"],
    "--auth-key": ["a,b c"],
}


@pytest.mark.parametrize("option", LOCAL)
def test_the_local_service_refuses_what_it_cannot_use(option: str, tmp_path: Path):
    for value in LOCAL[option]:
        done = subprocess.run(
            command("local", "--threads", option, value),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2, (value, done.stderr)
        assert "Traceback" not in done.stderr
        assert "error: " in done.stderr


@pytest.mark.parametrize("value", ["", "soon", "-1", "nan", "inf"])
def test_the_wait_of_a_check_is_a_duration(value: str, desk: Path, capfd):
    assert cli.main(["check", "--wait", value]) == 2
    assert "--wait" in capfd.readouterr().err


@pytest.mark.parametrize("value", ["", "nowhere", "photos", "/dev/null/x"])
def test_what_a_check_sends_is_a_file(value: str, desk: Path, capfd):
    assert cli.main(["check", "--probe", value]) == 2
    assert "--probe" in capfd.readouterr().err


@pytest.mark.parametrize(
    "verb", ["run", "submit", "resume", "collect", "status", "export", "report"]
)
def test_a_file_where_a_run_directory_belongs_is_called_that(verb: str, desk: Path, capfd):
    (desk / "afile").write_text("mine")
    args = {"run": ["photos", "-o", "afile"], "submit": ["photos", "-o", "afile"]}
    args |= {"export": ["afile", "-o", "x.csv"]}

    code = cli.main([verb, *args.get(verb, ["afile"])])

    said = capfd.readouterr().err
    assert code == (2 if verb in {"run", "submit", "resume", "collect"} else 3)
    assert "afile is a file, not a" in said
    assert (desk / "afile").read_text() == "mine"
    assert [path.name for path in (desk / "photos").iterdir()] == ["a.jpg"]
