"""Items and records to test stores with."""

from batchinfer.domain import (
    Attempt,
    Failure,
    FailureKind,
    InputFile,
    Item,
    Mode,
    Record,
    Reply,
    RunInfo,
    State,
    Submitted,
)
from batchinfer.store.sqlite import SqliteStore

INFO = RunInfo("abc", 1_700_000_000.0, Mode.ASYNC, {"run": {"mode": "async"}}, ("/data",))


def item(key, *, size=10, path=None, **params):
    file = InputFile("files", path or f"/data/{key}", size, size and size * 100)
    return Item(key, (file,), params)


def page(count):
    return [item(f"{number:03}.jpg") for number in range(1, count + 1)]


def reply(position, number=1, *, at=100.0, seconds=0.5, prediction="yes", **more):
    attempt = Attempt(number, at, seconds, Reply(prediction=prediction, **more))
    return Record(position, attempt, State.SUCCEEDED)


def failure(
    position,
    number=1,
    *,
    at=100.0,
    seconds=0.5,
    state=State.PENDING,
    retry_at=None,
    code="http_503",
    message="It is away.",
    **more,
):
    outcome = Failure(code, message, FailureKind.TRANSIENT, **more)
    return Record(position, Attempt(number, at, seconds, outcome), state, retry_at)


def failed(position, number=1, *, code="model_error", **more):
    return failure(position, number, state=State.FAILED, code=code, **more)


def submitted(position, number=1, *, at=100.0):
    outcome = Submitted(f"abc-{position}-{number}")
    return Record(position, Attempt(number, at, 0.5, outcome), State.SUBMITTED)


async def made(run, items, records):
    """A sync run in the folder `run`, in which all this has happened."""
    info = RunInfo("abc", 1_700_000_000.0, Mode.SYNC, {"run": {"mode": "sync"}}, ("/data",))
    async with SqliteStore.create(run, info) as store:
        await store.add(items)
        await store.commit_records(records)
        await store.mark_source_complete()
    return run
