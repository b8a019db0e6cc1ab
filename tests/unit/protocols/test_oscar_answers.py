"""What an OSCAR service answers to a call: bodies as the real supervisor prints them."""

import base64
import hashlib
import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.domain import Failure, FailureKind, Mode, Reply
from batchinfer.errors import FatalError
from batchinfer.protocols.inference_protocol import FileHead, HttpAnswer
from batchinfer.protocols.oscar.oscar_options import OscarOptions
from batchinfer.protocols.oscar.oscar_protocol import OscarProtocol
from support.cli import png

PNG = png(1)
TRACEBACK = b'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: no picture\n'


def answer(body: bytes, status: int = 200, *, is_framed: bool = True, **options: str):
    protocol = OscarProtocol(OscarOptions(**options))
    headers = {"X-Duration-Seconds": "1.5"}
    return protocol.decode_answer(HttpAnswer(status, body, headers, is_framed=is_framed))


def returned(data: bytes) -> bytes:
    """The body when the script has left one file."""
    return base64.b64encode(data) + b"\n"


def packed(**files: bytes) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return written.getvalue()


def test_a_returned_picture_is_bytes_with_their_media_type():
    reply = answer(returned(PNG))
    assert (reply.media_type, reply.data, reply.prediction) == ("image/png", PNG, None)
    assert reply.server_seconds == 1.5


@pytest.mark.parametrize("value", [{"a": [1, None]}, [], [{"label": "cat"}]])
def test_returned_json_is_data(value):
    assert answer(returned(json.dumps(value).encode())).prediction == value


def test_several_returned_files_are_the_zip_that_came():
    data = packed(a=b"{}", b=PNG)
    reply = answer(returned(data))
    assert (reply.media_type, reply.data) == ("application/zip", data)


@pytest.mark.parametrize("text", ["a moo\n", "5", "0,1,2\n3,4,5", "grüße"])
def test_a_text_is_a_text_in_a_file_and_printed(text):
    assert answer(returned(text.encode())).prediction == text
    printed = answer(f"{text}\n\n".encode())
    assert (printed.media_type, printed.prediction) == ("text/plain", text.rstrip("\n"))


def test_printed_json_is_data():
    assert answer(b'{"n": 1}\n\n').prediction == {"n": 1}


@pytest.mark.parametrize(
    "text",
    [
        hashlib.sha256(b"a").hexdigest(),
        hashlib.sha256(b"b").hexdigest().upper(),
        "antidisestablishmentarianism" * 2,
        "12345678",
        "done",
        "abcdefghijkl",
        "Found 123 cats",
        "Img00123",
    ],
)
def test_a_word_or_a_checksum_is_no_file_although_it_is_base64(text):
    for end in ("\n\n", "\n", ""):
        reply = answer(f"{text}{end}".encode())
        assert (reply.media_type, reply.prediction) == ("text/plain", text)


def test_what_the_service_answers_with_can_be_said():
    assert answer(b"abcd", answer="file").data == base64.b64decode(b"abcd")
    text = base64.b64encode(PNG).decode()
    assert answer(text.encode() + b"\n", answer="text").prediction == text
    failure = answer(b"convert: no such file\n\n", answer="file")
    assert (failure.code, failure.kind) == ("no_output", FailureKind.TRANSIENT)
    assert "convert: no such file" in failure.message


def test_a_script_that_failed_is_a_failure_although_the_status_is_200():
    failure = answer(b"starting\n" + TRACEBACK + b"\n")
    assert (failure.code, failure.message) == ("model_error", "ValueError: no picture")
    assert "starting" in failure.log


@pytest.mark.parametrize("body", [b"", b"\n", b" \n\n"])
def test_an_empty_answer_is_no_prediction(body):
    assert answer(body).code == "no_output"


def test_a_cut_answer_is_no_prediction():
    body = returned(PNG)
    for end in (len(body) // 2 // 4 * 4, len(body) - 8):
        cut = answer(body[:end], is_framed=False)
        assert isinstance(cut, Failure)
        assert cut.code == "answer_cut_off"
    assert answer(b"a text that goes", is_framed=False).code == "answer_cut_off"
    assert answer(returned(b'{"a": [1, 2'), is_framed=True).prediction == '{"a": [1, 2'


def test_a_supervisor_that_crashed_fails_the_item_and_not_the_run():
    failure = answer(b"exit status 1\n" + TRACEBACK, 500)
    assert (failure.code, failure.kind) == ("bad_payload", FailureKind.PERMANENT)
    assert "no picture" in failure.message


@pytest.mark.parametrize(
    ("status", "code"), [(401, "unauthorized"), (404, "not_found"), (502, "cold_start")]
)
def test_other_statuses_are_those_of_the_platform(status, code):
    outcome = answer(b"", status)
    assert isinstance(outcome, FatalError | Failure)
    assert outcome.code == code


@given(data=st.binary(min_size=1, max_size=80))
def test_what_is_sent_is_what_the_supervisor_makes_a_file_of(data):
    """Whatever the file is, its base64 is no JSON: the supervisor would take that for an event."""
    protocol = OscarProtocol()
    parts = protocol.encode_item({}, [FileHead("files", "/a/b.bin", data[:512], len(data))]).parts
    body = parts[0] + protocol.encode_content(data) + parts[1]
    with pytest.raises(ValueError):
        json.loads(body)
    assert base64.b64decode(body) == data


@pytest.mark.parametrize("data", [b"\xd7m\xf8", b"\xb6\xbb\x9e", b"\x9e\xe9e", b"\xd7m\xf8" * 20])
def test_base64_that_is_json_by_chance_is_sent_so_that_it_is_none(data):
    test_what_is_sent_is_what_the_supervisor_makes_a_file_of.hypothesis.inner_test(data)


def test_in_a_bucket_and_raw_the_file_is_sent_as_it_is():
    for protocol in (
        OscarProtocol().for_mode(Mode.ASYNC),
        OscarProtocol(OscarOptions(encoding="raw")),
    ):
        parts = protocol.encode_item({}, [FileHead("files", "/a", b"1234", 4)]).parts
        assert b"".join((parts[0], protocol.encode_content(b"1234"), parts[1])) == b"1234"


def test_parameters_and_several_files_are_refused_in_words():
    protocol = OscarProtocol()
    with_params = protocol.encode_params({"size": 3}, ("files",), Mode.SYNC)
    assert isinstance(with_params, Failure)
    assert "parameter 'size' cannot be sent: an OSCAR service gets the file" in with_params.message
    for files in ((), ("a", "b")):
        refused = protocol.encode_params({}, files, Mode.ASYNC)
        assert isinstance(refused, Failure)
        assert f"this item has {len(files)}" in refused.message


@pytest.mark.parametrize("data", [bytes(range(200, 240)), b"\xff\xfe"])
def test_bytes_that_nobody_knows_stay_bytes(data):
    reply = answer(returned(data))
    assert isinstance(reply, Reply)
    assert (reply.media_type, reply.data) == ("application/octet-stream", data)
