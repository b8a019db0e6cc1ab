"""Which frames of a video are sent, and how they are named."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.videos.frame_rule import FrameRule
from batchinfer.videos.frame_uris import format_frame_time, make_frame_uri, split_frame_uri


def times(rule: str, duration: str) -> list[int]:
    return list(FrameRule.parse(rule).iter_times(Fraction(duration)))


@pytest.mark.parametrize(
    ("rule", "duration", "expected"),
    [
        ("every=2s", "6.5", [0, 2000, 4000, 6000]),
        ("every=2", "6", [0, 2000, 4000]),
        ("every=500ms", "1.2", [0, 500, 1000]),
        ("every=1.5s", "4", [0, 1500, 3000]),
        ("every=1h", "10", [0]),
        ("fps=1", "3", [0, 1000, 2000]),
        ("fps=30", "0.1", [0, 34, 67]),
        ("fps=0.5", "4.1", [0, 2000, 4000]),
        ("n=1", "10", [5000]),
        ("n=4", "8", [1000, 3000, 5000, 7000]),
        ("n=5", "0.002", [1, 2]),
        ("n=3", "0", [0]),
        ("every=2s", "0", [0]),
    ],
)
def test_times(rule, duration, expected):
    assert times(rule, duration) == expected


@given(st.integers(1, 120), st.integers(1, 200))
def test_a_rate_as_the_videos_own_gives_each_frame_once(rate, count):
    found = times(f"fps={rate}", str(Fraction(count, rate)))
    # The frame that is seen at a time is the last one that begins at or before it.
    assert [milliseconds * rate // 1000 for milliseconds in found] == list(range(count))


@pytest.mark.parametrize(
    "text",
    ["", "2s", "every=", "every=0s", "every=0.1ms", "fps=0", "fps=5000", "n=0", "n=1.5", "n=-1"],
)
def test_what_is_no_rule(text):
    with pytest.raises(ValueError, match="every=2s"):
        FrameRule.parse(text)


@given(st.text(), st.none() | st.integers(0, 10**9))
def test_uris_are_read_back(video, milliseconds):
    uri = make_frame_uri(f"/{video}.mp4", milliseconds)
    assert split_frame_uri(uri) == (f"/{video}.mp4", milliseconds)


def test_times_are_spelled_for_people():
    assert format_frame_time(62_000) == "00:01:02.000"
    assert format_frame_time(360_000_000 + 1) == "100:00:00.001"
