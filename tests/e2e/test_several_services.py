"""One run over several real services: shared work, kills, wrong tokens, other models."""

import json
import os
import signal
from contextlib import contextmanager

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, images, start, until

COUNT = 60


def services_config(path, services, run='concurrency = "2"', **tokens):
    """A configuration with a block for each service; `tokens`: in place of the right ones."""
    blocks = [
        f'[[service]]\nname = "{name}"\nendpoint = "{each.connection.endpoint}"\n'
        f'token = "{tokens.get(name, each.connection.token)}"\n'
        for name, each in services.items()
    ]
    path.write_text("\n".join([*blocks, f"[run]\n{run}\n"]))
    return path


@contextmanager
def two_services(**options):
    chosen = {"threads": True, "containers": 2, "latency": 0.1, **options}
    with (
        start_service(LocalServiceOptions(**chosen)) as prod,
        start_service(LocalServiceOptions(**chosen)) as spare,
    ):
        yield {"prod": prod, "spare": spare}


def answered_by(run):
    return json.loads(batchinfer("status", run, "--json").stdout)["services"]


def test_a_kill_and_a_resume_use_both_and_lose_nothing(tmp_path):
    photos = images(tmp_path / "photos", COUNT)
    with two_services() as services:
        toml = services_config(tmp_path / "c.toml", services)
        process = start("run", photos, "-c", toml, "-o", tmp_path / "run", "-q")
        until(tmp_path / "run", lambda counts: counts.succeeded >= COUNT // 4, process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        batchinfer("resume", tmp_path / "run", "-q", "-c", toml)
        counts = answered_by(tmp_path / "run")
        rows = list(bi.results(tmp_path / "run"))
        stored = (tmp_path / "run" / "run.db").read_bytes()

    assert sum(counts.values()) == COUNT
    assert min(counts["prod"], counts["spare"]) >= COUNT // 8
    assert all(row.state == "succeeded" and row.attempts == 1 for row in rows)
    assert not any(each.connection.token.encode() in stored for each in services.values())
    said = batchinfer("status", tmp_path / "run").stdout
    assert f"answered by prod: {counts['prod']}" in said
    shown = json.loads(batchinfer("show", tmp_path / "run", rows[0].key, "--json").stdout)
    assert shown["history"][0]["service"] in services


def test_a_service_that_dies_does_not_hold_up_the_run(tmp_path):
    photos = images(tmp_path / "photos", COUNT)
    with two_services() as services:
        toml = services_config(tmp_path / "c.toml", services)
        process = start("run", photos, "-c", toml, "-o", tmp_path / "run")
        until(tmp_path / "run", lambda counts: counts.succeeded >= COUNT // 4, process)
        services["prod"].kill()
        _, said = process.communicate(timeout=120)

    assert process.returncode == 0, said
    counts = answered_by(tmp_path / "run")
    assert sum(counts.values()) == COUNT
    assert counts["spare"] > counts["prod"]
    assert "prod is away" in said
    assert "its items go to spare" in said


def test_a_wrong_token_is_said_and_the_other_goes_on(tmp_path):
    photos = images(tmp_path / "photos", 10)
    with two_services() as services:
        toml = services_config(tmp_path / "c.toml", services, prod="0" * 64)
        done = batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run")
        assert answered_by(tmp_path / "run") == {"spare": 10}
        assert "prod cannot be used (unauthorized)" in done.stderr
        assert "The run goes on with spare" in done.stderr

        services_config(toml, services, prod="0" * 64, spare="1" * 64)
        done = batchinfer("run", photos, "-c", toml, "-o", tmp_path / "both", code=3)
        assert "Traceback" not in done.stderr
        done = batchinfer("run", photos, "-c", toml, "-o", tmp_path / "no", "--no-validate", code=3)
        assert "unauthorized" in done.stderr


def test_one_of_them_can_be_chosen_and_checked(tmp_path):
    photos = images(tmp_path / "photos", 6)
    with two_services() as services:
        toml = services_config(tmp_path / "c.toml", services)
        batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run", "-q", "--service", "spare")
        assert answered_by(tmp_path / "run") == {"spare": 6}

        said = batchinfer(
            "run", photos, "-c", toml, "-o", tmp_path / "x", "--service", "prood", code=2
        ).stderr
        assert 'There is no service "prood". There are prod, spare.' in said
        checked = json.loads(batchinfer("check", "-c", toml, "--json").stdout)["checks"]
        assert {each.get("service") for each in checked if each["check"] == "access"} == {
            "prod",
            "spare",
        }
        (models,) = [each for each in checked if each["check"] == "models"]
        assert (models["state"], models["message"]) == (
            "good",
            "prod and spare describe the same model",
        )
        dry = batchinfer("run", photos, "-c", toml, "-o", tmp_path / "y", "--dry-run").stdout
        assert all(each.connection.endpoint in dry for each in services.values())


def test_other_versions_are_a_warning_and_an_error_of_check(tmp_path):
    photos = images(tmp_path / "photos", 4)
    common = {"threads": True, "containers": 2}
    with (
        start_service(LocalServiceOptions(**common, deepaas="2.5.2")) as prod,
        start_service(LocalServiceOptions(**common, deepaas="2.6.0")) as spare,
    ):
        toml = services_config(tmp_path / "c.toml", {"prod": prod, "spare": spare})
        said = batchinfer("run", photos, "-c", toml, "-o", tmp_path / "run").stderr
        assert "The services do not have the same model" in said
        assert "2.5.2" in said
        assert "2.6.0" in said
        checked = batchinfer("check", "-c", toml, "--json", code=1).stdout
        (models,) = [each for each in json.loads(checked)["checks"] if each["check"] == "models"]
        assert models["state"] == "bad"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[service]]\nendpoint = "http://a"\n', "has no name"),
        ('[[service]]\nname = "a"\n[[service]]\nname = "a"\n', 'two [[service]] named "a"'),
        (
            '[[service]]\nname = "a"\n[[service]]\nname = "b"\nprotocol = "other"\n',
            "spoken to in one way",
        ),
        ('[[service]]\nname = "a b"\n', "a name of letters"),
        ('[[service]]\nname = "a"\nendpont = "x"\n', 'no key "endpont"'),
        ('[[service]]\nname = "a"\n[[service]]\nname = "b"\n', '"b" endpoint'),
        (
            '[[service]]\nname = "a"\n[[service]]\nname = "b"\n[run]\nmode = "async"\n',
            "are for sync mode",
        ),
    ],
)
def test_mistakes_in_the_blocks_are_named(tmp_path, text, message):
    images(tmp_path / "photos", 1)
    (tmp_path / "c.toml").write_text(text)

    said = batchinfer("run", "photos", "-c", "c.toml", cwd=tmp_path, code=2).stderr
    assert message in said
    assert "Traceback" not in said


