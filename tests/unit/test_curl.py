"""The parts of the curl command that no server on this machine would ask for."""

import shlex

import pytest

from batchinfer.api.curl import curl
from batchinfer.config import from_stored, resolve

TOKEN = "0123456789abcdef" * 4
STORED = {
    "service": {"endpoint": "https://x.example/run/a", "token": "${T}"},
    "bucket": {
        "endpoint": "https://m.example",
        "name": "bucket",
        "access_key": "${A}",
        "secret_key": "${S}",
        "region": "eu",
    },
    "params": {"one": "${P}", "two": "${Q}"},
}
ENV = {"T": TOKEN, "A": "access@me", "S": "secret-key", "P": "T}$", "Q": "Q"}


def shown(**more) -> str:
    stored = {name: table | more.get(name, {}) for name, table in STORED.items()}
    mode = more.get("mode", "sync")
    config = from_stored(stored, ENV, {"run.mode": mode})
    resolved = resolve(config, ENV)
    return curl(config, ENV, resolved, dict(resolved.params), [])


def test_secrets_are_the_variables_they_come_from():
    text = shown()

    assert 'Bearer $T"' in text
    assert '"one": "$(printf %s "$P" |' in text
    assert '"two": "$(printf %s "$Q" |' in text
    assert TOKEN not in text
    assert "T}" not in text


def test_in_async_mode_the_keys_are_variables_and_the_region_is_named():
    text = shown(mode="async")

    assert '--user "$A:$S" --aws-sigv4 aws:amz:eu:s3' in text
    assert "https://m.example/bucket/inputs/$name.json" in text
    assert not [value for value in ("access@me", "secret-key") if value in text]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_trust_is_as_configured(mode, tmp_path):
    ca = tmp_path / "it's a CA.pem"
    ca.touch()
    trust = {"ca_file": str(ca)}

    assert "--cacert" not in shown(mode=mode)
    assert f"--cacert {shlex.quote(str(ca))}" in shown(mode=mode, service=trust, bucket=trust)
    unsafe = {"verify": False}
    assert "  --insecure \\\n" in shown(mode=mode, service=unsafe, bucket=unsafe)
