"""`http-json`: the ready configurations, from the command line, against services of other kinds."""

import hashlib
import json
import re
import subprocess

import pytest

from support import other_services as others
from support.cli import batchinfer, clean_environment, rows, start, told, until
from support.other_services import TOKEN, Refused, serving
from support.paths import ROOT

PNG = b"\x89PNG\r\n\x1a\n pixels "
ENV = clean_environment(OPENAI_API_KEY=TOKEN)
KINDS = {
    "kserve-v1": (others.kserve_v1, "", lambda digest: {"sha256": digest}),
    "kserve-v2": (
        others.kserve_v2,
        "",
        lambda digest: [{"name": "sha256", "shape": [1], "datatype": "BYTES", "data": [digest]}],
    ),
    "torchserve": (others.torchserve, "", lambda digest: {"bear": 0.9, "sha256": digest}),
    "ollama": (others.ollama, "", lambda digest: {"sha256": digest}),
    "openai-vision": (others.openai_chat, "/v1", lambda digest: {"sha256": digest}),
}


def fill_in(folder, name, port, path="", model="bear"):
    """A ready configuration, as a person fills it in."""
    text = (ROOT / "configs" / f"{name}.toml").read_text()
    text = re.sub(
        r"^endpoint = .*$", f'endpoint = "http://127.0.0.1:{port}{path}"', text, flags=re.MULTILINE
    )
    text = text.replace("MODEL", model).replace('model = "..."', 'model = "vision"')
    (folder / "batchinfer.toml").write_text(text)


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(40):
        (tmp_path / "photos" / f"{number}.png").write_bytes(PNG + str(number).encode())
    return tmp_path / "photos"


def digests(photos):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in photos.iterdir()}


@pytest.mark.parametrize("name", KINDS)
def test_a_ready_config_runs_is_killed_and_goes_on(name, photos, tmp_path):
    kind, path, expected = KINDS[name]
    with serving(kind) as service:
        fill_in(tmp_path, name, service.port, path)
        service.latency = 0.02
        process = start("run", "photos", "-o", "out", "-n", "2", "-q", cwd=tmp_path, env=ENV)
        until(tmp_path / "out", lambda counts: counts.finished >= 10, process)
        process.kill()
        process.communicate()
        done = {row["key"] for row in rows(tmp_path / "out") if row["state"] == "succeeded"}
        before = len(service.seen)
        batchinfer("resume", "out", "-q", cwd=tmp_path, env=ENV)

    known = digests(photos)
    assert {row["key"]: row["prediction"] for row in rows(tmp_path / "out")} == {
        key: expected(digest) for key, digest in known.items()
    }
    assert 10 <= len(done) < 40
    assert not {known[key] for key in done} & set(service.seen[before:])
    assert TOKEN.encode() not in (tmp_path / "out" / "run.db").read_bytes()


@pytest.mark.parametrize("name", KINDS)
def test_the_curl_command_of_a_ready_config_does_the_same(name, photos, tmp_path):
    kind, path, _ = KINDS[name]
    with serving(kind) as service:
        fill_in(tmp_path, name, service.port, path)
        run = ("run", "photos/7.png", "-o", "out")
        shown = json.loads(batchinfer(*run, "--dry-run", "--json", cwd=tmp_path, env=ENV).stdout)
        assert service.seen == []
        subprocess.run(["bash", "-c", shown["curl"]], env=ENV, cwd=tmp_path, check=True)

    assert service.seen == [digests(photos)["7.png"]]
    assert TOKEN not in json.dumps(shown)


@pytest.mark.parametrize("name", KINDS)
def test_a_ready_config_is_checked_and_described(name, tmp_path):
    kind, path, _ = KINDS[name]
    with serving(kind) as service:
        fill_in(tmp_path, name, service.port, path)
        checked = batchinfer("check", "--json", cwd=tmp_path, env=ENV).stdout
        described = json.loads(batchinfer("describe", "--json", "-q", cwd=tmp_path, env=ENV).stdout)

    states = {line["check"]: line["state"] for line in json.loads(checked)["checks"]}
    assert states["service"] == states["endpoint"] == "good"
    names = [each["name"] for each in described["parameters"] if not each["is_file"]]
    assert names == (["model", "prompt"] if name in {"ollama", "openai-vision"} else [])


