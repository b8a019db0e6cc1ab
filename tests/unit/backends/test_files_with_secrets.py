"""A small file that holds a secret of the configuration is never made a payload."""

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.backends.payload_loader import (
    SECRET_SCAN_MAX_BYTES,
    STREAMED_ENCODING_MIN_BYTES,
    PayloadLoader,
)
from batchinfer.backends.redaction import WEAK_SECRET_MAX_CHARS, Redactor
from batchinfer.domain import Failure, FailureKind, InputFile, Item, Mode
from support.protocols import AI4OS

TOKEN = "0123456789abcdef" * 4
KEY = "s3cret/k+y==$"


def spellings(secret: str) -> list[bytes]:
    raw = secret.encode()
    return [
        raw,
        b"export X='" + raw + b"'\n",
        b'{"token": ' + json.dumps(secret).encode() + b"}",
        f"https://e.eu/?token={quote(secret, safe='')}".encode(),
        base64.b64encode(raw),
        base64.b64encode(b"u:" + raw + b"!"),
        base64.urlsafe_b64encode(b"Bearer " + raw + b"\n"),
        f"token={secret}\r\n".encode("utf-16"),
        b"\x00\x01" + raw + b"\xff",
        b" " * (SECRET_SCAN_MAX_BYTES - len(raw)) + raw,
    ]


async def load(tmp_path: Path, data: bytes, *more: bytes, secrets=(TOKEN, KEY), mode=Mode.SYNC):
    files = []
    for at, each in enumerate((data, *more)):
        path = tmp_path / f"{at}.dat"
        path.write_bytes(each)
        now = path.stat()
        files.append(InputFile(f"file{at}", str(path), now.st_size, now.st_mtime_ns))
    loader = PayloadLoader(AI4OS, {}, mode, redactor=Redactor(secrets))
    return await loader.load(Item("a", tuple(files)))


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("secret", [TOKEN, KEY])
@pytest.mark.parametrize("at", range(10))
async def test_a_file_that_holds_a_secret_is_refused_for_good(tmp_path, mode, secret, at):
    failure = await load(tmp_path, spellings(secret)[at], mode=mode)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.kind) == ("file_holds_secret", FailureKind.PERMANENT)
    assert failure.sent is False
    assert secret not in failure.message
    assert "0.dat" in failure.message


@pytest.mark.parametrize("second", [b"x", b"x" * (STREAMED_ENCODING_MIN_BYTES + 1)])
async def test_one_file_of_several_is_enough(tmp_path, second):
    failure = await load(tmp_path, second, TOKEN.encode())
    assert isinstance(failure, Failure)
    assert failure.code == "file_holds_secret"
    assert "1.dat" in failure.message


@pytest.mark.parametrize(
    ("secret", "data"),
    [
        (TOKEN, TOKEN[:-1].encode()),
        ("bear", b"a bear"),
        ("a1b2c3", b"a1b2c3"),
        ("elephants", b"two elephants"),
        ("20261128", b"on 20261128"),
        (TOKEN, b" " * (SECRET_SCAN_MAX_BYTES + 1) + TOKEN.encode()),
        ("", b"x"),
    ],
)
async def test_innocent_and_large_files_are_sent(tmp_path, secret, data):
    assert isinstance(await load(tmp_path, data, secrets=(secret,)), bytes)


async def test_without_secrets_nothing_is_looked_for(tmp_path):
    assert isinstance(await load(tmp_path, b"x", secrets=()), bytes)
    path = tmp_path / "y"
    path.write_bytes(TOKEN.encode())
    item = Item("a", (InputFile("files", str(path)),))
    assert isinstance(await PayloadLoader(AI4OS, {}, Mode.SYNC).load(item), bytes)


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=16),
    st.binary(),
    st.binary(),
)
def test_a_long_secret_is_found_wherever_it_stands(secret, before, after):
    redact = Redactor([secret])
    data = before + secret.encode() + after
    assert redact.has_secret(data)
    assert redact.has_secret(base64.b64encode(data))


@given(st.text(max_size=WEAK_SECRET_MAX_CHARS - 1), st.binary())
def test_a_short_secret_is_never_found(secret, data):
    assert not Redactor([secret]).has_secret(data + secret.encode("utf-8", "surrogatepass"))
