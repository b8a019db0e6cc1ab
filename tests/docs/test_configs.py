"""Every ready configuration loads, and needs nothing but what it says."""

import re

import pytest

from batchinfer.config import load_config, resolve_run_settings
from batchinfer.domain import Mode
from support.paths import ROOT

CONFIGS = ROOT / "configs"
TOKEN = "0123456789abcdef" * 4
ENV = {
    "OSCAR_TOKEN": TOKEN,
    "MINIO_ACCESS_KEY": "me@example.eu",
    "MINIO_SECRET_KEY": "secret",
    "OPENAI_API_KEY": "secret",
}
EXPECTED = {
    "sync.toml": Mode.SYNC,
    "async.toml": Mode.ASYNC,
    "demo.toml": Mode.SYNC,
    "demo-app.toml": Mode.SYNC,
    "deepaas.toml": Mode.SYNC,
    "kserve-v1.toml": Mode.SYNC,
    "kserve-v2.toml": Mode.SYNC,
    "torchserve.toml": Mode.SYNC,
    "ollama.toml": Mode.SYNC,
    "openai-vision.toml": Mode.SYNC,
    "oscar.toml": Mode.ASYNC,
}


def test_every_ready_config_is_tested():
    assert {path.name for path in CONFIGS.glob("*.toml")} == set(EXPECTED)


@pytest.mark.parametrize(("name", "mode"), EXPECTED.items())
def test_a_ready_config_filled_in_resolves(name, mode, tmp_path):
    path = tmp_path / name
    path.write_text((CONFIGS / name).read_text().replace("-...", ".example.eu"))

    assert resolve_run_settings(load_config(path, {}, {}), ENV).mode is mode


def test_the_demo_config_serves_both_modes_as_it_is():
    path = CONFIGS / "demo.toml"

    assert (
        resolve_run_settings(load_config(path, {}, {"run.mode": "async"}), ENV).mode is Mode.ASYNC
    )
    assert not resolve_run_settings(load_config(path, {}, {}), ENV).notices


@pytest.mark.parametrize("name", EXPECTED)
def test_no_ready_config_holds_a_secret(name):
    text = (CONFIGS / name).read_text()
    secrets = re.findall(r"^(?:# )?(?:token|access_key|secret_key) = (\S+)", text, re.MULTILINE)

    assert secrets or name == "ollama.toml"
    assert all(re.fullmatch(r'"\$\{[A-Z_]+\}"', secret) for secret in secrets)
