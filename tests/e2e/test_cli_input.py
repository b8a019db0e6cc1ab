"""What a user did wrong is told in words, with exit code 2, and nothing is sent or made."""

import json
import subprocess

import pytest

from support.cli import CONFIG, TOKEN, batchinfer, clean_environment, command, told


@pytest.fixture
def desk(tmp_path):
    """A folder to work in: a configuration, two photos."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"\xff\xd8\xff some photo")
    (tmp_path / "photos" / "b.png").write_bytes(b"\x89PNG another")
    (tmp_path / "batchinfer.toml").write_text(CONFIG)
    return tmp_path


def test_version_and_help(desk):
    assert told(desk, "--version", code=0) == ""
    assert told(desk, "--help", code=0) == ""
    assert "Examples" in told(desk)


def test_an_unknown_command_names_the_nearest(desk):
    assert "Did you mean 'status'?" in told(desk, "statsu")


def test_an_unknown_option_is_refused(desk):
    assert "--concurency" in told(desk, "run", "photos", "--concurency", 3)


def test_init_writes_a_private_config_that_is_not_filled_in(desk):
    (desk / "batchinfer.toml").unlink()

    assert told(desk, "init", code=0).splitlines()[-1] == "  batchinfer check"
    assert (desk / "batchinfer.toml").stat().st_mode & 0o777 == 0o600
    assert "not filled in yet" in told(desk, "run", "photos")


def test_init_never_overwrites(desk):
    assert "exists already" in told(desk, "init")
    assert (desk / "batchinfer.toml").read_text() == CONFIG


def test_init_says_when_it_cannot_write(desk):
    assert "The folder nowhere does not exist" in told(desk, "init", "nowhere/x.toml")


def test_a_missing_variable_is_named_with_its_label_on_the_dashboard(desk):
    says = told(desk, "run", "photos", OSCAR_TOKEN="")

    assert "OSCAR_TOKEN" in says
    assert '"Token"' in says
    assert not (desk / "photos-run").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["photos", "--rate", "quick"], ["--rate", "5/s"]),
        (["photos", "-n", "0"], ["--concurrency", "whole number"]),
        (["photos", "--timeout", "soon"], ["--timeout", "10m"]),
        (["photos", "--max-failures", "120%"], ["--max-failures", "5%"]),
        (["photos", "--mode", "both"], ["--mode", '"sync" or "async"']),
        (["photos", "--param", "imgsz"], ["--param", "NAME=VALUE"]),
        (["photos", "--limit", "0"], ["--limit"]),
        (["photos", "-c", "other.toml"], ["other.toml", "no such file", "batchinfer init"]),
        (["photoz"], ["photoz", "no such file or folder"]),
        (["photos", "--glob", "*.tif"], ["nothing to send", "photos"]),
        ([], ["SOURCE"]),
    ],
)
def test_what_cannot_be_used_is_named(desk, args, words):
    says = told(desk, "run", *args, "-o", "out")

    assert [word for word in words if word not in says] == []
    assert not (desk / "out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[service]\nendpont = 'x'", ['no key "endpont"', '"endpoint"']),
        ("[servce]\n", ["[servce]", "[service]"]),
        ("[run]\ntimeout = 'soon'", ["[run] timeout", "10m"]),
        ("[run", ["not valid TOML"]),
        (CONFIG.replace("http://127.0.0.1:9", "127.0.0.1"), ["endpoint", "https://"]),
    ],
)
def test_a_mistake_in_the_config_is_told_with_its_place(desk, text, words):
    (desk / "batchinfer.toml").write_text(text)

    says = told(desk, "run", "photos")

    assert [word for word in ("batchinfer.toml", *words) if word not in says] == []


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("x.csv", "path,imgsz\na.jpg,1\nb.png\n", ["x.csv:3"]),
        ("x.csv", "key,path\nk,a.jpg\nk,b.png\n", ["'k'", "x.csv:3", "x.csv:2"]),
        ("x.csv", "", ["x.csv"]),
        ("x.jsonl", '{"files": {"files": "a.jpg"}}\n{"files": \n', ["x.jsonl:2"]),
        ("x.jsonl", '{"file": {"files": "a.jpg"}}\n', ["x.jsonl:1", "'files'"]),
    ],
)
def test_a_mistake_in_a_manifest_is_told_with_its_line_and_nothing_is_made(desk, name, text, words):
    (desk / name).write_text(text)

    says = told(desk, "run", name, "-o", "out")

    assert [word for word in words if word not in says] == []
    assert not (desk / "out").exists()


def test_a_broken_manifest_on_standard_input_is_told_with_its_line(desk):
    says = told(desk, "run", "-", "--dry-run", stdin="path\nphotos/a.jpg\n\nx,y\n")

    assert "standard input:" in says
    assert not (desk / "stdin-run").exists()


def test_submit_needs_a_source_or_a_run(desk):
    assert "-o" in told(desk, "submit")


def test_a_half_of_async_mode_asks_for_the_bucket(desk):
    assert '"MINIO bucket"' in told(desk, "submit", "photos")


# Looking before sending ---------------------------------------------------------------------------


def dry_run(desk, *args, stdin=None, code=0, **env):
    environment = clean_environment(OSCAR_TOKEN=TOKEN, **env)
    given = ["run", *args, "--dry-run"]
    done = batchinfer(*given, "--json", code=code, cwd=desk, env=environment, input=stdin)
    talk = batchinfer(*given, code=code, cwd=desk, env=environment, input=stdin)
    assert TOKEN not in done.stdout + done.stderr + talk.stdout + talk.stderr
    assert [path.name for path in desk.glob("*-run")] == []
    return json.loads(done.stdout), talk.stdout


def test_a_dry_run_shows_what_would_be_sent_and_makes_nothing(desk):
    found, said = dry_run(desk, "photos", "--param", "imgsz=640", "--param", "name=x")

    assert (found["items"], found["bytes"], found["refused"]) == (2, 26, {})
    assert found["destination"] == "http://127.0.0.1:9/run/nobody"
    assert found["key"] == "a.jpg"
    assert found["payload"] == {
        "imgsz": 640,
        "name": "x",
        "oscar-files": [
            {"key": "files", "file_format": "jpg", "data": "<base64 of 14 bytes>"},
        ],
    }
    assert "2 items" in said
    assert "<base64 of 14 bytes>" in said


def test_a_dry_run_tells_what_could_not_be_sent(desk):
    (desk / "photos" / "empty.jpg").touch()
    (desk / "photos" / "link.jpg").symlink_to("nowhere")

    found, said = dry_run(desk, "photos")

    assert {code: each["count"] for code, each in found["refused"].items()} == {
        "file_empty": 1,
        "file_missing": 1,
    }
    assert found["refused"]["file_empty"]["key"] == "empty.jpg"
    assert "file_missing" in said


def test_a_dry_run_says_when_no_item_could_be_sent(desk):
    found, said = dry_run(desk, "photos", "--param", "conf=0.5", code=1)

    assert found["refused"]["bad_param"]["count"] == 2
    assert found["payload"] is None
    assert "No item could be sent" in said
    talk = told(desk, "run", "photos", "--param", "conf=0.5", "--dry-run", code=1)
    assert "photos-run" not in talk  # it would make none


def test_a_dry_run_masks_secret_parameters(desk):
    (desk / "batchinfer.toml").write_text(CONFIG + '[params]\nkey = "${MODEL_KEY}"\n')

    found, said = dry_run(desk, "photos", MODEL_KEY="very secret")

    assert found["payload"]["key"] == "***"
    assert "very secret" not in said


def test_a_dry_run_reads_a_manifest_from_standard_input(desk):
    found, _ = dry_run(desk, "-", stdin="key,path,imgsz\none,photos/a.jpg,32\n")

    assert (found["items"], found["key"], found["payload"]["imgsz"]) == (1, "one", 32)


def test_a_dry_run_of_nothing_is_refused(desk):
    assert "nothing to send" in told(desk, "run", "photos", "--glob", "*.tif", "--dry-run")


def test_a_reader_that_leaves_early_is_no_failure(desk):
    environment = clean_environment(OSCAR_TOKEN=TOKEN)
    with subprocess.Popen(
        command("run", "photos", "--dry-run"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=desk,
        env=environment,
    ) as process:
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 0
