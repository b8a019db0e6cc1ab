"""TLS to a cluster: its certificates, and in plain words what is wrong with them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from batchinfer.errors import ConfigError
from batchinfer.extras import import_optional

if TYPE_CHECKING:
    from distributed import Security

_WRONG_CA: Final = "TLS certificate does not match"
"""What Dask says when the other side's certificate cannot be verified."""
_REFUSED_CERTIFICATE: Final = (
    *("ALERT_UNKNOWN_CA", "ALERT_CERTIFICATE", "ALERT_BAD_CERTIFICATE"),
    "EOF occurred in violation of protocol",
)
"""What OpenSSL says when the other side does not accept ours; the last if its alert was lost."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of `[cluster]`, as Dask names them: all that signs, our certificate, its key."""

    ca_file: str | None = None
    cert: str | None = None
    key: str | None = None

    @property
    def are_given(self) -> bool:
        """Whether any is named; else what Dask's own configuration says holds."""
        return bool(self.ca_file or self.cert or self.key)

    def make_security(self) -> Security:
        """What Dask takes. Raises ConfigError: a file is missing, or not what it should be."""
        from distributed import Security  # noqa: PLC0415 - an extra

        if not self.ca_file or not self.cert:
            raise ConfigError(
                "A cluster with TLS needs tls_ca_file, tls_cert and tls_key (which may be left out "
                "where the file of tls_cert holds the key, too)."
            )
        for name, file in (
            ("tls_ca_file", self.ca_file),
            ("tls_cert", self.cert),
            ("tls_key", self.key),
        ):
            if file and not Path(file).is_file():
                raise ConfigError(f"{name}: {file}: there is no such file.")
        _check_authority(self.ca_file)
        _check_certificate(self.cert, self.key)
        return Security(
            tls_ca_file=self.ca_file,
            tls_client_cert=self.cert,
            tls_client_key=self.key,
            require_encryption=True,
        )

    def explain(self, scheduler: str, error: Exception) -> str | None:
        """Why a scheduler cannot be reached, if that is a matter of TLS; a sentence."""
        text = f"{error}"
        if self.are_given and not scheduler.startswith("tls://"):
            return (
                "The connection to it would not be encrypted, and tls_ files are given. Write "
                "tls://... if it uses TLS, else leave them out."
            )
        if _WRONG_CA in text:
            return (
                "Its certificate is not signed by what is in tls_ca_file "
                f"({self.ca_file or 'from the configuration of Dask'}): use the file of this "
                "cluster."
            )
        if any(alert in text for alert in _REFUSED_CERTIFICATE):
            return (
                "It ended the connection when it had seen ours: most likely it does not accept the "
                f"certificate of tls_cert ({self.cert or 'none'}). Use one that is signed for this "
                "cluster."
            )
        if scheduler.startswith("tls://") and not self.are_given and isinstance(error, TypeError):
            return "It uses TLS: give tls_ca_file, tls_cert and tls_key in [cluster]."
        return None


def make_temporary_security() -> Security:
    """Certificates that live as long as the cluster: else any user of this machine could use it."""
    from distributed import Security  # noqa: PLC0415 - an extra

    import_optional("cryptography", "A cluster on this machine", "dask")
    return Security.temporary()


def _check_authority(ca_file: str) -> None:
    try:
        ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise ConfigError(
            f"tls_ca_file: {ca_file} holds no certificates that can be read (PEM)."
        ) from None


def _check_certificate(cert: str, key: str | None) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError):
        raise ConfigError(
            f"tls_cert: {cert} and its key ({key or 'expected in the same file'}) cannot be used "
            "together: both must be PEM, the key without a password, and belong to each other."
        ) from None
