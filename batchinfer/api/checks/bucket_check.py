"""Async mode, looked at without a prediction: the store, its keys, and what lies in the bucket.

Every object under `inputs/` starts a prediction (contract, section 2), so what the keys may do is
tried with an object elsewhere, which is deleted again.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Final, TypeVar

import anyio

from batchinfer.api.checks.findings import Finding, FindingState, OnFinding, check_clock
from batchinfer.api.clients import get_bucket, open_bucket
from batchinfer.backends.bucket_client import BucketClient, BucketUnreachable
from batchinfer.config import BucketSettings, RunSettings
from batchinfer.domain import Failure, Mode
from batchinfer.errors import FatalError
from batchinfer.protocols.inference_protocol import BucketProtocol

T = TypeVar("T")

TRIAL_PREFIX: Final = "batchinfer-check/"
"""Where rights are tried."""
STORE_CHECK_TIMEOUT: Final = 5.0
"""Seconds that a store which does not answer is waited for: a person sits and waits, too."""
TRIAL_CLEANUP_TIMEOUT: Final = 20.0
"""Seconds for deleting what was put, after Ctrl-C."""
MAX_LISTING_PAGES: Final = 10
"""Of a folder's listing, at most."""

_BLOCKING_CODES: Final = frozenset(
    {"tls", "bad_endpoint", "s3_bad_credentials", "s3_no_bucket", "s3_wrong_region"}
    | {"s3_clock_skew"}
)
"""Then no other verb would fare better."""


async def check_bucket(
    settings: RunSettings,
    names: BucketProtocol,
    on_finding: OnFinding,
    known_run_ids: Collection[str],
) -> None:
    """Try every verb, count what lies there, and ask what else the store offers."""
    access = get_bucket(settings)
    try:
        async with open_bucket(
            settings,
            retry_timeout=STORE_CHECK_TIMEOUT,
            read_timeout=2 * STORE_CHECK_TIMEOUT,
        ) as bucket:
            if await _check_reachable(bucket, names, access, on_finding):
                await _check_permissions(bucket, on_finding)
                await _check_leftovers(bucket, names, on_finding, known_run_ids)
    except FatalError as error:
        on_finding(_make_bad_finding("bucket", str(error)))
    await _check_store_features(access, names, on_finding)


async def _check_reachable(
    bucket: BucketClient, names: BucketProtocol, access: BucketSettings, on_finding: OnFinding
) -> bool:
    """Whether it makes sense to go on."""
    try:
        await bucket.list_page(names.outputs_prefix)
    except BucketUnreachable as error:
        on_finding(_make_bad_finding("bucket", str(error)))
        return False
    except FatalError as error:
        is_blocked = error.code in _BLOCKING_CODES
        if not is_blocked:
            on_finding(_make_good_finding("bucket", "the store answers"))
        on_finding(
            _make_bad_finding(
                {"s3_wrong_region": "region"}.get(error.code, "bucket" if is_blocked else "list"),
                str(error),
            )
        )
        return not is_blocked
    on_finding(_make_good_finding("bucket", "the store answers, and knows the keys"))
    on_finding(_make_good_finding("region", access.region))
    on_finding(_make_good_finding("list", "allowed"))
    return True


async def _check_permissions(bucket: BucketClient, on_finding: OnFinding) -> None:
    key, body = f"{TRIAL_PREFIX}{secrets.token_hex(8)}", secrets.token_bytes(16)

    async def put() -> str | None:
        refused = await bucket.put(key, body)
        return refused.message if isinstance(refused, Failure) else None

    async def get() -> str | None:
        return None if await bucket.get(key) == body else "what was put is not what comes back"

    async def delete() -> str | None:
        await bucket.delete(key)
        return None if not await bucket.exists(key) else "what was deleted is still there"

    try:
        if not await _check_permission(
            "put", put, on_finding, f"{_TRIAL_PREFIX_HINT}, and so could not be tried further"
        ):
            return
        await _check_permission("get", get, on_finding)
        await _check_permission("delete", delete, on_finding, f"{key} stays in the bucket")
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(TRIAL_CLEANUP_TIMEOUT, shield=True), suppress(OSError, FatalError):
            await bucket.delete(key)
        raise


