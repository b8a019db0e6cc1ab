"""How much an archive may unpack to before it is taken for one that was made to do harm. Pure.

Pictures, tables and volumes hardly become a hundredth. Memory and time are bounded without these
limits, too (an item has at most 1 GiB); they say what is the matter, and spare the work.
"""

from __future__ import annotations

import errno
from typing import Final

from batchinfer.inputs import InputTooLargeError

_MAX_RATIO: Final = 500
_FREE_MEMBER_BYTES: Final = 64 << 20
"""Bytes of one file up to which no ratio is too high: an empty picture."""
FREE_STREAM_BYTES: Final = 16 << 30
"""The same of a compressed tar as a whole."""


def explain_member_bomb(size: int, packed_size: int) -> str | None:
    """Why a file that unpacks to `size` bytes is not unpacked; None: nothing is odd about it."""
    if size <= _FREE_MEMBER_BYTES or size <= _MAX_RATIO * packed_size:
        return None
    return (
        f"its {packed_size:,} bytes in the archive would unpack to {size:,}: that is made to fill "
        "memories (a decompression bomb), and was not unpacked"
    )


def check_stream_bomb(unpacked: int, packed: int, free_bytes: int = FREE_STREAM_BYTES) -> None:
    """Raises InputTooLargeError when so many bytes cannot be what came of `packed` ones.

    Up to `free_bytes` no ratio is too high.
    """
    if unpacked > free_bytes and unpacked > _MAX_RATIO * packed:
        raise InputTooLargeError(
            errno.EFBIG,
            f"{packed:,} bytes of the archive unpacked to more than {unpacked:,}: that is made to "
            "fill disks (a decompression bomb)",
        )
