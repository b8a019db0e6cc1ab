"""Files of environment variables: read as a shell would, found beside a config, never quoted."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.config import load_config, load_stored_config, resolve_run_settings
from batchinfer.config.env_files import find_env_files, get_env_file_path, merge_env, read_env_file
from batchinfer.errors import ConfigError

CONFIG = """
[service]
endpoint = "https://x.eu/run/x"
token = "${OSCAR_TOKEN}"
"""
TOKEN = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("X=plain", "plain"),
        ("export X=plain", "plain"),
        ("  export   X=plain  ", "plain"),
        ("X=plain # a comment", "plain"),
        ("X=a#b", "a#b"),
        ("X='a # b'", "a # b"),
        ('X="a # b" # c', "a # b"),
        ("X='a\"b'", 'a"b'),
        ('X="a\\"b\\\\c\\$d"', 'a"b\\c$d'),
        ("X='$HOME'", "$HOME"),
        ("X=a'b'\"c\"d", "abcd"),
        ("X=\\'", "'"),
        ("X==", "="),
        ("X=", ""),
        ("X= # nothing", ""),
        ("X=''", ""),
    ],
)
def test_a_value_is_what_a_shell_makes_of_it(tmp_path, line, value):
    path = tmp_path / "x.env"
    path.write_text(f"{line}\n")
    shell = subprocess.run(
        ["sh", "-c", '. "$0"; printf %s "$X"', path], capture_output=True, text=True, check=True
    )

    assert read_env_file(path).variables == {"X": value}
    assert shell.stdout == value


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_whatever_is_quoted_for_a_shell_is_read(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("env") / "x.env"
    path.write_text(f"export X={shlex.quote(value)}\n", encoding="utf-8")

    assert read_env_file(path).variables == {"X": value}


def test_what_editors_of_other_systems_write_is_read(tmp_path):
    path = tmp_path / "x.env"
    path.write_bytes(b"\xef\xbb\xbf# secrets\r\n\r\nexport A='1'\r\nB = 2\r\n  # more\r\nC=x y\r\n")

    assert read_env_file(path).variables == {"A": "1", "B": "2", "C": "x y"}


@pytest.mark.parametrize("line", ["s3cret", "export s3cret", "X='s3cret", 'X="s3cret', "1X=s3cret"])
def test_a_named_file_must_be_right_and_is_not_quoted(tmp_path, line):
    path = tmp_path / "x.env"
    path.write_text(f"A=1\n{line}\n")

    with pytest.raises(ConfigError, match="line 2: expected NAME=VALUE") as caught:
        read_env_file(path)

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_named_file_that_is_none_is_told(tmp_path, content):
    path = tmp_path / "x.env"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"x\.env"):
        read_env_file(path)
    with pytest.raises(ConfigError):
        read_env_file(tmp_path)


def test_those_beside_a_config_are_found_the_nearest_name_first(tmp_path):
    names = [".sync.env", "sync.env", ".batchinfer.env", "batchinfer.env"]
    for name in [*names, "other.env", ".env"]:
        (tmp_path / name).write_text(f"A={name}")

    found = find_env_files([tmp_path / "sync.toml"])

    assert [path.name for path in found] == names
    assert get_env_file_path(tmp_path / "batchinfer.toml") == tmp_path / ".batchinfer.env"


def test_what_is_set_wins_but_not_what_is_empty(tmp_path):
    (tmp_path / "x.env").write_text("A=file\nB=file\nC=file")
    file = read_env_file(tmp_path / "x.env")

    merged = merge_env({"A": "set", "B": "", "D": "", "E": "set"}, [file])

    assert merged == {"A": "set", "B": "file", "C": "file", "D": "", "E": "set"}


def test_flag_then_environment_then_named_then_found_then_file(tmp_path):
    config = tmp_path / "c.toml"
    config.write_text(f"{CONFIG}[run]\ntimeout = 1\n")
    named = tmp_path / "named.env"

    def timeout(env=None, **flags):
        given = {f"run.{name}": value for name, value in flags.items() if name != "env_file"}
        given["origin.env_file"] = flags.get("env_file")
        return load_config(config, env or {}, given).run.timeout

    assert timeout() == 1
    (tmp_path / ".c.env").write_text("BATCHINFER_RUN_TIMEOUT=2")
    assert timeout() == 2
    named.write_text("BATCHINFER_RUN_TIMEOUT=3")
    assert timeout(env_file=named) == 3
    assert timeout({"BATCHINFER_RUN_TIMEOUT": "4"}, env_file=named) == 4
    assert timeout({"BATCHINFER_RUN_TIMEOUT": "4"}, env_file=named, timeout="5") == 5


def test_a_run_remembers_where_its_secrets_are_and_not_what_they_are(tmp_path, monkeypatch):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / "c.toml").write_text(CONFIG)
    (home / ".c.env").write_text(f"OSCAR_TOKEN={TOKEN}")
    config = load_config(home / "c.toml", {}, {})
    monkeypatch.chdir(elsewhere)

    again = load_stored_config(config.to_stored_tables(), {}, {})

    assert resolve_run_settings(config, {}).target == resolve_run_settings(again, {}).target
    assert TOKEN in resolve_run_settings(again, {}).secrets
    assert TOKEN not in str(config.to_stored_tables())
    assert TOKEN not in repr(again)


def test_the_folder_of_a_run_directory_is_looked_at_for_older_runs(tmp_path, monkeypatch):
    (tmp_path / "c.toml").write_text(CONFIG)
    (tmp_path / "batchinfer.env").write_text(f"OSCAR_TOKEN={TOKEN}")
    stored = load_config(tmp_path / "c.toml", {}, {}).to_tables()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert (
        resolve_run_settings(
            load_stored_config(stored, {}, {}, run=tmp_path / "run"), {}
        ).target.token
        == TOKEN
    )
    with pytest.raises(ConfigError, match="OSCAR_TOKEN, which is not set"):
        resolve_run_settings(load_stored_config(stored, {}, {}), {})


def test_a_file_that_others_can_read_is_told_and_so_are_lines_that_are_none(tmp_path):
    (tmp_path / "c.toml").write_text(CONFIG)
    secrets = tmp_path / ".c.env"
    secrets.write_text(f"OSCAR_TOKEN={TOKEN}\nif true; then\n")
    secrets.chmod(0o644)

    def notices():
        return resolve_run_settings(load_config(tmp_path / "c.toml", {}, {}), {}).notices

    told = {notice.code: notice.message for notice in notices()}
    secrets.chmod(0o600)
    secrets.write_text(f"OSCAR_TOKEN={TOKEN}\n")

    assert told.keys() == {"env_file_readable", "env_file_skipped"}
    assert f"chmod 600 {secrets}" in told["env_file_readable"]
    assert "line 2." in told["env_file_skipped"]
    assert notices() == ()
