"""The scheme of frames: opens them; they are listed where the videos are (`sources`)."""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, Final

from batchinfer.inputs import InputStat, ListedInput, stat_input
from batchinfer.inputs.ordered_lock import OrderedLock
from batchinfer.videos.frame_uris import split_frame_uri
from batchinfer.videos.video_reader import VideoReader, make_video_error

_MAX_OPEN_VIDEOS: Final = 3
_MAX_KEPT_BYTES: Final = 64 << 20
"""Bytes of encoded frames that are kept from when they are looked at until they are read."""
_UNLISTED_PROBLEM: Final = (
    "its frames could not be listed when the run began, and are not part of it; for them, start a "
    "new run"
)


class FrameScheme:
    """Frames of videos; at most `_MAX_OPEN_VIDEOS` videos are open at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._videos: OrderedDict[str, _OpenVideo] = OrderedDict()
        self._kept: OrderedDict[str, tuple[InputStat, bytes]] = OrderedDict()
        self._kept_bytes = 0

    def check(self, uri: str) -> None:
        """As `UriScheme.check`: whether the video is there."""
        stat_input(split_frame_uri(uri).video)

    def list_inputs(self, uri: str) -> Iterator[ListedInput]:
        """Refuse: a video is named by its path."""
        raise OSError(errno.ENOTSUP, "name the video itself, and which frames with --frames", uri)

    def stat(self, uri: str) -> InputStat:
        """Look at a frame: it is decoded for that, and kept for a while."""
        return self._read_frame(uri)[0]

    def open(self, uri: str) -> BinaryIO:
        """Open a frame, a JPEG."""
        return BytesIO(self._read_frame(uri)[1])

    def open_input(self, uri: str) -> OpenFrame:
        """Open a frame with what is known of it."""
        seen, data = self._read_frame(uri)
        self._forget(uri)
        return OpenFrame(split_frame_uri(uri).video, seen, data)

    def find_container(self, uri: str) -> str:
        """The video that a frame is in."""
        return split_frame_uri(uri).video

    def _read_frame(self, uri: str) -> tuple[InputStat, bytes]:
        path, milliseconds = split_frame_uri(uri)
        seen = stat_input(path)
        with self._lock:
            kept_seen, data = self._kept.get(uri, (seen, None))
        if data is None or kept_seen != seen:
            data = self._open_video(path, seen).read_frame(milliseconds)
            self._forget(uri)
            self._keep(uri, seen, data)
        return InputStat(len(data), seen.mtime_ns, seen.fingerprint), data

    def _open_video(self, path: str, seen: InputStat) -> _OpenVideo:
        with self._lock:
            video = self._videos.get(path)
            if video is None or video.seen != seen:
                video = self._videos[path] = _OpenVideo(path, seen)
            self._videos.move_to_end(path)
            while len(self._videos) > _MAX_OPEN_VIDEOS:
                self._videos.popitem(last=False)
            return video

    def _keep(self, uri: str, seen: InputStat, data: bytes) -> None:
        with self._lock:
            if uri not in self._kept:
                self._kept[uri] = (seen, data)
                self._kept_bytes += len(data)
            while self._kept_bytes > _MAX_KEPT_BYTES and len(self._kept) > 1:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1][1])

    def _forget(self, uri: str) -> None:
        with self._lock:
            if (kept := self._kept.pop(uri, None)) is not None:
                self._kept_bytes -= len(kept[1])


class OpenFrame:
    """A frame that is open; an `OpenInput`."""

    def __init__(self, video: str, seen: InputStat, data: bytes) -> None:
        self._video = video
        self.size, self.mtime_ns, self.fingerprint, self.is_regular = seen
        self._data = BytesIO(data)

    def read(self, size: int) -> bytes:
        """Read on: `size` bytes, fewer only at its end."""
        return self._data.read(size)

    def has_changed(self) -> bool:
        """Whether its video is another now than when it was opened."""
        now = stat_input(self._video)
        return (now.mtime_ns, now.fingerprint) != (self.mtime_ns, self.fingerprint)

    def close(self) -> None:
        """Close it."""
        self._data.close()


class _OpenVideo:
    """A video with what was seen of its file, opened when its first frame is asked for."""

    def __init__(self, path: str, seen: InputStat) -> None:
        self.seen = seen
        self._path = path
        self._lock = OrderedLock()
        self._reader: VideoReader | None = None

    def read_frame(self, milliseconds: int | None) -> bytes:
        """The frame at that time, as JPEG. Raises OSError."""
        with self._lock.hold(milliseconds or 0):
            if self._reader is None:
                self._reader = VideoReader(self._path)
            if milliseconds is None:
                raise make_video_error(_UNLISTED_PROBLEM)
            return self._reader.read_frame(milliseconds)
