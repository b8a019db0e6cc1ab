"""How long a call may take, and each of its stages.

::

    connect ─▶ send ─────────▶ wait for an answer ─▶ read it
    connect    send: nothing   first_byte            read: nothing comes so long
               moves so long
    ├───────────────────────── total ──────────────────────┤

Time that this process waits on purpose (`--bandwidth`, memory) counts for none of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from batchinfer import defaults


@dataclass(frozen=True, slots=True)
class CallTimeouts:
    """All in seconds."""

    total: float
    """Of the whole call; `math.inf`: any."""
    connect: float = defaults.CONNECT_TIMEOUT
    """Until the connection is there: name, TCP, TLS."""
    send: float = defaults.SEND_TIMEOUT
    """While the body is sent, without any of it being accepted."""
    first_byte: float | None = None
    """From the body's last byte to the answer's first; None: as long as `total` allows."""
    read: float | None = None
    """While the answer is read, without any of it coming; None: as long as `total` allows."""
