"""Videos whose frames say which they are: a bar for each bit of their number, white for 1."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

BITS = 10
BAR = 16


def draw(number: int, height: int = 64) -> np.ndarray[Any, Any]:
    """The picture of that frame."""
    bars = [255 if number >> bit & 1 else 0 for bit in range(BITS)]
    row = np.repeat(np.array(bars, np.uint8), BAR)
    return np.repeat(np.tile(row, (height, 1))[:, :, None], 3, axis=2)


def read_number(jpeg: bytes) -> int:
    """The number of the frame that a picture shows."""
    with Image.open(BytesIO(jpeg)) as image:
        row = np.asarray(image.convert("L"))[image.height // 2]
    return sum(1 << bit for bit in range(BITS) if row[bit * BAR + BAR // 2] > 127)


def write_video(
    path: Path,
    frames: int = 100,
    *,
    rate: int = 25,
    codec: str = "libx264",
    times: Sequence[Fraction] | None = None,
    gop: int = 12,
    rotation: int | None = None,
    sound: float = 0,
    start: Fraction = Fraction(0),
    options: dict[str, str] | None = None,
) -> Path:
    """A video of so many frames; `times`: when each begins, in seconds; `sound`: seconds of it."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = BITS * BAR, 64, "yuv420p"
        base = Fraction(1, rate if codec == "mpeg2video" else 12_800)
        stream.time_base = stream.codec_context.time_base = base
        stream.codec_context.gop_size = gop
        if codec == "libx264":  # no key frames but these
            stream.options = {"x264-params": f"keyint={gop}:scenecut=0"}
        if rotation is not None:
            stream.set_display_rotation(rotation)
        audio = container.add_stream("aac", rate=8_000) if sound else None
        for number in range(frames):
            seconds = times[number] if times else Fraction(number, rate)
            frame = av.VideoFrame.from_ndarray(draw(number), format="rgb24")
            frame.pts, frame.time_base = int((seconds + start) / base), base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if audio is not None:
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, int(sound * 8_000)), np.float32), format="fltp", layout="mono"
            )
            silence.sample_rate, silence.pts = 8_000, 0
            container.mux(audio.encode(silence))
            container.mux(audio.encode())
    return path
