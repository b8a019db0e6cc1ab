"""What a folder or a list brings to the model, and what never: seen from the command line."""

import csv
import json
import os
import unicodedata
from pathlib import Path

import pytest

import batchinfer as bi
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess, start_service
from support.cli import batchinfer, config, png

TOKEN = "0123456789abcdef" * 4
CONFIG = '[service]\nendpoint = "http://127.0.0.1:9/run/nobody"\ntoken = "${OSCAR_TOKEN}"\n'
UNDECODABLE = os.fsdecode(b"caf\xe9.png")
NFC, NFD = (unicodedata.normalize(form, "Müller_é.png") for form in ("NFC", "NFD"))


@pytest.fixture(scope="module")
def service():
    with start_service(LocalServiceOptions(threads=True, containers=4)) as local:
        yield local


@pytest.fixture
def desk(tmp_path) -> Path:
    """A folder that is worked in, and sent: two photographs, a configuration, litter."""
    desk = tmp_path / "desk"
    (desk / "@eaDir" / "a.png").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.JPG", "@eaDir/a.png/SYNOPHOTO_THUMB_M.png")):
        (desk / name).write_bytes(png(number))
    (desk / "a.xmp").write_text("<x/>")
    (desk / "Thumbs.db").write_bytes(b"x")
    (desk / "batchinfer.toml").write_text(CONFIG)
    return desk


def environment(**more: str) -> dict[str, str]:
    ours = ("BATCHINFER_", "OSCAR_", "MINIO_")
    return {n: v for n, v in os.environ.items() if not n.startswith(ours)} | {
        "OSCAR_TOKEN": TOKEN,
        **more,
    }


def do(desk: Path, *args: object, code: int = 0, stdin: str | None = None):
    done = batchinfer(*args, code=code, cwd=desk, env=environment(), input=stdin)
    assert "Traceback" not in done.stderr
    assert TOKEN not in done.stdout + done.stderr
    return done


def test_a_dry_run_says_what_is_taken_and_what_is_skipped(desk):
    said = do(desk, "run", ".", "--dry-run").stdout
    assert "Taken: 3 files; skipped: 3 (@eaDir/ 1, Thumbs.db 1, batchinfer's own 1)." in said
    found = json.loads(
        do(desk, "run", ".", "--dry-run", "--json", "--only", "images", "--exclude", "b.*").stdout
    )
    assert (found["items"], found["taken"], found["key"]) == (1, 1, "a.png")
    assert found["skipped"] == {
        ".jpg": 1,
        ".toml": 1,
        ".xmp": 1,
        "@eaDir/": 1,
        "Thumbs.db": 1,
    }


def test_flags_overrule_the_patterns_of_the_configuration(desk):
    (desk / "batchinfer.toml").write_text(CONFIG + '[input]\nglob = "*.xmp"\nexclude = ["b*"]\n')

    def keys(*args):
        found = json.loads(do(desk, "run", ".", "--dry-run", "--json", *args).stdout)
        return found["items"], found["key"]

    assert keys() == (1, "a.xmp")
    assert keys("--include", "*.png") == (1, "a.png")
    assert keys("--glob", "*.png", "--include", "*.jpg", "--exclude", "x") == (2, "a.png")
    assert "--only" in do(desk, "run", ".", "--only", "pictures", code=2).stderr


