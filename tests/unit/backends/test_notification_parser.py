"""MinIO's lines, and whatever else comes where they should."""

import json
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.backends.bucket_client import ListedObject
from batchinfer.backends.notification_parser import (
    MAX_LINE_BYTES,
    MalformedNotification,
    NotificationParser,
    NotificationsUnsupported,
)

BUCKET = "ai4papi-1"
PING = b'{"Records":null}\n'


def event(key: str, name: str = "s3:ObjectCreated:Put", bucket: str = BUCKET, **about) -> dict:
    about.setdefault("size", 3)
    entry = {"key": quote_plus(key), **about}
    return {"eventName": name, "s3": {"bucket": {"name": bucket}, "object": entry}}


def line(*events: object) -> bytes:
    return json.dumps({"Records": [*events]}).encode() + b"\n"


def read(*pieces: bytes) -> list[ListedObject]:
    parser = NotificationParser(BUCKET)
    return [entry for piece in pieces for entry in parser.feed(piece)]


@given(st.lists(st.text(min_size=1).filter(str.isprintable), max_size=5), st.data())
def test_keys_come_as_they_were_written_however_the_lines_are_cut(keys, data):
    raw = b"".join(b"  " + line(event(key)) + PING for key in keys)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    pieces = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    assert read(*pieces) == [ListedObject(key, 3) for key in keys]


@pytest.mark.parametrize("key", ["outputs/a b.json", "outputs/a+b.json", "outputs/ä%2F.json"])
def test_keys_are_escaped_as_in_a_query(key):
    assert read(line(event(key))) == [ListedObject(key, 3)]


def test_one_line_may_tell_of_several():
    assert [each.key for each in read(line(event("a"), event("b")))] == ["a", "b"]


def test_an_empty_object_has_no_size():
    without = {"eventName": "s3:ObjectCreated:Put"}
    without["s3"] = {"bucket": {"name": BUCKET}, "object": {"key": "a"}}
    assert read(line(without)) == [ListedObject("a", 0)]


@pytest.mark.parametrize("alive", [b" " * 100, PING, b"\n", b"\r\n", b' {"Records":[]}\n', b"{}\n"])
def test_signs_of_life_tell_nothing(alive):
    assert read(alive, alive) == []
    assert read(alive, line(event("a"))) == [ListedObject("a", 3)]


def test_blanks_without_end_take_no_memory():
    parser = NotificationParser(BUCKET)
    for _ in range(40):
        assert parser.feed(b" " * (1 << 16)) == []
    assert parser.feed(line(event("a"))) == [ListedObject("a", 3)]


@pytest.mark.parametrize(
    "other",
    [
        event("a", name="s3:ObjectRemoved:Delete"),
        event("a", name="s3:ObjectAccessed:Get"),
        event("a", bucket="another"),
        event("a", size="3"),
        event("a", size=-1),
        event("a", size=True),
        event("a", size=1 << 60),
        event("a", size=1.5),
        {"eventName": 3, "s3": None},
        {"s3": {"object": {"key": "a"}}},
        None,
        [],
        "Records",
    ],
)
def test_what_is_no_object_that_was_written_is_left_out(other):
    assert read(line(other), line(event("b"))) == [ListedObject("b", 3)]


@pytest.mark.parametrize(
    "broken",
    [
        b"no json\n",
        b"{\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"Records":' + b"9" * 10_000 + b"}\n",
        b"x" * (MAX_LINE_BYTES + 1),
    ],
)
def test_what_is_no_line_ends_the_stream(broken):
    with pytest.raises(MalformedNotification):
        read(broken)


def test_a_line_without_an_end_is_not_kept():
    parser = NotificationParser(BUCKET)
    pieces = iter([b"x" * (1 << 16)] * 100)
    with pytest.raises(MalformedNotification, match="does not end"):
        list(map(parser.feed, pieces))
    assert len(list(pieces)) > 80


@pytest.mark.parametrize(
    "document",
    [b"<?xml version='1.0'?><ListBucketResult/>", b"\n <html>", b"<x>\n", b"   <"],
)
def test_a_document_is_no_stream(document):
    with pytest.raises(NotificationsUnsupported):
        read(document)
