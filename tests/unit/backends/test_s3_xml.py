"""Listings and errors, in pieces, in every dialect, and from somebody who is no S3 store."""

from __future__ import annotations

from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.backends.bucket_client import InvalidS3Response, ListedObject, ListingPage
from batchinfer.backends.s3_xml import (
    MAX_XML_BYTES,
    MAX_XML_DEPTH,
    ListingCutOff,
    ListingReader,
    parse_error,
)

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
MINIO = (
    f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult {NAMESPACE}><Name>b</Name>'
    "<Prefix>outputs%2F</Prefix><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys>"
    "<IsTruncated>true</IsTruncated><NextContinuationToken>t%2B1</NextContinuationToken>"
    "<Contents><Key>outputs/a%2Bb+c.json</Key><LastModified>2026-11-28T00:00:00.250Z</LastModified>"
    "<ETag>&#34;d41d&#34;</ETag><Size>3</Size>"
    "<Owner><ID>Key</ID><Key>no</Key><DisplayName>minio</DisplayName></Owner>"
    "<StorageClass>STANDARD</StorageClass></Contents>"
    "<Contents><Key>outputs/z</Key><LastModified>2026-11-28T01:00:00+01:00</LastModified>"
    "<Size>0</Size></Contents>"
    "<CommonPrefixes><Prefix>x</Prefix><Key>no</Key></CommonPrefixes>"
    "<EncodingType>url</EncodingType></ListBucketResult>"
)


def read(text: str | bytes, piece: int = 1 << 20) -> ListingPage:
    body = text.encode() if isinstance(text, str) else text
    reader = ListingReader()
    for start in range(0, len(body), piece):
        reader.feed(body[start : start + piece])
    return reader.finish()


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_a_page_is_read_whatever_the_pieces(piece: int):
    page = read(MINIO, piece)
    assert page == ListingPage(
        [ListedObject("outputs/a+b c.json", 3), ListedObject("outputs/z", 0)], "t%2B1"
    )
    assert [each.last_modified for each in page.objects] == [1795824000.25, 1795824000.0]


def test_a_namespace_may_be_written_out():
    text = MINIO.replace("<", "<s3:").replace("<s3:/", "</s3:").replace("<s3:?", "<?")
    assert read(text.replace("xmlns=", "xmlns:s3=")) == read(MINIO)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=5),
    st.integers(1, 50),
)
def test_keys_come_back_as_they_are(keys: list[str], piece: int):
    contents = "".join(
        f"<Contents><Key>{escape(quote(key))}</Key><Size>1</Size></Contents>" for key in keys
    )
    page = read(
        f"<ListBucketResult>{contents}<EncodingType>url</EncodingType></ListBucketResult>", piece
    )
    assert [each.key for each in page.objects] == keys


def test_keys_are_taken_as_they_are_where_nothing_is_encoded():
    page = read(
        "<ListBucketResult><Contents><Size>1</Size><Key>a%2Bb+c&amp;ü</Key></Contents>"
        "</ListBucketResult>"
    )
    assert [each.key for each in page.objects] == ["a%2Bb+c&ü"]


DTD = '<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "body",
    [
        "",
        " " * 100,
        "{}",
        "<html><body>Sign in</body></html>",
        "<html><br></body></html>",
        "<Error><Code>AccessDenied</Code></Error>",
        "<ListBucketResult></ListBucketResult>x",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key><Size>-</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><X><Key>a</Key></X><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        f"{DTD}<ListBucketResult><Contents><Key>&b;</Key></Contents></ListBucketResult>",
        '<!DOCTYPE r SYSTEM "file:///etc/passwd"><ListBucketResult></ListBucketResult>',
        f"{DTD}<ListBucketResult/>".encode("utf-16"),
        "<ListBucketResult><Contents><Key>&none;</Key></Contents></ListBucketResult>",
        "<ListBucketResult>" + "<x>" * MAX_XML_DEPTH + "</x>" * MAX_XML_DEPTH,
        "<ListBucketResult><Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Key>\xff</Key></Contents></ListBucketResult>",
        b'<?xml version="1.0" encoding="no such"?><ListBucketResult/>',
    ],
    ids=lambda body: str(body[:60]),
)
def test_what_is_no_listing_is_an_invalid_answer(body: str | bytes):
    with pytest.raises(InvalidS3Response):
        read(body)


def test_a_web_page_is_told_from_what_is_cut_off():
    with pytest.raises(InvalidS3Response, match="no ListBucketResult"):
        read("<html><p>Sign in")
    with pytest.raises(ListingCutOff, match="its listing is cut off"):
        read("<ListBucketResult><Contents>")


def test_an_answer_without_end_is_given_up():
    start = "<ListBucketResult>"
    assert read(start + " " * (MAX_XML_BYTES - 60) + "</ListBucketResult>") == ListingPage([])
    with pytest.raises(InvalidS3Response, match="bytes of XML"):
        read(start + " " * MAX_XML_BYTES)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (f"<Error {NAMESPACE}><Code>SlowDown</Code><Message/></Error>", {"Code": "SlowDown"}),
        (
            "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-1</Region></Error>",
            {"Code": "AuthorizationHeaderMalformed", "Region": "eu-1"},
        ),
        ("<Error/>", {}),
        ("<Error><Code>SlowDo", {}),
        ("<html><Code>x</Code></html>", {}),
        ("upstream timed out", {}),
        ("", {}),
    ],
)
def test_an_error_says_its_code_or_nothing(body: str, fields: dict[str, str]):
    assert parse_error(body.encode()) == fields
