"""The two zero-byte objects `inputs/` and `outputs/` that every bucket of the platform shows.

The S3 server behind the local service keeps objects as files, and cannot have an object where it
has a folder. So the proxy writes them into the listings. Pure functions on XML text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

FOLDER_MARKERS = ("inputs/", "outputs/")
EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
_CONTENTS_ELEMENT = re.compile(r"<Contents>.*?<Key>(.*?)</Key>.*?</Contents>", re.DOTALL)
_MARKER_ELEMENT = (
    "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
    f"<ETag>&quot;{EMPTY_MD5}&quot;</ETag><Size>0</Size><StorageClass>STANDARD</StorageClass>"
    "</Contents>"
)


def may_contain_markers(query: Mapping[str, str]) -> bool:
    """Whether a listing asked for with this query can have a marker in it."""
    prefix = query.get("prefix", "")
    return "delimiter" not in query and any(marker.startswith(prefix) for marker in FOLDER_MARKERS)


def insert_markers(listing: str, query: Mapping[str, str]) -> str:
    """A page of a listing (`ListBucketResult`) with the markers that belong on it, in key order.

    A page may so become longer than was asked for; S3 promises no page size.
    """
    if "<ListBucketResult" not in listing:
        return listing
    if "list-type" in query and "<KeyCount>" not in listing:  # rclone leaves out a zero
        listing = listing.replace(
            "</ListBucketResult>", "<KeyCount>0</KeyCount></ListBucketResult>"
        )
    prefix = query.get("prefix", "")
    first = "continuation-token" not in query and "marker" not in query
    begin = "" if first else _listed_keys(listing)[0] if _listed_keys(listing) else "\U0010ffff"
    begin = max(begin, query.get("start-after", ""))
    last = "<IsTruncated>true" not in listing
    end = "\U0010ffff" if last or not _listed_keys(listing) else _listed_keys(listing)[-1]
    for marker in FOLDER_MARKERS:
        if marker.startswith(prefix) and begin < marker <= end:
            listing = _insert_marker(listing, marker)
    return listing


def _insert_marker(listing: str, marker: str) -> str:
    """Put one marker before the first key greater than it, or at the end."""
    later = next(
        (m for m in _CONTENTS_ELEMENT.finditer(listing) if unquote(m.group(1)) > marker), None
    )
    at = later.start() if later else listing.index("</ListBucketResult>")
    listing = listing[:at] + _MARKER_ELEMENT.format(marker) + listing[at:]
    return re.sub(
        r"<KeyCount>(\d+)<", lambda count: f"<KeyCount>{int(count.group(1)) + 1}<", listing
    )


def _listed_keys(listing: str) -> list[str]:
    return [unquote(match.group(1)) for match in _CONTENTS_ELEMENT.finditer(listing)]
