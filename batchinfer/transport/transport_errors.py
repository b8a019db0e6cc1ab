"""What can go wrong with a call before its whole answer is here. All are `OSError`s.

The names are the field's (aiohttp's, mostly): where the system has no words for it, they stand in
messages.
"""

from __future__ import annotations


class ClientConnectorError(OSError):
    """There is no connection: TCP, or TLS."""

    def __init__(self, os_error: OSError) -> None:
        super().__init__(os_error.errno, os_error.strerror)
        self.os_error = os_error
        """Why, in the system's words."""


class ClientConnectorDNSError(ClientConnectorError):
    """The host's name has no address."""


class ConnectTimeout(TimeoutError):  # noqa: N818 - reads as a fact
    """There was no connection in time."""


class SendStalled(TimeoutError):  # noqa: N818 - reads as a fact
    """Nothing of a body was accepted any more."""


class FirstByteTimeout(TimeoutError):  # noqa: N818 - reads as a fact
    """Everything was sent, and no answer began in time."""


class ReadTimeout(TimeoutError):  # noqa: N818 - reads as a fact
    """An answer that had begun did not go on in time."""


class ServerDisconnectedError(ConnectionError):
    """The connection ended without an answer."""


class ClientPayloadError(ConnectionError):
    """The connection ended within an answer."""


class MalformedResponseError(ConnectionError):
    """What came is no HTTP."""


class HeaderTooLongError(MalformedResponseError):
    """A header of the answer, or all of them together, is longer than allowed."""


class ContentEncodingError(ConnectionError):
    """The body is not what its Content-Encoding says, or that is none that is known here."""
