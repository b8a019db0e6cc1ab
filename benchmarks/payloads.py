"""A payload: a file's bytes, in memory, become the body of a request."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.comparisons import Comparison, Contender, Job, Setup
from benchmarks.measuring import Work
from benchmarks.table import Goal, Measure

SIZE = 110_000


def build(count: int) -> Work:
    """As the built-in protocol encodes an item: in parts, which are sent without being joined."""
    from batchinfer.protocols.inference_protocol import FileHead  # noqa: PLC0415 - only here
    from batchinfer.protocols.registry import load_protocol  # noqa: PLC0415 - only here

    protocol, image = load_protocol("ai4os"), os.urandom(SIZE)

    def work() -> int:
        for _ in range(count):
            head = FileHead("files", "image.jpg", image[:512], SIZE)
            before, behind = protocol.encode_item({}, [head]).parts
            parts = before, protocol.encode_content(image), behind
            assert len(parts) == 3
        return count

    return work


@contextmanager
def compare(setup: Setup) -> Iterator[Comparison]:
    many, few = setup.count(20_000), setup.count(1_000)
    yield Comparison(
        Measure.RATE,
        [
            Contender(
                "batchinfer", lambda: setup.ours.take("benchmarks.payloads:build", many, count=many)
            ),
            Contender(
                "the tutorial's way",
                lambda: setup.peers.take("benchmarks.peers.payloads:tutorial", few, count=few),
            ),
            Contender(
                "orjson + pybase64",
                lambda: setup.peers.take("benchmarks.peers.payloads:quick", many, count=many),
                ("orjson", "pybase64"),
            ),
        ],
        [Goal(Measure.RATE, 60, ("the tutorial's way",))],
        item_bytes=SIZE,
    )


JOBS = (Job("payload of an image of 110 kB", compare),)
