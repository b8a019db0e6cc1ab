"""What a run over a bucket costs, and what a killed one sends again: in small, as the benchmark."""

import pytest

from benchmarks import remote_source

pytestmark = pytest.mark.slow

MAX_GROWTH_MB = 8
"""Of the process, for three times as many keys: what is kept per key would be more."""


def test_memory_does_not_grow_with_the_bucket_and_nothing_is_sent_twice(tmp_path):
    small = remote_source.measure(1_000, tmp_path / "small")
    large = remote_source.measure(6_000, tmp_path / "large")
    for figures in (small, large):
        assert figures.succeeded == figures.keys
        assert figures.done_before > 0
        assert figures.sent_again == 0
        in_flight = remote_source.IN_FLIGHT
        assert figures.keys <= figures.requests <= figures.keys + 2 * in_flight
    assert large.memory_mb - small.memory_mb < MAX_GROWTH_MB + small.memory_mb * 0.1
