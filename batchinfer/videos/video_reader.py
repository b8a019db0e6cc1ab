"""One open video: how long it is, and the frame that is seen at a time."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final, cast

from batchinfer.extras import import_optional
from batchinfer.inputs.random_reader import ReaderStream, open_random_reader

JPEG_QUALITY: Final = 95
_SEEK_SECONDS: Final = 10
"""Seconds ahead from which on a key frame on the way is looked for, instead of decoding all."""
_SEEK_BACK_SECONDS: Final = (0, 1, 4, 16, 64)
"""How far before a time a key frame is looked for, where a container does not know its place."""
_MAX_SECONDS: Final = 31 * 24 * 3600
"""A video that says it is longer would flood the run with frames that are not there."""
_MAX_DECODER_THREADS: Final = 4
"""Each holds some frames."""
_FORMATS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,m4v,mxf,gif,h264,"
    "hevc,ivf,dv,rm,swf,wtv,mjpeg,yuv4mpegpipe"
)
"""What FFmpeg may take a file for: nothing that makes it open other files or addresses."""
_EXACT_FORMATS: Final = frozenset(
    (*("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"), *("avi", "mpegts", "flv", "asf", "mxf"))
)
"""Containers that say of each frame when it is seen. In others (MPEG-PS) times are guessed behind a
place that was sought; they are decoded from the beginning."""
_LAST_FRAME_LENGTH: Final = Fraction(3, 2)
"""How long the last frame is seen at least, in frames: containers round."""
_ROTATIONS: Final = {90: "ROTATE_90", -90: "ROTATE_270", 180: "ROTATE_180", -180: "ROTATE_180"}


def make_video_error(problem: str) -> OSError:
    """A video, or some of it, cannot be read. To try again is of no use."""
    return OSError(errno.EBADMSG, problem)


def import_video_library() -> Any:
    """PyAV. Raises ConfigError when it is not installed."""
    import_optional("PIL.Image", "Sending frames of videos", "video")
    av = import_optional("av", "Sending frames of videos", "video")
    av.logging.set_level(None)  # FFmpeg's own words go nowhere: what matters is an error here
    return av


class VideoReader:
    """For one thread at a time. What goes wrong with the video is an OSError."""

    def __init__(self, path: str) -> None:
        self._av = import_video_library()
        reader = open_random_reader(path)
        assert reader is not None  # noqa: S101 - what cannot seek was copied
        self._file = io.BufferedReader(ReaderStream(reader))
        try:
            self._container = self._av.open(
                self._file, options={"format_whitelist": _FORMATS}, metadata_errors="replace"
            )
        except self._av.FFmpegError as error:
            raise make_video_error(f"it cannot be read as a video ({_describe(error)})") from error
        pictures = [each for each in self._container.streams.video if not _is_cover(each)]
        if not pictures:
            raise make_video_error("there is no video in it")
        self._stream = pictures[0]
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = min(_MAX_DECODER_THREADS, os.cpu_count() or 1)
        self._start = (self._stream.start_time or 0) * self._time_base
        self._frames: Iterator[Any] | None = None
        self._current: Any = None
        """The latest frame that began at or before the time that was asked for last."""
        self._next: Any = None
        """The one behind it; None: there is none."""
        self._has_exact_times = self._container.format.name in _EXACT_FORMATS
        self._may_seek_ahead = self._has_exact_times
        self.seek_count = 0
        """Times that it was not read on from where it was."""

    def find_duration(self) -> Fraction:
        """Seconds from its first frame to the end of its last one, as far as the file says.

        Nothing is decoded, and little is read.
        """
        try:
            if self._stream.duration:
                end = self._start + self._stream.duration * self._time_base
            else:
                end = self._find_last_end(from_end=True) or self._find_last_end(from_end=False)
        except self._av.FFmpegError as error:
            raise make_video_error(f"it cannot be read as a video ({_describe(error)})") from error
        finally:
            self._frames = None
        duration: Fraction = max(end - self._start, Fraction(0))
        if duration > _MAX_SECONDS:
            raise make_video_error(f"it says that it lasts {float(duration):,.0f} s: it is damaged")
        return duration

    def read_frame(self, milliseconds: int) -> bytes:
        """The frame that is seen at that time, as JPEG."""
        target = self._start + Fraction(milliseconds, 1000)
        try:
            self._go_to(target)
            frame = self._current or self._next
            if frame is None:
                raise make_video_error("there is no frame in it that can be decoded")
            self._check_end(frame, target)
            if frame.is_corrupt:
                raise make_video_error("it is damaged at this time")
            return self._encode(frame)
        except self._av.FFmpegError as error:
            self._frames = None
            problem = f"it is damaged at or before this time ({_describe(error)})"
            raise make_video_error(problem) from error

    def close(self) -> None:
        """Close it."""
        self._container.close()

    @property
    def _time_base(self) -> Fraction:
        return cast("Fraction", self._stream.time_base)

    def _get_time(self, frame: Any) -> Fraction:
        return self._start if frame.pts is None else frame.pts * self._time_base

    def _go_to(self, target: Fraction) -> None:
        here = None if self._frames is None else self._current or self._next
        if here is None or self._get_time(here) > target:
            self._seek(target)
        elif self._may_seek_ahead and target - self._get_time(here) > _SEEK_SECONDS:
            before = self._get_time(here)
            self._seek(target)
            landed = self._current or self._next
            # A video with few key frames is decoded on from where it was.
            self._may_seek_ahead = landed is not None and self._get_time(landed) > before
        while self._next is not None and self._get_time(self._next) <= target:
            self._current = self._next
            self._decode_next()

    def _seek(self, target: Fraction) -> None:
        """Go to a key frame at or before a time; to the beginning, if there is none.

        What is decoded before the first key frame lacks what it was made from, and is passed over.
        """
        self.seek_count += 1
        for seconds in _SEEK_BACK_SECONDS if self._has_exact_times else ():
            self._begin_at(target - seconds)
            while self._next is not None and not self._next.key_frame:
                self._decode_next()
            if self._next is not None and self._get_time(self._next) <= target:
                return
            if target - seconds <= self._start:
                break
        self._begin_at(None)

    def _begin_at(self, place: Fraction | None) -> None:
        """Decode from near a place on; None: from the beginning."""
        self._current = None
        if place is None or place <= self._start:
            self._container.seek(0)
        else:
            self._container.seek(int(place / self._time_base), stream=self._stream)
        self._frames = self._container.decode(self._stream)
        self._decode_next()

    def _decode_next(self) -> None:
        assert self._frames is not None  # noqa: S101 - it was sought before
        self._next = next(self._frames, None)

    def _check_end(self, frame: Any, target: Fraction) -> None:
        """Raises OSError when the video ended before that time."""
        if self._next is not None:
            return
        rate = self._stream.average_rate or Fraction(25)
        length = (frame.duration or 0) * self._time_base
        end = self._get_time(frame) + max(length, _LAST_FRAME_LENGTH / rate)
        if target > end:
            seconds = float(end - self._start)
            raise make_video_error(f"the video breaks off after {seconds:.3f} s, before this time")

    def _find_last_end(self, *, from_end: bool) -> Fraction:
        """Where the last frame ends, by the packets behind the last key frame, or by all."""
        if from_end:
            length = self._container.duration or 0
            self._container.seek(length + (self._container.start_time or 0))
        else:
            self._container.seek(0)
        end = Fraction(0)
        for packet in self._container.demux(self._stream):
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * self._time_base)
        return end

    @staticmethod
    def _encode(frame: Any) -> bytes:
        image = frame.to_image()
        if (rotation := _ROTATIONS.get(frame.rotation)) is not None:
            transpose = import_optional("PIL.Image", "Turning frames", "video").Transpose
            image = image.transpose(transpose[rotation])
        target = io.BytesIO()
        image.save(target, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        return target.getvalue()


def _is_cover(stream: Any) -> bool:
    """Whether a stream is the picture on the cover of a sound file."""
    return "attached_pic" in str(stream.disposition).lower()


def _describe(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return str(text).rstrip(".")
