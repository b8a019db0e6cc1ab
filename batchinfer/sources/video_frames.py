"""Puts the frames of a video in the place of the video, in any source."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Final

from batchinfer.domain import InputFile, Item, RemoteFile
from batchinfer.errors import SourceUnavailable
from batchinfer.inputs import InputStat, stat_input
from batchinfer.sources.file_kinds import FILE_KINDS
from batchinfer.text_format import escape_undecodable
from batchinfer.videos.frame_rule import FrameRule
from batchinfer.videos.frame_uris import format_frame_time, make_frame_uri

_VIDEO_EXTENSIONS: Final = tuple([f".{ending}" for ending in FILE_KINDS["video"]])
_FILE_ERRNOS: Final = frozenset(
    (errno.EACCES, errno.EPERM, errno.EBADMSG, errno.EFBIG, errno.ENOTSUP, errno.EINVAL)
)
"""Errors that are a matter of one video, while its source is there."""


def split_videos(items: Iterator[Item], rule: FrameRule) -> Iterator[Item]:
    """The items; in the place of each whose first file is a video, one for each of its frames.

    A video that cannot be read is one item, which fails. Raises SourceUnavailable when its disk or
    server has trouble: its frames are not left out then.
    """
    for item in items:
        if item.files and item.files[0].path.lower().endswith(_VIDEO_EXTENSIONS):
            yield from _iter_frames(item, rule)
        else:
            yield item


def check_video_extra() -> None:
    """Raises ConfigError when the libraries are missing that videos need."""
    from batchinfer.videos.video_reader import import_video_library  # noqa: PLC0415 - an extra

    import_video_library()


def _iter_frames(item: Item, rule: FrameRule) -> Iterator[Item]:
    from batchinfer.videos.video_reader import VideoReader  # noqa: PLC0415 - needs an extra

    video, *others = item.files
    try:
        seen = stat_input(video.path)
        with closing(VideoReader(video.path)) as reader:
            duration = reader.find_duration()
    except (OSError, ValueError) as error:
        if not _is_own_fault(video, error):
            raise SourceUnavailable(
                f"the video {escape_undecodable(video.path)} cannot be read "
                f"({getattr(error, 'strerror', None) or error})."
            ) from error
        unlisted = RemoteFile(video.param, make_frame_uri(video.path, None))
        yield replace(item, files=(unlisted, *others))
        return
    for milliseconds in rule.iter_times(duration):
        frame = _make_frame_file(video, milliseconds, seen)
        key = f"{item.key}@{format_frame_time(milliseconds)}"
        yield replace(item, key=key, files=(frame, *others))


def _make_frame_file(video: InputFile, milliseconds: int, seen: InputStat) -> RemoteFile:
    """Its size is known when it is made."""
    uri = make_frame_uri(video.path, milliseconds)
    return RemoteFile(video.param, uri, None, seen.mtime_ns, seen.fingerprint)


def _is_own_fault(video: InputFile, error: OSError | ValueError) -> bool:
    """Whether a video itself cannot be read; else it may be its source that is away."""
    if isinstance(error, ValueError) or error.errno in _FILE_ERRNOS:
        return True
    is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    return is_missing and video.size is None  # as it was when its source saw it: a broken link
