"""Looking after a job that is going on: from another process, through a socket in its directory.

`instructions` says what can be told, `steering` does it, `serving` is the socket's one end,
`asking` the other. What was told holds for that process only: nothing is written to the run.
"""

from batchinfer.api.control.address import SOCKET
from batchinfer.api.control.asking import ask, at_work
from batchinfer.api.control.instructions import KNOWN, Instruction, read
from batchinfer.api.control.serving import steered
from batchinfer.api.control.steering import Steering, progress_of

__all__ = [
    "KNOWN",
    "SOCKET",
    "Instruction",
    "Steering",
    "ask",
    "at_work",
    "progress_of",
    "read",
    "steered",
]
