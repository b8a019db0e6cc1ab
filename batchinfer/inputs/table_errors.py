"""What is wrong with a table, in words for a person instead of those of pyarrow."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

ENCRYPTED_TEXT: Final = "it is encrypted: write it without encryption"
_POSSIBLE_BYTES: Final = 1 << 36
"""Beyond it, what is asked for was never in the table: a length is damaged."""
_MAX_TABLE_REASON_CHARS: Final = 200


class TableError(OSError):
    """A table that is damaged, or in a form that is not read."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EBADMSG, message)

    def __str__(self) -> str:
        """The message alone."""
        return str(self.strerror)

    def __reduce__(self) -> tuple[type[TableError], tuple[str]]:
        return type(self), (str(self.strerror),)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise as TableError what pyarrow raises for a table that it cannot read."""
    try:
        yield
    except OSError as error:
        if error.errno is not None or isinstance(error, FileNotFoundError):  # not the table's
            raise
        raise TableError(_explain(error)) from error
    except MemoryError as error:
        if any(int(digits) > _POSSIBLE_BYTES for digits in re.findall(r"\d+", str(error))):
            raise TableError(_explain(error)) from error
        raise
    except (ValueError, NotImplementedError, KeyError, IndexError, TypeError) as error:
        raise TableError(_explain(error)) from error


def _explain(error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:_MAX_TABLE_REASON_CHARS]
    if "crypt" in reason.lower():
        return ENCRYPTED_TEXT
    return f"it is damaged, or in a form that is not read ({reason.rstrip('.')})"