def test_a_variable_cannot_say_which_is_meant(tmp_path):
    images(tmp_path / "photos", 1)
    (tmp_path / "c.toml").write_text(
        '[[service]]\nname = "a"\nendpoint = "http://a"\ntoken = "x"\n'
        '[[service]]\nname = "b"\nendpoint = "http://b"\ntoken = "y"\n'
    )
    env = {**os.environ, "BATCHINFER_SERVICE_TOKEN": "secret-token"}

    said = batchinfer("run", "photos", "-c", "c.toml", cwd=tmp_path, env=env, code=2).stderr
    assert "there are several services (a, b)" in said
    assert "secret-token" not in said


def test_other_models_make_a_run_each_that_are_compared(tmp_path):
    photos = images(tmp_path / "photos", COUNT)
    with two_services() as services:
        toml = services_config(tmp_path / "c.toml", services)
        line = ("run", photos, "-c", toml, "-o", tmp_path / "runs", "--compare")
        process = start(*line)
        until(tmp_path / "runs" / "prod", lambda counts: counts.succeeded >= COUNT // 4, process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        said = batchinfer(*line).stderr
        page = (tmp_path / "runs" / "prod-spare.html").read_text()
        refused = batchinfer(*line[:-2], tmp_path / "runs" / "prod", "--compare", code=2).stderr
        one = batchinfer(*line, "--service", "prod", code=2).stderr

    assert f"{COUNT} the same" in said
    for name in services:
        rows = list(bi.results(tmp_path / "runs" / name))
        assert [row.state for row in rows] == ["succeeded"] * COUNT
        assert all(row.attempts == 1 for row in rows)
    assert services["prod"].connection.token not in page
    assert "is a run itself" in refused
    assert "two services or more" in one