_TRIAL_PREFIX_HINT: Final = (
    f"it was tried in {TRIAL_PREFIX}; if your keys are for inputs/ and outputs/ only, --probe FILE "
    "tells more"
)


async def _check_permission(
    operation: str,
    attempt: Callable[[], Awaitable[str | None]],
    on_finding: OnFinding,
    advice: str = "",
) -> bool:
    try:
        problem = await attempt()
    except (FatalError, OSError) as error:
        problem = str(error)
    if problem is None:
        on_finding(_make_good_finding(operation, "allowed"))
        return True
    on_finding(_make_bad_finding(operation, f"{problem} ({advice})" if advice else problem))
    return False


async def _check_leftovers(
    bucket: BucketClient,
    names: BucketProtocol,
    on_finding: OnFinding,
    known_run_ids: Collection[str],
) -> None:
    """Count objects that are of no run that is known here."""
    counts = {}
    try:
        for folder in (names.inputs_prefix, names.outputs_prefix):
            counts[folder] = await _count_other_objects(bucket, names, folder, known_run_ids)
    except (FatalError, OSError):
        return  # said already, of the listing before
    if not any(count for count, _ in counts.values()):
        on_finding(_make_good_finding("leftovers", "no objects of other runs"))
        return
    parts = [f"{'' if whole else 'at least '}{n:,} in {f}" for f, (n, whole) in counts.items()]
    message = (
        f"{' and '.join(parts)}: old objects of other runs count against the bucket's quota (see "
        "`batchinfer clean --help`)"
    )
    on_finding(Finding("leftovers", FindingState.NOTE, message, Mode.ASYNC))


async def _count_other_objects(
    bucket: BucketClient, names: BucketProtocol, folder: str, known_run_ids: Collection[str]
) -> tuple[int, bool]:
    """How many objects of other runs, or of none; and whether the listing was read to its end."""
    count, token = 0, None
    for _ in range(MAX_LISTING_PAGES):
        page = await bucket.list_page(folder, token=token)
        count += sum(
            not _is_known_object(names, entry.key, folder, known_run_ids) for entry in page.objects
        )
        token = page.continuation_token
        if token is None:
            return count, True
    return count, False


def _is_known_object(
    names: BucketProtocol, key: str, folder: str, known_run_ids: Collection[str]
) -> bool:
    """Whether it is the folder's marker, or of a run that is known."""
    base = key.removeprefix(folder).partition(".")[0]
    run_id = base.partition("-")[0]
    return key == folder or (
        run_id in known_run_ids
        and names.parse_object_name(run_id, names.get_output_stem(base)) is not None
    )


async def _check_store_features(
    access: BucketSettings, names: BucketProtocol, on_finding: OnFinding
) -> None:
    """The store's clock, and live notifications."""
    from batchinfer.backends.s3_probe import LIVE_EVENTS_QUERY, probe_bucket  # noqa: PLC0415 - see `reaching`

    try:
        answer = await probe_bucket(
            endpoint=access.endpoint,
            name=access.name,
            access_key=access.access_key,
            secret_key=access.secret_key,
            region=access.region,
            query={**LIVE_EVENTS_QUERY, "prefix": names.outputs_prefix},
            ca_file=access.ca_file,
            verify=access.verify,
            seconds=STORE_CHECK_TIMEOUT,
        )
    except (FatalError, OSError):
        return  # said already
    on_finding(check_clock(answer.clock_skew, Mode.ASYNC))
    if answer.has_live_events:
        on_finding(_make_good_finding("live", "the store notifies of new results"))
    else:
        message = "results are found by polling (normal)"
        on_finding(Finding("live", FindingState.NOTE, message, Mode.ASYNC))


def _make_good_finding(check: str, message: str) -> Finding:
    return Finding(check, FindingState.GOOD, message, Mode.ASYNC)


def _make_bad_finding(check: str, message: str) -> Finding:
    return Finding(check, FindingState.BAD, message, Mode.ASYNC)
