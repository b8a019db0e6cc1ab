"""Which findings are the same thing."""

import random

import pytest

from batchinfer.comparison.finding_matches import box_overlap, match_findings
from batchinfer.predictions import Box, Detection, Mask
from batchinfer.predictions.masks import mask_overlap


def cat(left, top=0, size=10, label="cat", score=0.9, **more):
    return Detection(label, score, Box(left, top, left + size, top + size), **more)


def matched(first, second, size=None, **more):
    found = match_findings(first, second, lambda: size, **more)
    pairs = [(each.first, each.second) for each in found.matches]
    return sorted(pairs), list(found.only_first), list(found.only_second)


def test_boxes_overlap_by_intersection_over_union():
    assert box_overlap(Box(0, 0, 10, 10), Box(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert box_overlap(Box(0, 0, 10, 10), Box(10, 10, 20, 20)) == 0
    assert box_overlap(Box(0, 0, 10, 10), Box(20, 0, 30, 10)) == 0
    assert box_overlap(Box(5, 5, 5, 5), Box(5, 5, 5, 5)) == 1
    assert box_overlap(Box(5, 5, 5, 5), Box(6, 5, 6, 5)) == 0


def test_the_nearest_go_together_and_the_rest_is_alone():
    first, second = [cat(0), cat(100), cat(300)], [cat(102), cat(1), cat(500)]

    assert matched(first, second) == ([(0, 1), (1, 0)], [2], [2])


def test_a_label_at_the_place_goes_before_a_larger_overlap():
    """A dog in front of a cat: each model found both."""
    first = [cat(0), cat(1, label="dog")]
    second = [cat(0, label="dog"), cat(1)]

    assert matched(first, second) == ([(0, 1), (1, 0)], [], [])


def test_another_label_at_the_same_place_is_the_same_thing():
    assert matched([cat(0)], [cat(1, label="dog")]) == ([(0, 0)], [], [])


def test_below_the_least_overlap_nothing_is_matched():
    assert matched([cat(0)], [cat(5)]) == ([], [0], [0])
    assert matched([cat(0)], [cat(5)], min_overlap=0.3) == ([(0, 0)], [], [])


def test_pixels_and_fractions_are_compared_by_the_size_of_the_picture():
    pixels = Detection("cat", 0.9, Box(10, 20, 50, 60))
    parts = Detection("cat", 0.9, Box(0.1, 0.1, 0.5, 0.3, relative=True))

    assert matched([pixels], [parts], size=(100, 200)) == ([(0, 0)], [], [])


def test_what_cannot_be_placed_is_matched_by_its_label():
    pixels = Detection("cat", 0.9, Box(10, 20, 50, 60))
    parts = Detection("cat", 0.9, Box(0.1, 0.1, 0.5, 0.3, relative=True))

    assert matched([pixels], [parts], size=None) == ([(0, 0)], [], [])
    plain = [Detection("cat", 0.4), Detection("cat", 0.9), Detection("dog", 0.2)]
    assert matched(plain, [Detection("cat", 0.8)]) == ([(1, 0)], [0, 2], [])


def test_sounds_are_compared_by_their_times():
    first = [Detection("wren", 0.5, start=0, end=3), Detection("wren", 0.5, start=6, end=9)]
    second = [Detection("wren", 0.5, start=6.5, end=9)]

    assert matched(first, second) == ([(1, 0)], [0], [])


def test_masks_count_before_boxes():
    """Two things in one box: the masks tell them apart."""
    left = Mask(2, 4, (0, 4, 4), 4)
    right = Mask(2, 4, (4, 4), 4)
    box = Box(0, 0, 4, 2)
    first = [Detection("a", 1.0, box, mask=left), Detection("a", 1.0, box, mask=right)]
    second = [Detection("a", 1.0, box, mask=right), Detection("a", 1.0, box, mask=left)]

    assert matched(first, second) == ([(0, 1), (1, 0)], [], [])


def pixels_of(mask):
    offset, found = 0, set()
    for at, run in enumerate(mask.counts):
        found |= set(range(offset, offset + run)) if at % 2 else set()
        offset += run
    return found


def random_mask(source, height=7, width=9):
    left, counts = height * width, []
    while left:
        run = min(source.randint(0 if not counts else 1, 9), left)
        counts.append(run)
        left -= run
    return Mask(height, width, tuple(counts), sum(counts[1::2]))


def test_masks_overlap_as_their_pixels_do():
    source = random.Random(7)
    for _ in range(300):
        one, other = random_mask(source), random_mask(source)
        either = pixels_of(one) | pixels_of(other)
        expected = len(pixels_of(one) & pixels_of(other)) / len(either) if either else 1.0

        assert mask_overlap(one, other) == pytest.approx(expected)
    assert mask_overlap(Mask(2, 4, (0, 8), 8), Mask(4, 2, (0, 8), 8)) is None


def test_sweeping_finds_every_pair_that_overlaps():
    source = random.Random(3)
    for _ in range(50):
        first = [
            cat(source.uniform(0, 60), source.uniform(0, 60), source.uniform(1, 40))
            for _ in range(12)
        ]
        second = [
            cat(source.uniform(0, 60), source.uniform(0, 60), source.uniform(1, 40))
            for _ in range(12)
        ]
        best = max(box_overlap(a.box, b.box) for a in first for b in second)
        found = match_findings(first, second, lambda: None, min_overlap=1e-9)

        assert max(each.overlap for each in found.matches) == pytest.approx(best)
