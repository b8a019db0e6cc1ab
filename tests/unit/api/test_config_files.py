"""`bi.init`: the configuration and the file of its secrets, as the command writes them."""

import json
import stat
from pathlib import Path

import pytest

import batchinfer as bi

TOKEN = "0123456789abcdef" * 4
INFO = json.dumps({"name": "birds", "token": TOKEN, "endpoint": "https://example.org/run/birds"})


def test_a_configuration_to_be_filled_in(tmp_path: Path):
    written = bi.init(tmp_path / "own.toml")

    assert written == (tmp_path / "own.toml", tmp_path / ".own.env")
    assert "[service]" in written[0].read_text()
    assert [stat.S_IMODE(each.stat().st_mode) for each in written] == [0o600, 0o600]


async def test_one_that_is_filled_in_keeps_its_secrets_apart(tmp_path: Path):
    config, env = await bi.ainit(tmp_path / "own.toml", info=INFO)

    assert TOKEN not in config.read_text()
    assert TOKEN in env.read_text()
    assert bi.load_config(config).service.endpoint == "https://example.org/run/birds"


def test_secrets_that_are_not_wanted_in_any_file(tmp_path: Path):
    assert bi.init(tmp_path / "own.toml", info=INFO, env_only=True) == (tmp_path / "own.toml",)
    assert TOKEN not in (tmp_path / "own.toml").read_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("taken.toml", r"exists already and is left as it is\. Name another file\.$"),
        ("nowhere/own.toml", "does not exist: create it first"),
        ("own.yaml", r"only TOML is written\. Name the file own\.toml"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, name: str, message: str):
    (tmp_path / "taken.toml").write_text("# mine")

    with pytest.raises(bi.ConfigError, match=message):
        bi.init(tmp_path / name)

    assert [path.name for path in tmp_path.iterdir()] == ["taken.toml"]
    assert (tmp_path / "taken.toml").read_text() == "# mine"


def test_information_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(bi.ConfigError):
        bi.init(tmp_path / "own.toml", info="{")
