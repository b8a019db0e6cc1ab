"""Every answer of the platform that is not a finished script (contract section 1), as data.

Nothing here decides anything: the gateway does, and `--fail-with` picks by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body, as a layer in front of the script writes them."""

    status: int
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"


def _nginx(status: int, reason: str) -> Answer:
    title = f"{status} {reason}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Answer(status, page, "text/html")


BAD_TOKEN = Answer(401)
UNKNOWN_ISSUER = Answer(400, "Error getting oidc manager for issuer unknown\n")
MALFORMED_TOKEN = Answer(502, "token is malformed: token contains an invalid number of segments\n")
COLD = Answer(502)
QUEUE_FULL = Answer(503, "pending request queue full\n")
TOO_LARGE = _nginx(413, "Request Entity Too Large")
TIMED_OUT = Answer(504, "request timeout")

FAULTS = MappingProxyType(
    {
        "400": Answer(400, "invalid workload: not enough resources\n"),
        "400/issuer": UNKNOWN_ISSUER,
        "401": BAD_TOKEN,
        "401/vo": Answer(401, "this user isn't enrrolled on the vo: vo.example.eu\n"),
        "404": Answer(404),
        "404/backend": Answer(404, "404 page not found\n"),
        "408": Answer(408, "Killed process."),
        "413": TOO_LARGE,
        "429": Answer(429, "Concurrent request limit exceeded. Max concurrent requests: 1\n"),
        "500": Answer(500),
        "500/supervisor": Answer(500, "exit status 1\nTraceback (most recent call last):\n"),
        "502": Answer(502, "EOF"),
        "502/cold": COLD,
        "502/token": MALFORMED_TOKEN,
        "502/nginx": _nginx(502, "Bad Gateway"),
        "503": QUEUE_FULL,
        "503/deadline": Answer(503, "context deadline exceeded\n"),
        "503/gateway": Answer(503, "upstream connect error or disconnect/reset before headers\n"),
        "504": TIMED_OUT,
        "504/activator": Answer(504, "activator request timeout"),
        "504/nginx": _nginx(504, "Gateway Time-out"),
    }
)
"""The answers that `--fail-with` can give, by name: a status, and after a slash which one."""

STORE_AWAY = Answer(
    503,
    '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>XMinioServerNotInitialized</Code>'
    "<Message>Server not initialized yet, please try again.</Message></Error>",
    "application/xml",
)
