"""`check`: ticks, crosses and what to do, before a real service and in front of what is none."""

import base64
import json
import signal
import socket
import time

import pytest

from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from support.cli import batchinfer, clean_environment, config, images, png, start
from support.local_bucket import keys, put

ENV = clean_environment()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    journal = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with start_service(LocalServiceOptions(threads=True, journal=str(journal))) as started:
        yield started


@pytest.fixture
def desk(tmp_path, service):
    config(tmp_path / "batchinfer.toml", service)
    (tmp_path / "a.png").write_bytes(png(1))
    return tmp_path


def check(desk, *args, code=0, env=ENV):
    """What is found, by mode and name; and never a secret."""
    done = batchinfer("check", *args, "--json", cwd=desk, env=env, code=code)
    found = json.loads(done.stdout)
    assert found["exit_code"] == code
    return {(each["mode"], each["check"]): each for each in found["checks"]}


def states(found, mode):
    return {name: each["state"] for (of, name), each in found.items() if of == mode}


def changed(desk, old: str, new: str) -> None:
    path = desk / "batchinfer.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


ALL_ASYNC = ("config", "bucket", "region", "list", "put", "get", "delete", "leftovers", "clock")


async def test_all_is_well_and_nothing_is_left_or_started(desk, service):
    before, started = await keys(service), service.read_stats()

    found = check(desk)

    sync = dict.fromkeys(("config", "token", "endpoint", "access", "service", "clock"), "good")
    assert states(found, "sync") == sync
    assert states(found, "async") == dict.fromkeys((*ALL_ASYNC, "live"), "good")
    assert "2.5.2" in found[None, "deepaas"]["message"]
    assert await keys(service) == before
    assert service.read_stats().get("async_started") == started.get("async_started")
    assert service.read_journal() == [] or all(
        "help" not in line for line in service.read_journal()
    )


def test_for_people_it_is_a_list_of_ticks_without_secrets(desk, service):
    said = batchinfer("check", cwd=desk, env=ENV).stdout

    assert "✓ sync  token     64 hexadecimal digits" in said
    assert "✓ async delete    allowed" in said
    assert service.connection.token not in said
    plain = batchinfer("check", cwd=desk, env=ENV | {"PYTHONIOENCODING": "ascii"}).stdout
    assert "+ sync  token     64 hexadecimal digits" in plain


async def test_a_probe_predicts_in_both_modes_and_leaves_nothing(desk, service):
    before = await keys(service)

    found = check(desk, "--probe", "a.png")

    for mode in ("sync", "async"):
        assert found[mode, "probe"]["state"] == "good"
        assert found[mode, "probe"]["prediction"]["size"] == len(png(1))
    assert await keys(service) == before
    assert '"sha256"' in batchinfer("check", "--probe", "a.png", cwd=desk, env=ENV).stdout


async def test_a_probe_that_fails_leaves_nothing_either(desk, service):
    (desk / "empty.png").touch()
    before = await keys(service)

    found = check(desk, "--probe", "empty.png", code=1)

    assert "file_empty" in found["sync", "probe"]["message"]
    assert "file_empty" in found["async", "probe"]["message"]
    assert await keys(service) == before


async def test_leftovers_are_counted_but_for_runs_that_are_here(desk, service):
    images(desk / "photos", 3)
    batchinfer("run", "photos", "-o", "run", "-q", "--mode", "async", cwd=desk, env=ENV)
    assert states(check(desk), "async")["leftovers"] == "good"

    await put(service, "outputs/theirs.json")
    (desk / "run").rename(desk / "a run elsewhere")
    assert check(desk)["async", "leftovers"]["message"].startswith("0 in inputs/ and 1 in outputs/")
    (desk / "sub").mkdir()
    config(desk / "sub" / "batchinfer.toml", service)
    assert check(desk / "sub")["async", "leftovers"]["message"].startswith("3 in inputs/ and 7 in ")


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("f" * 64, []),
        ("f" * 63, ["63 hexadecimal digits", "Dashboard"]),
        ("nonsense", ["8 signs"]),
    ],
)
def test_a_wrong_token_is_told_and_hides_nothing_else(desk, service, token, words):
    changed(desk, service.connection.token, token)

    found = check(desk, code=1)

    assert [word for word in words if word not in found["sync", "token"]["message"]] == []
    assert (found["sync", "token"]["state"] == "bad") is bool(words)
    assert found["sync", "endpoint"]["state"] == "good"
    assert found["sync", "access"]["state"] == "bad"
    assert states(found, "async")["delete"] == "good"
    assert token not in json.dumps(list(found.values()))


def jwt(seconds: float) -> str:
    claims = json.dumps({"exp": time.time() + seconds}).encode()
    part = base64.urlsafe_b64encode(claims).decode().rstrip("=")
    return f"eyJhbGciOiJSUzI1NiJ9.{part}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("seconds", "state", "word"),
    [(-3700, "bad", "expired 1h"), (1830, "note", "30m"), (7300, "good", "2h")],
)
def test_the_expiry_of_an_oidc_token_is_told(desk, service, seconds, state, word):
    changed(desk, service.connection.token, jwt(seconds))

    found = check(desk, code=1)["sync", "token"]

    assert (found["state"], word in found["message"]) == (state, True), found