def test_nothing_to_send_says_what_there_was(desk):
    said = do(desk, "run", ".", "-o", "out", "--include", "*.tif", code=2).stderr
    assert "nothing to send" in said
    assert (
        "Taken: 0 files; skipped: 6 (.jpg 1, .png 1, .toml 1, .xmp 1, @eaDir/ 1, Thumbs.db 1)"
        in said
    )
    assert not (desk / "out").exists()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_folder_that_is_worked_in_sends_its_photographs_only(mode, desk, service: ServiceProcess):
    (desk / "batchinfer.toml").unlink()
    toml = config(desk / "my settings.txt", service, f'mode = "{mode}"')
    secret = service.connection.bucket.secret_key
    (desk / "notes.md").write_text(f"the key is {secret}, do not tell\n")
    (desk / "a.xmp").unlink()

    first = do(desk, "run", ".", "-c", toml, "-o", "../desk/one", code=1)
    said = "note: Taken: 3 files; skipped: 3 (@eaDir/ 1, Thumbs.db 1, batchinfer's own 1)."
    assert said in first.stderr
    do(desk, "report", "one")
    do(desk, "export", "one", "-o", "results", "--format", "files")
    do(desk, "export", "one", "-o", "table.csv")
    do(desk, "query", "one", "select key from results", "-o", "answer.txt")
    (desk / "link").symlink_to("one")
    do(desk, "run", ".", "-c", toml, "-o", "link/../two", code=1)
    for run in ("one", "two"):
        rows = {row["key"]: row["code"] for row in bi.query(desk / run, "select * from results")}
        assert rows == {"a.png": None, "b.JPG": None, "notes.md": "file_holds_secret"}
    told = do(desk, "show", "one", "notes.md").stdout
    assert "file_holds_secret" in told
    assert secret not in told


def test_a_file_with_a_secret_is_refused_wherever_payloads_are_made(desk):
    (desk / "0.txt").write_text(f"token={TOKEN}")
    found = json.loads(do(desk, "run", ".", "--dry-run", "--json").stdout)
    assert found["refused"]["file_holds_secret"]["key"] == "0.txt"
    assert found["key"] == "a.png"
    assert "0.txt" not in do(desk, "run", ".", "--dry-run", "--curl").stdout
    do(desk, "prepare", ".", "-o", "payloads", code=1)
    with (desk / "payloads" / "index.csv").open(newline="") as file:
        codes = {row["key"]: row["code"] for row in csv.DictReader(file)}
    assert codes == {"0.txt": "file_holds_secret", "a.png": "", "a.xmp": "", "b.JPG": ""}
    again = json.loads(do(desk, "run", ".", "--dry-run", "--json").stdout)
    assert again["items"] == found["items"]  # payloads are not sent either


def test_what_is_ours_is_refused_where_it_is_named(desk):
    assert "never an input" in do(desk, "run", "batchinfer.toml", "-o", "out", code=2).stderr
    assert not (desk / "out").exists()
    Path(desk / "m.csv").write_text("path\na.png\nbatchinfer.toml\n")
    said = do(desk, "run", "m.csv", "-o", "out", code=2).stderr
    assert "m.csv:3: " in said
    assert not (desk / "out").exists()


def test_a_list_of_paths_from_a_file_and_from_standard_input(desk, service: ServiceProcess):
    toml = config(desk.parent / "c.toml", service)
    (desk / "list.txt").write_text("a.png\r\nb.JPG\r\n")
    asked = do(desk, "run", "list.txt", "-c", toml, code=2).stderr
    assert "--files-from list.txt" in asked
    do(desk, "run", "--files-from", "list.txt", "-c", toml, "-q")
    do(desk, "run", "--files-from", "-", "-c", toml, "-q", stdin="b.JPG\0a.png\0")
    keys = {
        run: [row["key"] for row in bi.query(desk / run, "select key from results")]
        for run in ("list-run", "stdin-run")
    }
    assert keys == {"list-run": ["a.png", "b.JPG"], "stdin-run": ["b.JPG", "a.png"]}
    do(desk, "resume", "list-run", "-c", toml, "-q")
    do(desk, "run", "list.txt", "--as-file", "-c", toml, "-o", "itself", "-q")
    assert [row["key"] for row in bi.query(desk / "itself", "select key from results")] == [
        "list.txt"
    ]


def test_standard_input_ends_with_the_terminal_also_as_a_list(desk):
    assert (
        "--detach cannot read"
        in do(desk, "run", "--files-from", "-", "--detach", code=2, stdin="a.png\n").stderr
    )


