"""Submitting an item: what it takes up in memory, and what comes of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from batchinfer.backends.bucket_backend import BucketBackend
from batchinfer.backends.bucket_client import BucketUnreachable, MemoryBucket
from batchinfer.backends.loaded_payload import PayloadBody
from batchinfer.backends.payload_loader import PayloadLoader
from batchinfer.domain import Failure, FailureKind, InputFile, Item, Mode, Submitted
from support.protocols import AI4OS, AI4OS_BUCKET


class Weighing(MemoryBucket):
    """Notes how much room is taken during each put."""

    backend: BucketBackend

    def __init__(self) -> None:
        super().__init__()
        self.held: list[tuple[int, int]] = []

    async def put(
        self, key: str, body: PayloadBody, *, sha256: str | None = None
    ) -> Failure | None:
        assert sha256 == hashlib.sha256(body).hexdigest()
        self.held.append((self.backend._memory_budget.used_bytes, len(body)))
        return await super().put(key, body)


async def test_an_upload_takes_room_until_it_is_over(tmp_path: Path):
    bucket = Weighing()
    backend = bucket.backend = BucketBackend(
        bucket, AI4OS_BUCKET, PayloadLoader(AI4OS, {}, Mode.ASYNC), "run", memory=1
    )
    (tmp_path / "a.jpg").write_bytes(bytes(3_000_000))
    item = Item("a", (InputFile("files", str(tmp_path / "a.jpg"), 3_000_000),), position=7)

    sent = await backend.attempt(item, 2)
    bucket.error = BucketUnreachable("away")
    away = await backend.attempt(item, 3)

    assert isinstance(sent, Submitted)
    assert list(bucket.objects) == [f"inputs/{sent.name}.json"]
    assert isinstance(away, Failure)
    assert (away.code, away.kind) == ("bucket_unreachable", FailureKind.UNAVAILABLE)
    assert all(0.99 * size < held <= size for held, size in bucket.held)
    assert len(bucket.held) == 2
    assert backend._memory_budget.used_bytes == 0


async def test_what_another_process_of_the_epoch_may_have_put_is_not_put_again():
    puts: list[str] = []

    class Counting(MemoryBucket):
        async def put(
            self, key: str, body: PayloadBody, *, sha256: str | None = None
        ) -> Failure | None:
            puts.append(key)
            return await super().put(key, body, sha256=sha256)

    bucket = Counting()

    def new_backend(epoch: str) -> BucketBackend:
        loader = PayloadLoader(AI4OS, {}, Mode.ASYNC)
        return BucketBackend(bucket, AI4OS_BUCKET, loader, "run", epoch=epoch)

    item = Item("a", (), {"text": "hello"}, position=7)
    sent = await new_backend("abcdefgh").attempt(item, 1)
    other = new_backend("abcdefgh")
    other.mark_unconfirmed(7, 1)
    other.mark_unconfirmed(7, 2)

    assert await other.attempt(item, 1) == sent
    assert len(puts) == 1
    assert await other.attempt(item, 2) != sent  # it was not there
    assert len(puts) == 2
    assert other.has_remembered(7, 1) is False
