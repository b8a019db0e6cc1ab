"""What comes from outside cannot act on the terminal of who looks at a run: `show`, `status`."""

import json
import unicodedata
from pathlib import Path

import anyio
import pytest

from batchinfer.domain import InputFile, Item, SentFile
from batchinfer.store.sqlite import SqliteStore
from support.cli import batchinfer
from support.records import INFO, failed, item, reply, submitted

SIGNS = "\x1b]0;gone\x07\x1b[2J\x9b31m\u202egpj.\u2066\r\n\x85\u2028\x7f\b\ufeff"
"""Titles, colours, wiping, turned writing, lines of its own, signs that nobody sees."""
SPELLED = SIGNS.encode("unicode_escape").decode()
LONG = "m" * 1_000_000
LONG_KEY = "long " * 12_000
SENT = (SentFile(f"p{SIGNS}", 1, "a" * 64), SentFile("mask", 12_345, "b" * 64))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("hostile") / "run"
    files = (InputFile(f"p{SIGNS}", f"/data/{SIGNS}", 1), InputFile("mask", "/data/m.png"))
    keys = {"succeeded": f"a{SIGNS}", "failed": f"b{SIGNS}", "submitted": f"c{SIGNS}"}
    prediction = {f"n{SIGNS}": [SIGNS, float("nan")]}

    async def made() -> None:
        async with SqliteStore.create(run, INFO) as store:
            await store.add([Item(key, files, {f"q{SIGNS}": SIGNS}) for key in keys.values()])
            await store.add([item(LONG_KEY, path="/data/l"), item("t.jpg"), item("d.jpg")])
            await store.commit_records(
                [
                    reply(1, prediction=prediction, log=SIGNS, inputs=SENT, server_seconds=0.5),
                    failed(2, code=f"zz{SIGNS}", message=f"It said {SIGNS}", log=f"log {SIGNS}"),
                    submitted(3),
                    failed(4, code="a_code", message=LONG, log=LONG),
                    reply(5, prediction=f"text {SIGNS}", media_type="text/plain"),
                    reply(6, prediction=None, data=b"x", media_type=f"image/{SIGNS}"),
                ]
            )

    anyio.run(made)
    return run


def harmless(text: str) -> bool:
    """Whether a terminal does nothing with it but show it, line by line."""
    return all(sign == "\n" or sign.isprintable() for sign in text)


def safe(*args: object) -> str:
    done = batchinfer(*args)
    assert harmless(done.stdout)
    assert harmless(done.stderr)
    return done.stdout


@pytest.mark.parametrize("key", [f"a{SIGNS}", f"b{SIGNS}", f"c{SIGNS}", "t.jpg", "d.jpg"])
def test_show_spells_out_what_would_act_on_the_terminal(run, key):
    said = safe("show", run, key)

    assert said.startswith(key.encode("unicode_escape").decode() + ": ")
    assert r"\x1b]0;gone\x07" in said


def test_show_has_a_place_for_everything_hostile(run):
    said = safe("show", run, f"a{SIGNS}").splitlines()

    assert said[:4] == [
        f"a{SPELLED}: succeeded",
        f"  p{SPELLED} = /data/{SPELLED}",
        "  mask = /data/m.png",
        f"  q{SPELLED} = {spelled_json(SIGNS)}",
    ]
    assert said[5:8] == [
        f'input "mask": 12,345 bytes, sha256 {"b" * 64}',
        f'input "p{SPELLED}": 1 byte, sha256 {"a" * 64}',
        "prediction (application/json):",
    ]
    # Whatever it says stands behind blanks: it cannot pass for a line of ours.
    log = said.index("log of the last attempt:")
    assert all(line.startswith("  ") for line in [*said[8:log], *said[log + 1 :]])


def spelled_json(text: str) -> str:
    """As JSON in one line, and what is left of hostile signs spelled out."""
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in shown
    )


def test_show_has_the_whole_of_what_is_long(run):
    said = safe("show", run, LONG_KEY)

    assert said.count(LONG) == 2
    assert said.startswith(f"{LONG_KEY}: failed\n")


def test_show_as_json_is_exact_and_no_less_harmless(run):
    said = safe("show", run, f"a{SIGNS}", "--json")

    found = json.loads(said)
    assert said.isascii()
    assert found["key"] == f"a{SIGNS}"
    assert found["prediction"] == {f"n{SIGNS}": [SIGNS, "NaN"]}
    assert found["params"] == {f"q{SIGNS}": SIGNS}
    assert found["inputs"] == [
        {"param": "mask", "size": 12_345, "sha256": "b" * 64},
        {"param": f"p{SIGNS}", "size": 1, "sha256": "a" * 64},
    ]
    assert [attempt["log"] for attempt in found["history"]] == [SIGNS]
    assert json.loads(safe("show", run, f"b{SIGNS}", "--json"))["inputs"] == []


def test_a_key_that_is_not_there_is_told_harmlessly(run):
    done = batchinfer("show", run, f"x{SIGNS}", code=2)

    assert harmless(done.stderr)
    assert done.stderr.startswith("error: There is no item 'x\\x1b]0;gone")


def test_status_has_an_example_a_line_and_no_longer_than_a_line_bears(run):
    said = safe("status", run).splitlines()

    examples = said.index("Failures, an example each:") + 1
    assert said[examples] == "  a_code 1"
    assert said[examples + 1].startswith("    long long long")
    assert said[examples + 2] == f"  zz{SPELLED} 1"
    assert said[examples + 3] == f"    b{SPELLED}: It said {SPELLED}"
    assert max(map(len, said)) < 700
    assert not any("show" in line for line in said)  # nobody copies such a key
    assert "  batchinfer retry" in "\n".join(said)


def test_status_as_json_is_exact_and_no_less_harmless(run):
    said = safe("status", run, "--json")

    assert said.isascii()
    assert json.loads(said)["failures"] == {"a_code": 1, f"zz{SIGNS}": 1}


def test_the_signs_of_this_test_are_such_as_a_terminal_acts_on_or_hides():
    kinds = {unicodedata.category(sign) for sign in SIGNS if not sign.isprintable()}

    assert kinds == {"Cc", "Cf", "Zl"}
