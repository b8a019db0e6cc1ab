"""A botocore session that reads neither the environment nor `~/.aws`.

Somebody else's `AWS_*` variables, profiles, models or plugins must neither change nor break what is
sent to a bucket that the caller has described in full. botocore has no switch for that, so every
setting that it would look up is set here to its default, whatever its name. Settings that a later
version of botocore adds are covered, too: they stand in the same table.

Proxies are not botocore's business either: see `proxies.py`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from aiobotocore.session import AioSession
from botocore.configprovider import (
    BOTOCORE_DEFAUT_SESSION_VARIABLES,
    ConfigValueStore,
    ConstantProvider,
)
from botocore.loaders import Loader

from batchinfer.backends.s3_calls import S3_USER_AGENT


class IsolatedSession(AioSession):  # type: ignore[misc]  # untyped
    """An `AioSession` whose settings are botocore's defaults and the caller's, nothing else."""

    def _register_config_store(self) -> None:
        # (name in the file, name in the environment, default, conversion) by name.
        constants = {
            name: ConstantProvider(value=row[2])
            for name, row in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
        }
        # Its default follows AWS_NEW_RETRIES_2026; we try again ourselves.
        constants["retry_mode"] = ConstantProvider(value="legacy")
        self._components.register_component("config_store", ConfigValueStore(mapping=constants))

    def _register_data_loader(self) -> None:
        self._components.register_component("data_loader", _builtin_loader())

    def _add_configured_endpoint_provider(self, client_name: str, config_store: Any) -> None:
        """Add none: the endpoint is always given."""

    def _register_client_plugins(self, client: Any) -> None:
        """Load none of `BOTOCORE_EXPERIMENTAL__PLUGINS`."""

    def get_auth_token(self, **_: Any) -> None:
        """None: single sign-on is not used."""

    def get_scoped_config(self) -> dict[str, Any]:
        """What a profile of `~/.aws/config` says: nothing."""
        return {}

    @property
    def full_config(self) -> dict[str, Any]:
        """What `~/.aws/config` and `~/.aws/credentials` say: nothing."""
        return {"profiles": {}}

    def user_agent(self) -> str:
        """See `S3_USER_AGENT`."""
        return S3_USER_AGENT


@cache
def _builtin_loader() -> Loader:
    """Loads botocore's own models, and none of `~/.aws/models`; keeps what it has loaded."""
    return Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