@pytest.mark.parametrize("command", ["run", "prepare"])
def test_a_source_must_be_given(desk, command):
    said = do(desk, command, *(("-o", "out") if command == "prepare" else ()), code=2).stderr
    assert "SOURCE" in said


def test_an_address_that_nothing_reads_is_answered(desk):
    assert "gs://b/x" in do(desk, "run", "gs://b/x", code=2).stderr


# Keys as people type them -------------------------------------------------------------------------


@pytest.fixture
def odd(desk, service) -> tuple[Path, Path]:
    """A run of files with odd names, one of them failed, and its configuration."""
    photos = desk / "odd"
    photos.mkdir()
    try:
        (photos / UNDECODABLE).touch()  # empty: it fails
    except OSError:
        pytest.skip("this file system refuses such names")
    (photos / NFD).touch()
    if (photos / NFC).exists():
        pytest.skip("this file system takes both forms for one name")
    toml = config(desk.parent / "c.toml", service)
    do(desk, "run", "odd", "-c", toml, "-o", "out", code=1)
    return desk, toml


@pytest.mark.parametrize("typed", [UNDECODABLE, r"caf\xe9.png"])
def test_a_key_that_is_no_utf8_works_wherever_it_is_typed(odd, typed):
    desk, _ = odd
    assert r"caf\xe9.png: failed" in do(desk, "show", "out", typed).stdout
    assert json.loads(do(desk, "show", "out", typed, "--json").stdout)["key"] == r"caf\xe9.png"
    asked = f"select state from results where key = '{typed}'"
    assert "failed" in do(desk, "query", "out", asked, "--format", "csv").stdout
    assert "1 item is pending" in do(desk, "retry", "out", "--key", typed).stderr
    do(desk, "report", "out", "--title", typed)
    said = do(desk, "retry", "out", "--code", typed, code=2).stderr
    assert "No item failed with 'caf" in said
    assert "no item" in do(desk, "show", "out", f"x{typed}x", code=2).stderr
    assert bi.show(desk / "out", typed).result.key == r"caf\xe9.png"
    assert bi.show(desk / "out", os.fsencode(typed)).result.key == r"caf\xe9.png"
    (row,) = bi.query(desk / "out", "select state from results where key = ?", [typed])
    assert row["state"] == "pending"


@pytest.mark.parametrize("typed", [NFC, NFD])
def test_a_key_is_found_in_either_normal_form(odd, typed):
    desk, _ = odd
    assert json.loads(do(desk, "show", "out", typed, "--json").stdout)["key"] == NFD
    assert "1 item is pending" in do(desk, "retry", "out", "--key", typed).stderr
    said = do(desk, "show", "out", f"{typed}x", code=2).stderr
    assert "Did you mean" in said
    chosen = ("run", "odd", "--include", f"{typed[:3]}*")
    found = json.loads(do(desk, *chosen, "--dry-run", "--json", code=1).stdout)
    assert (found["items"], found["refused"].keys()) == (1, {"file_empty"})


def test_keys_that_only_look_the_same_are_told_apart(odd):
    desk, toml = odd
    (desk / "odd" / NFC).touch()
    do(desk, "run", "odd", "-c", toml, "-o", "both", code=1)
    for typed in (NFC, NFD):
        assert json.loads(do(desk, "show", "both", typed, "--json").stdout)["key"] == typed
    mixed = NFC[:7] + NFD[8:]
    assert mixed not in {NFC, NFD}
    assert unicodedata.normalize("NFC", mixed) == NFC
    said = do(desk, "show", "both", mixed, code=2).stderr
    assert "look the same" in said
    near = do(desk, "show", "both", "Muller-e.png", code=2).stderr
    assert r"M\xfcller" in near
    assert r"Mu\u0308ller" in near
    assert r"M\xfcller" in said
    assert r"Mu\u0308ller" in said


def test_a_parameter_that_is_no_utf8_is_refused_not_falsified(desk):
    said = do(desk, "run", "a.png", "--param", f"text={UNDECODABLE}", "--dry-run", code=2).stderr
    assert r"caf\xe9.png is not UTF-8" in said