def test_a_wrong_key_ends_the_run_and_is_shown_nowhere(photos, tmp_path):
    wrong = "sk-wrong-0123456789abcdef"
    with serving(others.openai_chat) as service:
        fill_in(tmp_path, "openai-vision", service.port, "/v1")
        ended = told(tmp_path, "run", "photos", "-o", "out", code=3, OPENAI_API_KEY=wrong)

    assert "the service refuses the token" in ended
    assert "Incorrect API key: Bearer ***" in ended
    assert wrong not in ended
    assert service.seen == []


def test_a_model_that_is_not_there_ends_the_run_with_the_services_words(photos, tmp_path):
    with serving(others.ollama) as service:
        fill_in(tmp_path, "ollama", service.port)
        run = ("run", "photos", "-o", "out", "--param", "model=lava")
        ended = told(tmp_path, *run, code=3)

    assert "try pulling it first" in ended


CONFIG = """
[service]
endpoint = "http://127.0.0.1:{port}"
protocol = "http-json"
[run]
max_attempts = 2
[protocol]
path = "/predictions/bear"
raw = true
"""


def test_an_answer_that_is_no_json_is_waited_for_and_fails_no_item(photos, tmp_path):
    with serving(others.torchserve) as service:
        service.failures += [Refused(200, b"<html>Sign in")] * 1_000
        more = '[run]\ncold_start = "1s"\n'
        text = CONFIG.format(port=service.port).replace("[run]\n", more)
        (tmp_path / "batchinfer.toml").write_text(text)
        ended = told(tmp_path, "run", "photos", "-o", "out", code=3)

    assert "no JSON: check that the endpoint is that of a model: Sign in" in ended
    assert {row["state"] for row in rows(tmp_path / "out")} == {"pending"}


def run_one(photos, tmp_path, more, failures=(), code=0):
    with serving(others.torchserve) as service:
        service.failures += failures
        (tmp_path / "batchinfer.toml").write_text(CONFIG.format(port=service.port) + more)
        run = ("run", "photos/1.png", "-o", "out", "-q", "--max-attempts", "2")
        batchinfer(*run, code=code, cwd=tmp_path, env=ENV)
    (row,) = rows(tmp_path / "out")
    return row, service


@pytest.mark.parametrize(
    ("more", "answer", "code", "words"),
    [
        ('error = "fault"\n', Refused(200, {"fault": "no bear"}), "model_error", "no bear"),
        ('result = "a.b"\n', Refused(200, {"a": {}}), "unreadable", "nothing at 'a.b'"),
        ('statuses = {418 = "permanent"}\n', Refused(418, b"tea"), "http_418", "refused the item"),
        ('statuses = {"5xx" = "permanent"}\n', Refused(500, b"no"), "http_500", ": no"),
        ('decode = "base64"\n', Refused(200, b'"no base64!"'), "unreadable", "no file in base64"),
        ("", Refused(422, {"detail": "no picture"}), "http_422", "no picture"),
    ],
)
def test_answers_that_are_no_predictions_fail_the_item_in_plain_words(  # noqa: PLR0917
    photos, tmp_path, more, answer, code, words
):
    row, _ = run_one(photos, tmp_path, more, [answer] * 2, code=1)

    assert (row["state"], row["code"]) == ("failed", code)
    assert words in row["message"]


@pytest.mark.parametrize(
    ("more", "answer"),
    [
        ('statuses = {418 = "transient"}\n', Refused(418, b"tea")),
        ('statuses = {"4xx" = "overloaded"}\n', Refused(402, b"more")),
        ("", Refused(503, b"no worker")),
        ("", Refused(429, b"slow down")),
        ("", Refused(200, b"{half")),
    ],
)
def test_answers_that_may_pass_are_tried_again(photos, tmp_path, more, answer):
    row, service = run_one(photos, tmp_path, more, [answer])

    assert (row["state"], len(service.seen)) == ("succeeded", 1)


