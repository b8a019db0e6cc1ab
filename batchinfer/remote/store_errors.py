"""What a refusal of an S3 store means for an input, or for all of its source. Pure."""

from __future__ import annotations

import errno
from typing import Final

from batchinfer.backends.s3_calls import S3ErrorResponse
from batchinfer.backends.s3_errors import NOT_FOUND_CODES, TRANSIENT_CODES, TRANSIENT_STATUSES
from batchinfer.inputs.uri_scheme import SourceAwayError
from batchinfer.remote.ranged_input import ChangedMeanwhileError

_AWAY_MESSAGES: Final = (
    (
        {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "401"},
        "the store at {host} refuses the keys ({code}): check {keys}",
    ),
    (
        {"ExpiredToken", "TokenRefreshRequired"},
        "the keys for the store at {host} have expired ({code}): renew {keys}",
    ),
    (
        {"AuthorizationHeaderMalformed", "PermanentRedirect", "301"},
        "the bucket {bucket!r} is in another region ({code}): set its region",
    ),
    (
        {"RequestTimeTooSkewed", "RequestExpired"},
        "the clocks of this machine and of {host} differ too much ({code}): set this machine's",
    ),
    (
        {"AllAccessDisabled", "AccountProblem"},
        "the store at {host} refuses everything in bucket {bucket!r} ({code})",
    ),
)
"""Errors that concern all of a source: codes, and what is said."""
_MISSING_BUCKET_CODES: Final = frozenset({"NoSuchBucket", "InvalidBucketName"})
_DENIED_CODES: Final = frozenset({"AccessDenied", "403"})
_CHANGED_CODES: Final = frozenset({"PreconditionFailed", "412", "InvalidRange", "416"})
_SERVER_ERROR: Final = 500


class MissingBucketError(SourceAwayError):
    """There is no such bucket."""


def is_passing_error(error: S3ErrorResponse) -> bool:
    """Whether another try may succeed."""
    return (
        error.code in TRANSIENT_CODES
        or error.status in TRANSIENT_STATUSES
        or error.status >= _SERVER_ERROR
    )


def translate_store_error(  # noqa: PLR0911 - a table with conditions
    error: S3ErrorResponse, *, bucket: str, host: str, keys: str, verb: str, is_signed: bool
) -> OSError:
    """What is raised for it. `keys`: where they are configured. `verb`: "list" or "read"."""
    code = error.code if error.code.isalnum() and len(error.code) < 64 else str(error.status)  # noqa: PLR2004 - a word
    if code in NOT_FOUND_CODES:
        return FileNotFoundError(errno.ENOENT, "there is no such object")
    if code in _CHANGED_CODES:
        return ChangedMeanwhileError(errno.ESTALE, "it changed while it was read")
    if code in _MISSING_BUCKET_CODES:
        text = f"there is no bucket {bucket!r} at {host}: check its name, and the endpoint"
        return MissingBucketError(errno.ENOENT, text)
    for codes, message in _AWAY_MESSAGES:
        if code in codes:
            text = message.format(host=host, code=code, bucket=bucket, keys=keys)
            return SourceAwayError(errno.EACCES, text)
    if is_passing_error(error):
        return ConnectionError(errno.ECONNABORTED, f"the store at {host} has trouble ({code})")
    if not is_signed:
        text = f"the store at {host} permits nothing without keys ({code}): give {keys}"
        return SourceAwayError(errno.EACCES, text)
    if code in _DENIED_CODES:
        text = f"the keys do not permit to {verb} in bucket {bucket!r} at {host} ({code})"
        kind = SourceAwayError if verb == "list" else PermissionError
        return kind(errno.EACCES, text)
    if code == "InvalidObjectState":
        return PermissionError(errno.EACCES, "it is in an archive (InvalidObjectState): restore it")
    return OSError(errno.EIO, f"the store at {host} refuses to {verb} it ({code})")
