"""Keys, region and address of an S3 store: as configured, else as AWS' own programs find them.

Those look into `AWS_*`, `~/.aws`, and what a machine or container of AWS provides. botocore does
that; it takes a third of a second to import, so it is asked only where nothing else says.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from batchinfer import defaults
from batchinfer.inputs.source_access import StoreSettings
from batchinfer.inputs.uri_scheme import SourceAwayError


class Credentials(NamedTuple):
    """What signs a request."""

    access_key: str
    secret_key: str
    session_token: str = ""


class StoreAddress(NamedTuple):
    """Where a store is called, and how its requests are signed."""

    endpoint: str
    """Scheme, host, port and perhaps a path; without a slash at its end."""
    region: str
    is_aws: bool
    """Whether the address follows from the region."""
    get_credentials: Callable[[], Credentials | None]
    """Those of now, for they may be renewed; None: requests are not signed."""


_AWS_ENDPOINT: Final = "https://s3.{}.amazonaws.com"


def make_aws_endpoint(region: str) -> str:
    """The address of AWS' own store in a region."""
    suffix = ".cn" if region.startswith("cn-") else ""
    return _AWS_ENDPOINT.format(region) + suffix


def find_store(settings: StoreSettings) -> StoreAddress:
    """Complete what is configured. Raises SourceAwayError when the environment is unusable."""
    env = os.environ
    session: Any = None
    if settings.access_key and settings.secret_key:
        keys = Credentials(settings.access_key, settings.secret_key, settings.session_token or "")
        get_credentials: Callable[[], Credentials | None] = lambda: keys  # noqa: E731
    elif env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
        get_credentials = _read_environment
    else:
        session = _AwsSession()
        get_credentials = session.get_credentials
    endpoint = settings.endpoint or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL")
    region = settings.region or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION")
    if region is None and endpoint is None and session is not None:
        region = session.get_region()
    region = region or defaults.BUCKET_REGION
    address = (endpoint or make_aws_endpoint(region)).rstrip("/")
    return StoreAddress(address, region, endpoint is None, get_credentials)


def _read_environment() -> Credentials:
    env = os.environ
    return Credentials(
        env.get("AWS_ACCESS_KEY_ID", ""),
        env.get("AWS_SECRET_ACCESS_KEY", ""),
        env.get("AWS_SESSION_TOKEN", ""),
    )


class _AwsSession:
    """botocore's session, which finds and renews credentials. Untyped; its `Any` stays here."""

    def __init__(self) -> None:
        from botocore.session import Session  # noqa: PLC0415 - slow

        self._session: Any = Session()
        self._credentials: Any = None
        self._was_asked = False

    def get_credentials(self) -> Credentials | None:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - slow

        try:
            if not self._was_asked:
                self._credentials, self._was_asked = self._session.get_credentials(), True
            if self._credentials is None:
                return None
            frozen = self._credentials.get_frozen_credentials()
            return Credentials(frozen.access_key, frozen.secret_key, frozen.token or "")
        except (BotoCoreError, ValueError, OSError) as error:
            raise SourceAwayError(errno.EACCES, _describe_aws_error(error)) from None

    def get_region(self) -> str | None:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - slow

        try:
            region: str | None = self._session.get_config_variable("region")
        except (BotoCoreError, ValueError, OSError) as error:
            raise SourceAwayError(errno.EACCES, _describe_aws_error(error)) from None
        return region


def _describe_aws_error(error: Exception) -> str:
    """By its kind only: its text may quote a file of keys."""
    return (
        f"the AWS credentials of this machine cannot be used ({type(error).__name__}): check "
        "AWS_PROFILE and ~/.aws, or give keys in [source]"
    )
