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

from batchinfer.api.checks.clocks import clock
from batchinfer.api.checks.findings import Finding, State, Tell
from batchinfer.api.reaching import bucket_of
from batchinfer.backends.objects import Bucket, BucketUnreachable
from batchinfer.backends.redact import Redactor
from batchinfer.config import BucketAccess
from batchinfer.domain import Failure, Mode
from batchinfer.errors import FatalError
from batchinfer.oscar.names import INPUTS, OUTPUTS, parse_name

T = TypeVar("T")

FOLDER: Final = "batchinfer-check/"
"""Where rights are tried."""
PATIENCE: Final = 5.0
"""Seconds that a store which does not answer is waited for: a person sits and waits, too."""
TIDY: Final = 20.0
"""Seconds for deleting what was put, after Ctrl-C."""
PAGES: Final = 10
"""Of a folder's listing, at most."""

_GONE: Final = frozenset(
    {"tls", "bad_endpoint", "s3_bad_credentials", "s3_no_bucket", "s3_wrong_region"}
    | {"s3_clock_skew"}
)
"""Then no other verb would fare better."""


async def check_bucket(
    access: BucketAccess, redact: Redactor, tell: Tell, known: Collection[str]
) -> None:
    """Try every verb, count what lies there, and ask what else the store offers."""
    try:
        async with bucket_of(
            access, redact, patience=PATIENCE, read_timeout=2 * PATIENCE
        ) as bucket:
            if await _reached(bucket, access, tell):
                await _rights(bucket, tell)
                await _leftovers(bucket, tell, known)
    except FatalError as error:
        tell(_bad("bucket", str(error)))
    await _offered(access, tell)


async def _reached(bucket: Bucket, access: BucketAccess, tell: Tell) -> bool:
    """Whether it makes sense to go on."""
    try:
        await bucket.page(OUTPUTS)
    except BucketUnreachable as error:
        tell(_bad("bucket", str(error)))
        return False
    except FatalError as error:
        gone = error.code in _GONE
        if not gone:
            tell(_good("bucket", "the store answers"))
        tell(
            _bad(
                {"s3_wrong_region": "region"}.get(error.code, "bucket" if gone else "list"),
                str(error),
            )
        )
        return not gone
    tell(_good("bucket", "the store answers, and knows the keys"))
    tell(_good("region", access.region))
    tell(_good("list", "allowed"))
    return True


async def _rights(bucket: Bucket, tell: Tell) -> None:
    key, body = f"{FOLDER}{secrets.token_hex(8)}", secrets.token_bytes(16)

    async def put() -> str | None:
        refused = await bucket.put(key, body)
        return refused.message if isinstance(refused, Failure) else None

    async def get() -> str | None:
        return None if await bucket.get(key) == body else "what was put is not what comes back"

    async def delete() -> str | None:
        await bucket.delete(key)
        return None if not await bucket.exists(key) else "what was deleted is still there"

    try:
        if not await _allowed("put", put, tell, f"{_ELSEWHERE}, and so could not be tried further"):
            return
        await _allowed("get", get, tell)
        await _allowed("delete", delete, tell, f"{key} stays in the bucket")
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(TIDY, shield=True), suppress(OSError, FatalError):
            await bucket.delete(key)
        raise


_ELSEWHERE: Final = (
    f"it was tried in {FOLDER}; if your keys are for inputs/ and outputs/ only, --probe FILE tells "
    "more"
)


async def _allowed(
    verb: str, call: Callable[[], Awaitable[str | None]], tell: Tell, advice: str = ""
) -> bool:
    try:
        fault = await call()
    except (FatalError, OSError) as error:
        fault = str(error)
    if fault is None:
        tell(_good(verb, "allowed"))
        return True
    tell(_bad(verb, f"{fault} ({advice})" if advice else fault))
    return False


async def _leftovers(bucket: Bucket, tell: Tell, known: Collection[str]) -> None:
    """Count objects that are of no run that is known here."""
    counts = {}
    try:
        for folder in (INPUTS, OUTPUTS):
            counts[folder] = await _strangers(bucket, folder, known)
    except (FatalError, OSError):
        return  # said already, of the listing before
    if not any(count for count, _ in counts.values()):
        tell(_good("leftovers", "none but of runs in this directory"))
        return
    told = [f"{'' if whole else 'at least '}{n:,} in {f}" for f, (n, whole) in counts.items()]
    message = (
        f"{' and '.join(told)}, of no run in this directory. They do no harm, but count against a "
        "quota; `batchinfer clean RUN` deletes what a run has on record"
    )
    tell(Finding("leftovers", State.NOTE, message, Mode.ASYNC))


async def _strangers(bucket: Bucket, folder: str, known: Collection[str]) -> tuple[int, bool]:
    """How many objects of other runs, or of none; and whether the listing was read to its end."""
    count, token = 0, None
    for _ in range(PAGES):
        page = await bucket.page(folder, token=token)
        count += sum(not _is_known(entry.key, folder, known) for entry in page.entries)
        token = page.token
        if token is None:
            return count, True
    return count, False


def _is_known(key: str, folder: str, known: Collection[str]) -> bool:
    """Whether it is the folder's marker, or of a run that is known."""
    base = key.removeprefix(folder).partition(".")[0]
    run_id = base.partition("-")[0]
    return key == folder or (run_id in known and parse_name(run_id, base) is not None)


async def _offered(access: BucketAccess, tell: Tell) -> None:
    """The store's clock, and live notifications."""
    from batchinfer.backends.signed import EVENTS, ask  # noqa: PLC0415 - see `reaching`

    try:
        answer = await ask(
            endpoint=access.endpoint,
            name=access.name,
            access_key=access.access_key,
            secret_key=access.secret_key,
            region=access.region,
            query=EVENTS,
            ca_file=access.ca_file,
            verify=access.verify,
            seconds=PATIENCE,
        )
    except (FatalError, OSError):
        return  # said already
    tell(clock(answer.ahead, Mode.ASYNC))
    if answer.is_live:
        tell(_good("live", "the store offers live notifications"))
    else:
        message = "the store offers no live notifications: outputs are found by listing"
        tell(Finding("live", State.NOTE, message, Mode.ASYNC))


def _good(check: str, message: str) -> Finding:
    return Finding(check, State.GOOD, message, Mode.ASYNC)


def _bad(check: str, message: str) -> Finding:
    return Finding(check, State.BAD, message, Mode.ASYNC)
