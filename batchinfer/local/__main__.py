"""Serve as told by one JSON object on standard input: how `start_service.py` starts the service.

People use `batchinfer local`. Standard output gets the connection, one line of JSON.
"""

from __future__ import annotations

import sys

from batchinfer.errors import ConfigError
from batchinfer.local.local_server import serve
from batchinfer.local.service_connection import ServiceConnection
from batchinfer.local.service_options import LocalServiceOptions


def main() -> int:
    """Serve until a signal comes; 2 when it cannot start."""

    def announce(connection: ServiceConnection) -> None:
        sys.stdout.write(connection.to_json() + "\n")
        sys.stdout.flush()

    try:
        serve(LocalServiceOptions.from_json(sys.stdin.readline()), announce)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
