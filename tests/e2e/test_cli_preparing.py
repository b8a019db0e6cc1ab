"""`run --dry-run --curl` and `prepare`: what they print and write, sent by a real curl."""

import csv
import json
import os
import subprocess
import time

import pytest

from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import start_service
from batchinfer.protocols.ai4os.reply_parser import parse_body
from support.cli import batchinfer, clean_environment, config, png

PARAMS = [
    "--param",
    "imgsz=640",
    "--param",
    "text=a\"b\\$HOME `id` $(id) 'ü\n",
    "--param",
    "boxes=[1]",
]
SECRET = 'p"w\\d$x'
NAMES = [b"plain.png", b'it\'s $x `a` "q".png', b"new\nline\x1b[31m.png", b"bytes \xff\xc3.png"]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    journal = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with start_service(LocalServiceOptions(threads=True, journal=str(journal))) as started:
        yield started


@pytest.fixture
def desk(tmp_path, service):
    """A folder to work in, with a configuration that names its secrets, and their environment."""
    written = config(tmp_path / "batchinfer.toml", service)
    connection = service.connection
    text = written.read_text().replace(connection.token, "${MY_TOKEN}")
    text = text.replace(connection.bucket.secret_key, "${MY_SECRET}")
    written.write_text(text + '[params]\nkey = "${MODEL_KEY}"\n')
    return tmp_path


@pytest.fixture
def env(service):
    connection = service.connection
    return clean_environment(
        MY_TOKEN=connection.token,
        MY_SECRET=connection.bucket.secret_key,
        BATCHINFER_BUCKET_ACCESS_KEY=connection.bucket.access_key,
        MODEL_KEY=SECRET,
    )


def bash(script: str, desk, env) -> bytes:
    done = subprocess.run(
        ["bash", "-c", script], check=False, cwd=desk, env=env, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    return done.stdout


def photograph(desk, name: bytes) -> str:
    path = os.fsdecode(name)
    (desk / path).write_bytes(png(len(name)))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_the_curl_command_works_and_sends_what_a_run_sends(desk, env, service, name):
    path = photograph(desk, name)

    shown = batchinfer("run", path, "--dry-run", "--curl", *PARAMS, cwd=desk, env=env)
    body = parse_body(bash(shown.stdout, desk, env))
    batchinfer("run", path, "-o", "out", "-q", *PARAMS, cwd=desk, env=env)
    (row,) = batchinfer("export", "out", "-o", "-", cwd=desk, env=env).stdout.splitlines()

    assert body.prediction["key"] == SECRET
    ours = json.loads(row)["prediction"] | {"key": SECRET}
    assert body.prediction == ours
    assert body.prediction["imgsz"] == "640"
    assert [secret for secret in (service.connection.token, SECRET) if secret in shown.stdout] == []
    assert "\x1b" not in shown.stdout


def test_the_curl_command_of_async_mode_starts_a_prediction(desk, env, service):
    path = photograph(desk, NAMES[1])
    before = service.read_stats().get("async_finished", 0)

    shown = batchinfer("run", path, "--dry-run", "--curl", "--mode", "async", cwd=desk, env=env)
    bash(shown.stdout, desk, env)

    while service.read_stats().get("async_finished", 0) == before:
        time.sleep(0.02)
    assert service.connection.bucket.secret_key not in shown.stdout
    assert service.read_journal()[-1]["name"].startswith("curl-")


def test_the_curl_command_needs_no_file(desk, env):
    (desk / "x.jsonl").write_text('{"key": "k", "params": {"a": "1"}}\n')

    shown = batchinfer("run", "x.jsonl", "--dry-run", "--curl", cwd=desk, env=env).stdout

    assert parse_body(bash(shown, desk, env)).prediction["a"] == "1"


def test_the_curl_command_stands_in_the_json_too(desk, env):
    path = photograph(desk, NAMES[0])

    found = json.loads(batchinfer("run", path, "--dry-run", "--json", cwd=desk, env=env).stdout)

    assert found["curl"].startswith("curl ")
    assert "--dry-run" in batchinfer("run", path, "--curl", cwd=desk, env=env, code=2).stderr


# Payload files ------------------------------------------------------------------------------------


def index(folder):
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_prepared_payload_is_what_curl_can_send(desk, env, service):
    path = photograph(desk, NAMES[0])
    batchinfer("prepare", path, "-o", "out", *PARAMS, cwd=desk, env=env)
    (row,) = index(desk / "out")

    call = f"""curl -sS -H "Authorization: Bearer $MY_TOKEN" --data-binary @out/{row["file"]}"""
    body = parse_body(bash(f"{call} {service.connection.endpoint}", desk, env))

    assert row == {
        "file": "000000001-plain-png.json",
        "key": "plain.png",
        "path": str(desk / "plain.png"),
        "code": "",
    }
    assert body.prediction["key"] == SECRET
    assert json.loads((desk / "out" / row["file"]).read_bytes())["imgsz"] == 640


def test_it_needs_neither_service_nor_token(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1))
    env = clean_environment()

    batchinfer("init", cwd=tmp_path, env=env)
    done = batchinfer("prepare", "a.png", "-o", "out", "--json", cwd=tmp_path, env=env)

    found = json.loads(done.stdout)
    assert (found["directory"], found["written"], found["failures"]) == ("out", 1, {})
    (payload,) = (tmp_path / "out").glob("*.json")
    assert payload.stat().st_size == found["bytes"]
    assert payload.stat().st_mode & 0o777 == 0o600


