"""The parts of the curl command that no server on this machine would ask for."""

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from batchinfer.api.curl import build_curl_command
from batchinfer.config import load_stored_config, resolve_run_settings

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
    config = load_stored_config(stored, ENV, {"run.mode": mode})
    resolved = resolve_run_settings(config, ENV)
    return build_curl_command(config, ENV, resolved, dict(resolved.params), [])


def test_secrets_are_the_variables_they_come_from():
    text = shown()

    assert 'Bearer ${T:?}"' in text
    assert '"one": "$(printf %s "${P}" |' in text
    assert '"two": "$(printf %s "${Q}" |' in text
    assert TOKEN not in text
    assert "T}" not in text


def test_in_async_mode_the_keys_are_variables_and_the_region_is_named():
    text = shown(mode="async")

    assert "--aws-sigv4 aws:amz:eu:s3" in text
    assert "${A:?}" in text
    assert "${S:?}" in text
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


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="this system has no /proc")
@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_no_secret_stands_on_a_command_line(mode, shell, tmp_path):
    curl = tmp_path / "curl"  # says what everybody can see of it, and what it is told besides
    curl.write_text("#!/bin/sh\ntr '\\0' ' ' < /proc/$$/cmdline > argv\ncat /dev/fd/3 > fd3\n"
                    "cat > stdin\n")  # fmt: skip
    curl.chmod(0o755)
    env = {**ENV, "S": 'sec"ret\\key', "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    subprocess.run([shell, "-c", shown(mode=mode)], cwd=tmp_path, env=env, check=True)

    argv = (tmp_path / "argv").read_text()
    assert "https://" in argv
    assert not [value for value in ENV.values() if len(value) > 1 and value in argv]
    told = {"sync": f'header = "Authorization: Bearer {TOKEN}"\n',
            "async": 'user = "access@me:sec\\"ret\\\\key"\n'}  # fmt: skip
    assert (tmp_path / "fd3").read_text() == told[mode]
    assert json.loads((tmp_path / "stdin").read_text()) == {"one": "T}$", "two": "Q"}


@pytest.mark.parametrize(("mode", "variable"), [("sync", "T"), ("async", "A")])
def test_a_variable_that_is_not_set_is_told_before_anything_is_sent(mode, variable):
    env = {"PATH": os.environ["PATH"], "P": "p", "Q": "q"}

    done = subprocess.run(
        ["sh", "-c", shown(mode=mode)], env=env, capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    assert f"{variable}: " in done.stderr
