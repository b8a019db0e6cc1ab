"""What both carriers must know of TLS: whom to trust, and which troubles a person must settle."""

from __future__ import annotations

import ssl

from batchinfer.errors import ConfigError

TLS_ADVICE = (
    "For a cluster with a certificate of its own, name its CA with ca_file; verify = false trusts "
    "anybody"
)


def create_ssl_context(ca_file: str | None, *, verify: bool) -> ssl.SSLContext:
    """Trusts the CAs in `ca_file` only; without one, the system's; with `verify` off, anybody.

    Raises ConfigError when `ca_file` cannot be used.
    """
    try:
        ssl_context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "no certificates in it"
        raise ConfigError(
            f"ca_file {ca_file!r} cannot be used: {reason or 'unreadable'}. It must be a file of "
            "CA certificates in PEM form"
        ) from None
    if not verify:
        ssl_context.check_hostname = False
        ssl_context.verify_mode = ssl.CERT_NONE
    return ssl_context


def describe_tls_error(error: BaseException | None) -> str | None:
    """Why TLS failed, when trying again is of no use; None when it is not that, or may pass."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message.rstrip('.')})"
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | ssl.SSLSyscallError():
            return None  # cut off in the middle of a handshake: whoever answers is restarting
        case ssl.SSLError():
            reason = (error.reason or "unknown").replace("_", " ").lower()
            return f"there is no secure connection ({reason}): is it https at all?"
        case _:
            return None
