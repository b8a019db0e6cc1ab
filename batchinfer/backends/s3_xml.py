"""Reads S3's XML: a page of a listing, piece by piece as it comes in, and errors.

expat calls back for each element, and only the text that counts is kept: no tree is built. Whoever
answers may be no S3 store at all, so there are no DTDs and no entities, and depth and size are
bounded.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_plus
from xml.parsers import expat

from batchinfer.backends.bucket_client import InvalidS3Response, ListedObject, ListingPage

UNREADABLE_RESPONSE: Final = "its answer cannot be read"
NO_LISTING: Final = "its listing is none (no ListBucketResult)"
MAX_XML_BYTES: Final = 64 << 20
"""Bytes of an answer; a page of 1,000 keys of 1,000 characters each has 4 MB."""
MAX_XML_DEPTH: Final = 16

_ROOT_DEPTH: Final = 1
_FIELD_DEPTH: Final = 2
_OBJECT_FIELD_DEPTH: Final = 3
_OBJECT_ELEMENT: Final = "Contents"


class ListingCutOff(OSError):  # noqa: N818 - reads as a fact
    """A listing ends before its end: the store, or somebody on the way, broke down."""

    def __init__(self) -> None:
        super().__init__(errno.EPROTO, "its listing is cut off")


class _XmlFields:
    """Keeps the text of the fields that are asked for.

    `page_fields`: elements right below the root; `object_fields`: elements of each `Contents`.
    Raises InvalidS3Response for what is no XML, or more of it than any store sends.
    """

    def __init__(
        self, page_fields: frozenset[str], object_fields: frozenset[str] = frozenset()
    ) -> None:
        self.root = ""
        """Name of the root element, without its namespace; empty until it came."""
        self.fields: dict[str, str] = {}
        self.objects: list[dict[str, str]] = []
        self._wanted = (frozenset[str](), frozenset[str](), page_fields, object_fields)
        self._object: dict[str, str] = {}
        self._depth = self._size = 0
        self._namespace = ""
        """What names begin with where the store writes `s3:Key`."""
        self._text: str | None = None
        parser = self._parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._on_start
        parser.EndElementHandler = self._on_end
        parser.StartDoctypeDeclHandler = self._on_doctype

    def feed(self, data: bytes, *, is_last: bool = False) -> None:
        """Read on."""
        self._size += len(data)
        if self._size > MAX_XML_BYTES:
            raise InvalidS3Response(f"it sends more than {MAX_XML_BYTES:,} bytes of XML")
        try:
            self._parser.Parse(data, is_last)
        except (expat.ExpatError, ValueError):
            raise InvalidS3Response(UNREADABLE_RESPONSE) from None

    # expat calls these; every microsecond counts a thousand times per page ------------------------

    def _on_start(self, name: str, _: dict[str, str]) -> None:
        depth = self._depth = self._depth + 1
        if depth <= _OBJECT_FIELD_DEPTH:
            if depth == _ROOT_DEPTH:
                namespace, colon, self.root = name.rpartition(":")
                self._namespace = namespace + colon
            elif name.removeprefix(self._namespace) in self._wanted[depth]:
                self._text = ""
                self._parser.CharacterDataHandler = self._on_text
        elif depth > MAX_XML_DEPTH:
            raise ValueError("nested too deeply")

    def _on_text(self, text: str) -> None:
        if self._text is not None:
            self._text += text

    def _on_end(self, name: str) -> None:
        depth, self._depth = self._depth, self._depth - 1
        if self._text is not None and depth <= _OBJECT_FIELD_DEPTH:
            fields = self._object if depth == _OBJECT_FIELD_DEPTH else self.fields
            fields[name.removeprefix(self._namespace)] = self._text
            self._text = self._parser.CharacterDataHandler = None
        elif depth == _FIELD_DEPTH:
            if name.removeprefix(self._namespace) == _OBJECT_ELEMENT:
                self.objects.append(self._object)
            self._object = {}

    def _on_doctype(self, *_: object) -> None:
        raise ValueError("a DTD")


class ListingReader:
    """Reads one page of `ListObjectsV2` (`encoding-type=url`). `with_etags`: also them.

    Raises InvalidS3Response for what is none, ListingCutOff for one that is not whole.
    """

    def __init__(self, *, with_etags: bool = False) -> None:
        self._xml = _XmlFields(
            frozenset({"IsTruncated", "NextContinuationToken", "EncodingType"}),
            frozenset({"Key", "Size", "LastModified", *(("ETag",) if with_etags else ())}),
        )

    def feed(self, data: bytes) -> None:
        """Read the next bytes of the answer."""
        try:
            self._xml.feed(data)
        finally:
            self._check_root()

    def finish(self) -> ListingPage:
        """The page, when all of the answer was fed."""
        if not self._xml.root:
            raise InvalidS3Response(NO_LISTING)
        try:
            self._xml.feed(b"", is_last=True)
        except InvalidS3Response:  # what came so far was a listing
            raise ListingCutOff from None
        fields = self._xml.fields
        decode_key = unquote_plus if fields.get("EncodingType") == "url" else str
        objects = [_make_object(each, decode_key) for each in self._xml.objects]
        token = fields.get("NextContinuationToken") or None
        if fields.get("IsTruncated") != "true":
            return ListingPage(objects)
        if token is None:
            raise InvalidS3Response("its listing breaks off without NextContinuationToken")
        return ListingPage(objects, token)

    def _check_root(self) -> None:
        if self._xml.root not in {"", "ListBucketResult"}:
            raise InvalidS3Response(NO_LISTING)


def parse_error(body: bytes) -> Mapping[str, str]:
    """`Code` and `Region` of an error, as far as they are there; empty for what is no error."""
    xml = _XmlFields(frozenset({"Code", "Region"}))
    try:
        xml.feed(body, is_last=True)
    except InvalidS3Response:
        return {}
    return xml.fields if xml.root == "Error" else {}


def _make_object(fields: Mapping[str, str], decode_key: Callable[[str], str]) -> ListedObject:
    try:
        key, size, modified = fields["Key"], fields["Size"], fields.get("LastModified")
        return ListedObject(
            decode_key(key),
            int(size),
            None if modified is None else _parse_time(modified),
            fields.get("ETag") or None,
        )
    except KeyError as error:
        raise InvalidS3Response(f"its listing has an object without {error.args[0]}") from None
    except ValueError:
        raise InvalidS3Response(UNREADABLE_RESPONSE) from None


@lru_cache(maxsize=16)  # many objects are of the same second
def _parse_time(text: str) -> float:
    """Seconds since the epoch. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
