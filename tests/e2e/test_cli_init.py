"""`init --from`: from what the Dashboard shows to a run, through real shells and private files."""

import json
import subprocess
import sys

import pytest

from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, clean_environment, png

ENV = clean_environment()


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True)) as started:
        yield started


@pytest.fixture
def info(service) -> str:
    """The service as the Dashboard's JSON has it."""
    connection = service.connection
    bucket = connection.bucket
    minio = {
        "endpoint": bucket.endpoint,
        "access_key": bucket.access_key,
        "secret_key": bucket.secret_key,
        "region": "us-east-1",
        "verify": True,
    }
    return json.dumps(
        {
            "name": bucket.name,
            "token": connection.token,
            "endpoint": connection.endpoint,
            "storage_providers": {"minio": {"default": minio}},
        }
    )


def secrets(service) -> list[str]:
    return [service.connection.token, service.connection.bucket.secret_key]


def init(desk, *args, code=0, **more):
    return batchinfer("init", *args, cwd=desk, env=ENV, code=code, **more)


def files(desk) -> set[str]:
    return {path.name for path in desk.iterdir()}


@pytest.mark.parametrize("loaded", ["", ". ./.batchinfer.env && "])
def test_what_it_writes_works_by_itself_and_in_a_shell(tmp_path, info, service, loaded):
    (tmp_path / "info.json").write_text(info)
    (tmp_path / "a.png").write_bytes(png(1))

    said = init(tmp_path, "--from", "info.json")

    for name in ("batchinfer.toml", ".batchinfer.env"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert said.stdout == ""
    assert " .batchinfer.env" in said.stderr
    told = said.stderr + (tmp_path / "batchinfer.toml").read_text()
    assert [secret for secret in secrets(service) if secret in told] == []
    run = f"{sys.executable} -m batchinfer run a.png -o {{}} -q --mode {{}}"
    for mode in ("sync", "async"):
        script = f"{loaded}{run.format(mode, mode)}"
        subprocess.run(["sh", "-c", script], cwd=tmp_path, env=ENV, check=True)


def test_pasted_lines_come_through_standard_input(tmp_path, service):
    connection = service.connection
    page = f"Endpoint\n{connection.endpoint}\nToken\t{connection.token}\n"

    said = init(tmp_path, "conf/sync.toml", "--from", "-", input=page, code=2)
    assert "The folder conf does not exist" in said.stderr
    said = init(tmp_path, "sync.toml", "--from", "-", input=page)

    assert files(tmp_path) == {"sync.toml", ".sync.env"}
    assert " .sync.env" in said.stderr
    assert "batchinfer check -c sync.toml" in said.stderr
    assert f"export OSCAR_TOKEN={connection.token}\n" in (tmp_path / ".sync.env").read_text()


def test_with_env_only_no_secret_is_written_at_all(tmp_path, info, service):
    said = init(tmp_path, "--from", "-", "--env-only", input=info)

    assert files(tmp_path) == {"batchinfer.toml"}
    assert "OSCAR_TOKEN=... in .batchinfer.env" in said.stderr
    told = said.stderr + (tmp_path / "batchinfer.toml").read_text()
    assert [secret for secret in secrets(service) if secret in told] == []


@pytest.mark.parametrize("there", ["batchinfer.toml", ".batchinfer.env"])
def test_neither_file_is_ever_overwritten(tmp_path, info, there):
    (tmp_path / there).write_text("mine")

    said = init(tmp_path, "--from", "-", input=info, code=2)

    assert f"{there} exists already" in said.stderr
    assert (tmp_path / there).read_text() == "mine"
    assert files(tmp_path) == {there}


@pytest.mark.parametrize(
    ("args", "given", "words"),
    [
        (["--from", "nowhere.json"], "", ["nowhere.json", "cannot be read"]),
        (["--from", "-"], "hello", ["Nothing of the Dashboard"]),
        (["--from", "-"], "Endpoint: https://x.eu/run/x\nToken: \x1b[31mred", ["[service] token"]),
        (["x.env", "--from", "-"], "INFO", ["x.env", "only TOML", "x.toml"]),
        (["conf.yaml"], "", ["conf.yaml", "only TOML", "conf.toml"]),
        (["no/such/folder.toml"], "", ["no/such", "does not exist"]),
        (["--env-only"], "", ["--from"]),
    ],
)
def test_what_cannot_be_used_is_told_and_nothing_is_written(tmp_path, info, args, given, words):
    said = init(tmp_path, *args, code=2, input=info if given == "INFO" else given)

    assert [word for word in words if word not in said.stderr] == []
    assert "\x1b" not in said.stderr
    assert files(tmp_path) == set()


def test_a_new_configuration_has_a_file_for_its_secrets(tmp_path):
    said = init(tmp_path)

    assert files(tmp_path) == {"batchinfer.toml", ".batchinfer.env"}
    assert (tmp_path / ".batchinfer.env").stat().st_mode & 0o777 == 0o600
    assert " .batchinfer.env" in said.stderr
    told = batchinfer("check", cwd=tmp_path, env=ENV, code=2).stdout
    assert "OSCAR_TOKEN" in told
    assert f"{tmp_path / '.batchinfer.env'}" in told


def test_secrets_that_are_there_are_kept(tmp_path):
    (tmp_path / ".batchinfer.env").write_text("OSCAR_TOKEN=mine")

    init(tmp_path)

    assert (tmp_path / ".batchinfer.env").read_text() == "OSCAR_TOKEN=mine"


def test_the_name_that_is_proposed_instead_is_free(tmp_path, info):
    (tmp_path / "info.json").write_text(info)
    for name in ("batchinfer.toml", "batchinfer-2.toml", ".batchinfer-3.env"):
        (tmp_path / name).write_text("mine")

    said = init(tmp_path, "--from", "info.json", code=2)

    assert said.stderr.strip().endswith("batchinfer init batchinfer-4.toml --from info.json")