def test_bad_items_are_listed_and_stop_nobody(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        (folder / os.fsdecode(name)).write_bytes(png(number))
    (folder / "empty.png").touch()
    (folder / "gone.png").symlink_to("nowhere")
    (folder / "Event-File.png").write_bytes(png(9))
    (folder / ("x" * 250)).write_bytes(png(10))

    env = clean_environment()
    done = batchinfer("prepare", "photos", "-o", "out", cwd=tmp_path, env=env, code=1)
    rows = index(tmp_path / "out")

    files = [row["file"] for row in rows if row["file"]]
    assert files == sorted(files)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*files, "index.csv"}
    assert all(set(name.removesuffix(".json")) <= SAFE and len(name) < 100 for name in files)
    assert not any("event-file" in name.lower() for name in files)
    assert {row["key"]: row["code"] for row in rows if row["code"]} == {
        "empty.png": "file_empty",
        "gone.png": "file_missing",
    }
    assert "empty.png: file_empty: " in done.stderr
    assert "2 items could not be prepared" in done.stderr
    assert "\x1b" not in done.stderr


SAFE = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def test_a_directory_that_holds_something_is_refused_without_force(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    env = clean_environment()

    told = batchinfer("prepare", "a.png", "-o", "out", cwd=tmp_path, env=env, code=2).stderr

    assert "--force" in told
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    for _ in range(2):
        batchinfer("prepare", "a.png", "-o", "out", "--force", cwd=tmp_path, env=env)
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_its_own_directory_is_no_source(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1))
    env = clean_environment()

    for _ in range(2):
        batchinfer("prepare", ".", "-o", "out", "--force", cwd=tmp_path, env=env)

    assert [row["key"] for row in index(tmp_path / "out")] == ["a.png"]


def test_a_manifest_on_standard_input(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1))
    env = clean_environment()

    given = "key,path,imgsz\none,a.png,32\n"
    batchinfer("prepare", "-", "-o", "out", cwd=tmp_path, env=env, input=given)

    (row,) = index(tmp_path / "out")
    assert json.loads((tmp_path / "out" / row["file"]).read_bytes())["imgsz"] == 32


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nowhere", "-o", "out"], ["nowhere", "no such file"]),
        (["a.png", "-o", "a.png/out"], ["cannot be written"]),
        (["a.png"], ["--output"]),
        (["a.png", "-o", "out", "--param", "k=${NOBODY}"], ["NOBODY"]),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, args, words):
    (tmp_path / "a.png").write_bytes(png(1))

    told = batchinfer("prepare", *args, cwd=tmp_path, env=clean_environment(), code=2).stderr

    assert [word for word in words if word not in told] == []
    assert not (tmp_path / "out").exists()
