"""What the Dashboard shows, however it was copied, becomes a configuration that works; or words."""

import json
import subprocess
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.config import load_config, resolve_run_settings
from batchinfer.config.dashboard import DASHBOARD_LABELS, parse_dashboard
from batchinfer.domain import Mode
from batchinfer.errors import ConfigError

TOKEN = "0123456789abcdef" * 4
SECRET = "s3cr'et $HOME `id` \\".replace(" ", "+")
VALUES = {
    "Endpoint": "https://inference.example.eu/run/ai4papi-1234",
    "Token": TOKEN,
    "MINIO bucket": "ai4papi-1234",
    "MINIO URL": "https://minio.example.eu",
    "MINIO access key": "0f1e2d@egi.eu",
    "MINIO secret key": SECRET,
}
SERVICE = {
    "name": "ai4papi-1234",
    "image": "ai4oshub/yolo",
    "token": TOKEN,
    "endpoint": VALUES["Endpoint"],
    "storage_providers": {
        "minio": {
            "default": {
                "endpoint": "https://minio.example.eu",
                "access_key": "0f1e2d@egi.eu",
                "secret_key": SECRET,
                "region": "us-east-1",
                "verify": True,
            }
        }
    },
    "environment": {"variables": {"PAPI_TITLE": "Bears and\nbirds", "PAPI_CREATED_BY": "x"}},
}


def pasted(between: str, end: str = "\n", **more: str) -> str:
    return end.join(f"{label}{between}{value}" for label, value in (VALUES | more).items())


PAGE = f"""
Synchronous calls

  Endpoint
  {VALUES["Endpoint"]}
  Token:

  {TOKEN}
Asynchronous calls
MINIO bucket\t{VALUES["MINIO bucket"]}
minio url  =  "{VALUES["MINIO URL"]}",
* MINIO ACCESS KEY: {VALUES["MINIO access key"]}
MINIO_SECRET_KEY: {SECRET}
Deployment ID
ai4papi-1234
Docker image: ai4oshub/yolo
"""


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(pasted(": "), id="colon"),
        pytest.param(pasted("\t"), id="tab"),
        pytest.param(pasted("   "), id="blanks"),
        pytest.param(pasted("\n"), id="next line"),
        pytest.param(pasted(":\r\n\r\n", "\r\n"), id="line after next, CRLF"),
        pytest.param("\ufeff" + pasted(" : "), id="byte order mark"),
        pytest.param(PAGE, id="page"),
        pytest.param(json.dumps(SERVICE), id="JSON"),
        pytest.param(json.dumps([SERVICE], indent=2), id="JSON list"),
    ],
)
def test_what_was_copied_resolves_in_both_modes(text, tmp_path):
    found = parse_dashboard(text)
    path = tmp_path / "c.toml"
    path.write_text(found.to_toml())

    sync = resolve_run_settings(load_config(path, {}, {}), found.secrets)
    bucket = resolve_run_settings(
        load_config(path, {}, {"run.mode": "async"}), found.secrets
    ).target

    assert found.modes == (Mode.SYNC, Mode.ASYNC)
    assert (sync.target.endpoint, sync.target.token) == (VALUES["Endpoint"], TOKEN)
    assert (bucket.endpoint, bucket.name) == (VALUES["MINIO URL"], VALUES["MINIO bucket"])
    assert (bucket.access_key, bucket.secret_key) == (VALUES["MINIO access key"], SECRET)
    assert TOKEN not in found.to_toml() + repr(found)
    assert SECRET not in found.to_toml() + repr(found)


def test_a_shell_reads_the_secrets_as_they_are():
    script = parse_dashboard(PAGE).to_env() + 'printf "%s\\n" "$OSCAR_TOKEN" "$MINIO_SECRET_KEY"'

    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.split() == [TOKEN, SECRET]


