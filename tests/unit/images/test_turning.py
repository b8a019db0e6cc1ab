"""Boxes of a photograph that is stored turned: they follow the pixels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batchinfer.images import ImageInfo, to_upright_box, to_upright_points
from batchinfer.predictions import Box
from support.image_files import stored


def drawn(size: tuple[int, int], box: Box) -> Image.Image:
    image = Image.new("L", size)
    image.paste(255, (int(box.left), int(box.top), int(box.right), int(box.bottom)))
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
@given(
    left=st.integers(0, 10), top=st.integers(0, 5), right=st.integers(11, 17), low=st.integers(6, 9)
)
def test_a_box_follows_its_pixels(orientation, left, top, right, low):
    """What is white in the upright picture is white as stored, and its box says where."""
    facts = ImageInfo(17, 9, orientation)
    seen = Box(left, top, right, low)
    box = drawn((17, 9), seen)
    pixels = stored(box, orientation)
    assert pixels.size == facts.stored_size
    measured = pixels.getbbox()
    assert measured is not None
    assert to_upright_box(Box(*measured), facts) == seen


@pytest.mark.parametrize("orientation", range(1, 9))
def test_fractions_turn_as_pixels_do(orientation):
    facts = ImageInfo(200, 100, orientation)
    width, height = facts.stored_size
    box = Box(0.125, 0.25, 0.5, 1.0, relative=True)
    turned = to_upright_box(box.to_pixels(width, height), facts)
    assert to_upright_box(box, facts).to_pixels(200, 100) == turned
    points = to_upright_points([(0.125, 0.25), (0.5, 1.0)], True, facts)
    xs, ys = zip(*points, strict=True)
    assert to_upright_box(box, facts) == Box(min(xs), min(ys), max(xs), max(ys), relative=True)
