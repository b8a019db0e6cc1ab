"""Every answer of the platform that is not a finished script, as data.

Their meaning: docs/platform.md, "Status codes". Nothing here decides anything: the gateway does,
and `--fail-with` picks by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class CannedResponse:
    """A status and a body, as a layer in front of the script writes them."""

    status: int
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"


def _nginx_response(status: int, reason: str) -> CannedResponse:
    title = f"{status} {reason}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return CannedResponse(status, page, "text/html")


BAD_TOKEN_RESPONSE = CannedResponse(401)
UNKNOWN_ISSUER_RESPONSE = CannedResponse(400, "Error getting oidc manager for issuer unknown\n")
MALFORMED_TOKEN_RESPONSE = CannedResponse(
    502, "token is malformed: token contains an invalid number of segments\n"
)
COLD_START_RESPONSE = CannedResponse(502)
QUEUE_FULL_RESPONSE = CannedResponse(503, "pending request queue full\n")
PAYLOAD_TOO_LARGE_RESPONSE = _nginx_response(413, "Request Entity Too Large")
TIMEOUT_RESPONSE = CannedResponse(504, "request timeout")

FAULT_RESPONSES = MappingProxyType(
    {
        "400": CannedResponse(400, "invalid workload: not enough resources\n"),
        "400/issuer": UNKNOWN_ISSUER_RESPONSE,
        "401": BAD_TOKEN_RESPONSE,
        "401/vo": CannedResponse(401, "this user isn't enrrolled on the vo: vo.example.eu\n"),
        "404": CannedResponse(404),
        "404/backend": CannedResponse(404, "404 page not found\n"),
        "408": CannedResponse(408, "Killed process."),
        "413": PAYLOAD_TOO_LARGE_RESPONSE,
        "429": CannedResponse(
            429, "Concurrent request limit exceeded. Max concurrent requests: 1\n"
        ),
        "500": CannedResponse(500),
        "500/supervisor": CannedResponse(
            500, "exit status 1\nTraceback (most recent call last):\n"
        ),
        "502": CannedResponse(502, "EOF"),
        "502/cold": COLD_START_RESPONSE,
        "502/token": MALFORMED_TOKEN_RESPONSE,
        "502/nginx": _nginx_response(502, "Bad Gateway"),
        "503": QUEUE_FULL_RESPONSE,
        "503/deadline": CannedResponse(503, "context deadline exceeded\n"),
        "503/gateway": CannedResponse(
            503, "upstream connect error or disconnect/reset before headers\n"
        ),
        "504": TIMEOUT_RESPONSE,
        "504/activator": CannedResponse(504, "activator request timeout"),
        "504/nginx": _nginx_response(504, "Gateway Time-out"),
    }
)
"""The answers that `--fail-with` can give, by name: a status, and after a slash which one."""

STORE_UNAVAILABLE_RESPONSE = CannedResponse(
    503,
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>XMinioServerNotInitialized</Code>'
    "<Message>Server not initialized yet, please try again.</Message></Error>",
    "application/xml",
)
