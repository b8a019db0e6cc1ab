"""Controls a running job from another process, through a socket in its run directory.

`commands` are what can be sent, `controller` carries them out, `control_socket` has both ends of
the socket. A command holds for the running process only: nothing is written to the run.
"""

from batchinfer.api.control.commands import COMMAND_NAMES, ControlCommand, parse_command
from batchinfer.api.control.control_socket import (
    SOCKET_NAME,
    get_worker_status,
    send_command,
    serve_control,
)
from batchinfer.api.control.controller import Controller, progress_from_status

__all__ = [
    "COMMAND_NAMES",
    "SOCKET_NAME",
    "ControlCommand",
    "Controller",
    "get_worker_status",
    "parse_command",
    "progress_from_status",
    "send_command",
    "serve_control",
]
