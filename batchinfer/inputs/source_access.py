"""How remote inputs are reached: addresses and credentials, of the run that asks.

A URI holds no credentials, and several runs of one process may each have others. So they belong to
the context (`contextvars`) in which a run, an export or a report works: `open_source_access` binds
them, and schemes ask `get_source_access`. A thread that opens inputs needs the context of whoever
started it: `anyio.to_thread` brings it along, for other threads there is `carry_context`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import Any, Final, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound="ClosableClient")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where an object store is, and what it asks for; None: as the environment says."""

    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """How the inputs of a run are reached that are not on this machine."""

    store: StoreSettings = field(default_factory=StoreSettings)
    """Of `s3://`; its certificates are also those that `https://` trusts."""
    token: str | None = field(default=None, repr=False)
    """Bearer token for the host of `store.endpoint`, and for no other."""
    problem: str = ""
    """Why the above cannot be used, for people; raised when it is needed."""
    bucket_store: StoreSettings | None = None
    """The platform's store, of `bucket://`; None: `bucket_problem` says why."""
    bucket_name: str | None = None
    """The bucket that `bucket:///...` means."""
    bucket_problem: str = ""
    service_folders: tuple[str, ...] = ()
    """Folders of that bucket that the run itself writes to, or the service for it."""


class ClosableClient(Protocol):
    """What holds connections."""

    def close(self) -> None:
        """End them."""


class SourceAccess:
    """Settings, and the clients that were made with them; all threads of a run share it."""

    def __init__(self, settings: SourceSettings | Callable[[], SourceSettings]) -> None:
        self._settings = settings
        self._clients: dict[Hashable, Any] = {}
        self._lock = threading.Lock()

    @property
    def settings(self) -> SourceSettings:
        """The settings; found out when they are first asked for."""
        if callable(self._settings):
            self._settings = self._settings()
        return self._settings

    def get_client(self, key: Hashable, make: Callable[[], C]) -> C:
        """The client of this key, which `make` makes when it is first asked for."""
        with self._lock:
            client: C | None = self._clients.get(key)
            if client is None:
                client = self._clients[key] = make()
            return client

    def close(self) -> None:
        """Close all clients; those that are asked for later are made anew."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()


_DEFAULT_ACCESS: Final = SourceAccess(SourceSettings())
"""Outside of any run: as the environment says."""
_current: Final[ContextVar[SourceAccess]] = ContextVar("source_access", default=_DEFAULT_ACCESS)


def get_source_access() -> SourceAccess:
    """The access of the run that this thread or task works for."""
    return _current.get()


@contextmanager
def open_source_access(
    settings: SourceSettings | Callable[[], SourceSettings],
) -> Iterator[SourceAccess]:
    """Bind settings to this context, and to all that is started in it; close their clients.

    A function is called when they are first asked for.
    """
    before, access = _current.get(), SourceAccess(settings)
    _current.set(access)
    try:
        yield access
    finally:
        _current.set(before)  # `reset` would refuse another context, in which a generator may end
        access.close()


def carry_context(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, to be called in other threads with the context of now; by many at once."""
    context = copy_context()

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return call
