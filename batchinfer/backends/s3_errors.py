"""What S3's error codes mean for a run: which may pass, and which end it. Pure.

The codes are S3's and MinIO's; where an answer has no body (to a HEAD), its status is the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from batchinfer.errors import FatalError


@dataclass(frozen=True, slots=True)
class S3ErrorRule:
    """One row: what it is called here, S3's codes (or statuses) for it, the message to the user."""

    code: str
    s3_codes: frozenset[str]
    message: str
    """Prose with `{name}` of the bucket, `{host}`, `{verb}` and `{code}`."""


S3_ERROR_RULES: Final = (
    S3ErrorRule(
        "s3_access_denied",
        frozenset({"AccessDenied", "AllAccessDisabled", "AccountProblem"}),
        "the keys of bucket {name!r} do not permit to {verb} ({code}): ask for keys that may list, "
        "get, put and delete",
    ),
    S3ErrorRule(
        "s3_bad_credentials",
        frozenset(
            {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"}
            | {"401", "403"}
        ),
        "the store at {host} refuses the keys of bucket {name!r} ({code}): compare access key and "
        "secret key with the Dashboard",
    ),
    S3ErrorRule(
        "s3_no_bucket",
        frozenset({"NoSuchBucket", "InvalidBucketName"}),
        "there is no bucket {name!r} at {host}: compare both with the Dashboard (a bucket is named "
        "like its service)",
    ),
    S3ErrorRule(
        "s3_wrong_region",
        frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect"}),
        "the store at {host} is of another region ({code}): ask for it, and set region",
    ),
    S3ErrorRule(
        "s3_clock_skew",
        frozenset({"RequestTimeTooSkewed", "RequestExpired"}),
        "the clocks of this machine and of {host} differ too much ({code}): set this machine's",
    ),
    S3ErrorRule(
        "s3_quota",
        frozenset({"QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull", "507"}),
        "bucket {name!r} is full ({code}): delete what has been collected (`batchinfer clean RUN`) "
        "or ask for a larger quota",
    ),
)
"""What no other try mends."""

NOT_FOUND_CODES: Final = frozenset({"NoSuchKey", "NotFound", "404"})
"""There is no such object."""
TOO_LARGE_CODES: Final = frozenset({"EntityTooLarge", "413"})
"""The store, or a gateway before it, refuses this very object."""
TRANSIENT_CODES: Final = frozenset({"SlowDown", "RequestTimeout", "Throttling", "OperationAborted"})
"""Again, later; and so every answer with one of these statuses, or from 500 on."""
TRANSIENT_STATUSES: Final = frozenset({408, 429})


def classify_s3_error(
    code: str, status: int, *, name: str, host: str, verb: str
) -> FatalError | None:
    """The fatal error that an answer of the store is; None when another try may succeed.

    `verb`: what was tried, for the message ("list", "put" ...).
    """
    for rule in S3_ERROR_RULES:
        if code in rule.s3_codes:
            text = rule.message.format(name=name, host=host, verb=verb, code=code)
            return FatalError(rule.code, text)
    if code in TRANSIENT_CODES or status in TRANSIENT_STATUSES or status >= 500:  # noqa: PLR2004 - theirs
        return None
    return FatalError("s3_refused", f"the store at {host} refuses to {verb} in {name!r} ({code})")
