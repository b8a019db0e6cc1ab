"""Opening connections to one host: its name, TCP to the address that answers first, and TLS."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from aiohappyeyeballs import AddrInfoType, start_connection

from batchinfer.transport.transport_errors import ClientConnectorDNSError, ClientConnectorError

P = TypeVar("P", bound=asyncio.Protocol)

ADDRESSES_VALID_SECONDS: Final = 10.0
"""Seconds for which the addresses of a name are used."""
HAPPY_EYEBALLS_DELAY: Final = 0.25
"""Seconds after which the next address is tried, too (RFC 8305)."""


class Connector:
    """Opens connections to `host` and `port`. Its errors are `ClientConnectorError`s."""

    def __init__(self, host: str, port: int, ssl_context: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._loop = asyncio.get_running_loop()
        self._addresses: Sequence[AddrInfoType] = ()
        self._valid_until = 0.0
        self._lookup: asyncio.Task[Sequence[AddrInfoType]] | None = None
        """That which is under way: one for all that wait."""

    async def connect(self, make_protocol: Callable[[], P]) -> P:
        """A protocol that is connected."""
        addresses = await self._resolve()
        try:
            connected = await start_connection(
                list(addresses), happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY, interleave=1
            )
            try:
                _, protocol = await self._loop.create_connection(
                    make_protocol,
                    sock=connected,
                    ssl=self._ssl_context,
                    server_hostname=self._host.rstrip(".") if self._ssl_context else None,
                )
            except BaseException:
                connected.close()
                raise
        except OSError as error:  # the system's own TimeoutError is one
            self._valid_until = 0.0  # it may have moved
            raise ClientConnectorError(error) from error
        return protocol

    def close(self) -> None:
        """Look nothing up any more."""
        if self._lookup is not None:
            self._lookup.cancel()

    async def _resolve(self) -> Sequence[AddrInfoType]:
        if self._loop.time() < self._valid_until:
            return self._addresses
        if self._lookup is None:
            self._lookup = self._loop.create_task(self._look_up())
            self._lookup.add_done_callback(self._forget_lookup)
        return await asyncio.shield(self._lookup)

    def _forget_lookup(self, lookup: asyncio.Task[Any]) -> None:
        self._lookup = None
        if not lookup.cancelled():
            lookup.exception()  # all who waited may have gone

    async def _look_up(self) -> Sequence[AddrInfoType]:
        if (address := _make_literal_address(self._host, self._port)) is not None:
            self._addresses = [address]
        else:
            try:
                self._addresses = await self._loop.getaddrinfo(
                    self._host,
                    self._port,
                    type=socket.SOCK_STREAM,
                    flags=socket.AI_ADDRCONFIG,
                )
            except OSError as error:  # socket.gaierror is one
                raise ClientConnectorDNSError(error) from error
        self._valid_until = self._loop.time() + ADDRESSES_VALID_SECONDS
        return self._addresses


def _make_literal_address(host: str, port: int) -> AddrInfoType | None:
    """Where `host` is an address and no name; without asking anybody."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    common = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    if version == 4:  # noqa: PLR2004 - IPv4
        return (socket.AF_INET, *common, (host, port))
    return None if "%" in host else (socket.AF_INET6, *common, (host, port, 0, 0))