@pytest.mark.parametrize(
    ("labels", "modes"),
    [
        (["Endpoint", "Token"], (Mode.SYNC,)),
        (list(VALUES)[2:], (Mode.ASYNC,)),
    ],
)
def test_one_mode_alone_is_enough(labels, modes, tmp_path):
    found = parse_dashboard("\n".join(f"{label}: {VALUES[label]}" for label in labels))
    path = tmp_path / "c.toml"
    path.write_text(found.to_toml())

    assert found.modes == modes
    assert resolve_run_settings(load_config(path, {}, {}), found.secrets).mode is modes[0]


def test_region_and_verify_are_taken_over_and_the_title_is_a_comment(tmp_path):
    minio = SERVICE["storage_providers"]["minio"]["default"]
    other = {"storage_providers": {"minio": {"default": minio | {"region": "x", "verify": False}}}}
    tables = tomllib.loads(parse_dashboard(json.dumps(SERVICE | other)).to_toml())

    assert (tables["bucket"]["region"], tables["bucket"]["verify"]) == ("x", False)
    assert "# Service: Bears andbirds\n" in parse_dashboard(json.dumps(SERVICE)).to_toml()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["Nothing of the Dashboard", "MINIO secret key"]),
        ("Endpoint\nToken\n", ["Nothing of the Dashboard"]),
        ("hello world", ["Nothing of the Dashboard"]),
        (f"Endpoint: {VALUES['Endpoint']}", ["sync mode", "'token'"]),
        ("MINIO URL: https://x.eu", ["async mode", "'minio bucket'", "'minio secret key'"]),
        (pasted(": ", Token="**********"), ["'token'", "hidden"]),
        (pasted(": ", Token="••••••"), ["'token'", "hidden"]),
        (pasted(": ") + f"\nToken: {'f' * 64}", ["two different values", "'token'"]),
        (pasted(": ", Endpoint="ftp://x"), ["[service] endpoint", "https://"]),
        (pasted(": ", Endpoint="https://me:pw@x.eu/run/x"), ["[service] endpoint", "password"]),
        (pasted(": ", Token="two words"), ["[service] token", "space"]),
        (pasted(": ", **{"MINIO bucket": "https://x/y"}), ["[bucket] name", "bucket"]),
        ("{", ["is none"]),
        ("[" * 100_000, ["is none"]),
        ("[]", ["0 services"]),
        (json.dumps([SERVICE, SERVICE]), ["2 services"]),
        ('{"name": "x"}', ["Nothing of the Dashboard"]),
        ('{"name": 1, "token": ["x"], "storage_providers": "x"}', ["Nothing of the Dashboard"]),
        ("x" * 2_000_000, ["longer"]),
    ],
)
def test_what_cannot_be_used_is_told_and_never_quoted(text, words):
    with pytest.raises(ConfigError) as raised:
        parse_dashboard(text)

    assert [word for word in words if word not in str(raised.value)] == []
    assert TOKEN not in str(raised.value)
    assert SECRET not in str(raised.value)


@given(st.dictionaries(st.sampled_from(sorted(DASHBOARD_LABELS)), st.text(max_size=60), min_size=2))
def test_hostile_values_never_make_another_config(values):
    """Whatever is pasted: refused, or exactly these keys, with exactly these values."""
    text = "\n".join(f"{label}: {value}" for label, value in values.items())
    try:
        found = parse_dashboard(text)
    except ConfigError:
        return
    tables = tomllib.loads(found.to_toml())
    assert set(tables) - {"service", "bucket"} == {"input", "params", "run"}
    assert {(s, k) for s in ("service", "bucket") for k in tables.get(s, {})} == set(found.values)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_a_dollar_sign_in_a_name_is_no_reference(name):
    service = SERVICE | {"name": f"${{HOME}}{name}"}
    try:
        found = parse_dashboard(json.dumps(service))
    except ConfigError:
        return
    assert tomllib.loads(found.to_toml())["bucket"]["name"].startswith("$${HOME}")