def test_a_file_in_base64_is_a_file(photos, tmp_path):
    answer = Refused(200, {"image": "data:image/png;base64,iVBORw0KGgpwaXhlbHM="})
    row, _ = run_one(photos, tmp_path, 'decode = "base64"\nresult = "image"\n', [answer])

    assert row["media_type"] == "image/png"
    assert (tmp_path / "out" / row["prediction"]).read_bytes() == b"\x89PNG\r\n\x1a\npixels"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "body is missing: say what a request looks like"),
        (
            "body = {a = 1}",
            'body has no place for an item: where its file belongs, write "$base64"',
        ),
        ('body = {a = "$bas64"}', "$bas64, which is none of"),
        ('body = {a = "$base64", b = "$base64"}', "several places for the content of a file"),
        ('body = {a = "$file"}', "cannot hold $file here"),
        ('body = "{no json"', "a text that is no JSON"),
        ("body = 3", "takes a table, a list or a text of JSON"),
        ('multipart = {a = "x $file"}', "it is a field of its own"),
        ('body = ["$base64"]\nraw = true', "a request has one shape"),
        ('raw = true\nresult = "a[[["', "is no JMESPath expression"),
        ('raw = true\nstatuses = {teapot = "fatal"}', "a status is"),
        ('raw = true\nstatuses = {404 = "ignore"}', "none of success, permanent"),
        ('raw = true\nheaders = {"a b" = "c"}', "cannot have 'a b'"),
        ('raw = true\npath = "x?y"', "takes a path"),
        ('raw = true\nresutl = "x"', "Did you mean 'result'?"),
        ('raw = true\nheaders = {Authorization = "Bearer abc"}', "is a secret by its name"),
    ],
)
def test_mistakes_are_refused_before_anything_is_sent(photos, tmp_path, options, words):
    (tmp_path / "batchinfer.toml").write_text(
        '[service]\nendpoint = "http://127.0.0.1:9"\nprotocol = "http-json"\n'
        f"[protocol]\n{options}\n"
    )
    error = told(tmp_path, "run", "photos", "-o", "out")

    assert words in error
    assert "[protocol] " in error
    assert not (tmp_path / "out").exists()


def test_parameters_without_a_place_and_places_without_a_parameter_are_refused(photos, tmp_path):
    (tmp_path / "batchinfer.toml").write_text(
        '[service]\nendpoint = "http://127.0.0.1:9"\nprotocol = "http-json"\n'
        '[protocol]\nbody = {i = "$base64", q = "$param.question"}\n[params]\nquestoin = "?"\n'
    )
    error = told(tmp_path, "run", "photos", "-o", "out")

    assert "no place for the parameter 'questoin' (did you mean 'question'?)" in error
    assert "the request needs the parameter 'question' ($param.question)" in error


def test_secrets_in_headers_are_sent_and_kept_nowhere(photos, tmp_path):
    secret = "k3y-0123456789-abcdef"
    with serving(others.torchserve) as service:
        inner, got = service.answer, []
        service.answer = lambda method, path, headers, body: (
            got.append(headers["X-Api-Key"]) or inner(method, path, headers, body)
        )
        (tmp_path / "batchinfer.toml").write_text(
            CONFIG.format(port=service.port) + 'headers = {X-Api-Key = "${KEY}"}\n'
        )
        env = ENV | {"KEY": secret}
        shown = batchinfer(
            "run", "photos/1.png", "-o", "out", "--dry-run", "--json", cwd=tmp_path, env=env
        ).stdout
        batchinfer("run", "photos/1.png", "-o", "out", "-q", cwd=tmp_path, env=env)
        subprocess.run(["bash", "-c", json.loads(shown)["curl"]], env=env, cwd=tmp_path, check=True)

    assert set(got) == {secret}
    assert len(got) == 2
    assert secret not in shown
    assert secret.encode() not in (tmp_path / "out" / "run.db").read_bytes()