def test_a_wrong_secret_key_is_told_and_hides_nothing_else(desk, service):
    changed(desk, service.connection.bucket.secret_key, "wrong-secret-key")

    found = check(desk, code=1)

    assert found["async", "bucket"]["state"] == "bad"
    assert (
        "MINIO" in found["async", "bucket"]["message"]
        or "keys" in found["async", "bucket"]["message"]
    )
    assert "wrong-secret-key" not in json.dumps(list(found.values()))
    assert states(found, "sync")["access"] == "good"


def test_a_bucket_that_is_not_there_is_told(desk):
    changed(desk, 'name = "local"', 'name = "nobodys"')

    found = check(desk, code=1)

    assert "nobodys" in found["async", "bucket"]["message"]


def test_nobody_answers(desk, service):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        text = (desk / "batchinfer.toml").read_text()
        started = service.connection.bucket.endpoint
        (desk / "batchinfer.toml").write_text(text.replace(started, address))

        found = check(desk, "--wait", "3s", code=1)

    assert found["sync", "endpoint"]["state"] == "bad"
    assert found["async", "bucket"]["state"] == "bad"
    assert ("async", "put") not in found


def test_a_cold_service_is_no_cross_and_can_be_waited_for(tmp_path):
    with start_service(LocalServiceOptions(threads=True, cold_start=3)) as service:
        config(tmp_path / "batchinfer.toml", service)

        found = check(tmp_path, "--wait", "1s")
        assert found["sync", "service"]["state"] == "note"
        assert "cold" in found["sync", "service"]["message"]
        assert (None, "deepaas") not in found
        assert check(tmp_path)["sync", "service"]["state"] == "good"


def test_an_endpoint_that_only_listens_is_not_called_well(desk, service):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        address = f"http://127.0.0.1:{deaf.getsockname()[1]}/run/local"
        changed(desk, service.connection.endpoint, address)

        found = check(desk, "--wait", "1s")

    assert found["sync", "endpoint"]["state"] == "note"
    assert found["sync", "service"]["state"] == "note"
    assert ("sync", "access") not in found


async def test_a_probe_that_is_interrupted_leaves_nothing(tmp_path):
    with start_service(LocalServiceOptions(threads=True, latency=60)) as service:
        config(tmp_path / "c.toml", service, 'mode = "async"')
        text = (tmp_path / "c.toml").read_text().partition("[bucket]")
        (tmp_path / "c.toml").write_text(text[1] + text[2])
        (tmp_path / "a.png").write_bytes(png(1))
        before = await keys(service)
        process = start("check", "-c", tmp_path / "c.toml", "--probe", tmp_path / "a.png")
        while await keys(service) == before:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)

        assert process.returncode == 130
        assert await keys(service) == before


def test_the_quirks_of_a_version_are_told(tmp_path):
    with start_service(LocalServiceOptions(threads=True, deepaas="2.6.0")) as service:
        config(tmp_path / "batchinfer.toml", service)

        assert "tmp-file-" in check(tmp_path)[None, "deepaas"]["message"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[service]\nendpont = 1\n", ["endpont"]),
        ("[service", ["TOML"]),
        ('[service]\nendpoint = "http://127.0.0.1:9/run/x"\n', ["token"]),
        ('[bucket]\nname = "x"\n', ["MINIO URL", "MINIO secret key"]),
        ("", ["endpoint", "token"]),
    ],
)
def test_a_config_that_is_not_complete_ends_with_2(tmp_path, text, words):
    (tmp_path / "batchinfer.toml").write_text(text)

    found = check(tmp_path, code=2)

    told = " ".join(each["message"] for each in found.values() if each["check"] == "config")
    assert [word for word in words if word not in told] == []


def test_a_mode_that_was_never_filled_in_is_not_checked(desk, service):
    text = (desk / "batchinfer.toml").read_text().partition("[bucket]")[0]
    (desk / "batchinfer.toml").write_text(text + '[bucket]\nname = "ai4papi-..."\n')

    assert {mode for mode, _ in check(desk)} == {"sync", None}


def test_a_wait_that_is_no_duration_is_refused(desk):
    assert "--wait" in batchinfer("check", "--wait", "soon", cwd=desk, env=ENV, code=2).stderr


def test_a_secret_that_is_short_or_a_word_is_told(desk, service):
    changed(desk, service.connection.token, "${MY_TOKEN}")
    with (desk / "batchinfer.toml").open("a") as file:
        file.write('[params]\nwho = "${WHO}"\n')
    env = {**ENV, "MY_TOKEN": service.connection.token, "WHO": "bear"}

    found = check(desk, env=env)

    assert found["sync", "secrets"]["state"] == "note"
    assert "${WHO} is short or a plain word" in found["sync", "secrets"]["message"]
    assert "bear" not in found["sync", "secrets"]["message"]
