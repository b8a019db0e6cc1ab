"""Serve as told by one JSON object on standard input: how `running.py` starts the service.

People use `batchinfer local`. Standard output gets the connection, one line of JSON.
"""

from __future__ import annotations

import sys

from batchinfer.errors import ConfigError
from batchinfer.local.connection import Connection
from batchinfer.local.options import Options
from batchinfer.local.service import serve


def main() -> int:
    """Serve until a signal comes; 2 when it cannot start."""

    def announce(connection: Connection) -> None:
        sys.stdout.write(connection.to_json() + "\n")
        sys.stdout.flush()

    try:
        serve(Options.from_json(sys.stdin.readline()), announce)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
