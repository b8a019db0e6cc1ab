"""What a service is asked before and besides predictions, by GETs: where they are made, and what
its model takes. What is asked, and what an answer means, is up to the protocol.

As long as the place is not known, the service counts as not there, whatever it answers: no item is
at fault.
"""  # noqa: D205 - one thought

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from batchinfer.backends.http_carrier import CarriedResponse, HttpCarrier
from batchinfer.backends.http_errors import classify_http_error, make_timeout_hint
from batchinfer.backends.loaded_payload import LoadedPayload
from batchinfer.backends.protocol_calls import call_decoder, call_protocol
from batchinfer.backends.redaction import Redactor
from batchinfer.domain import Failure, FailureKind
from batchinfer.errors import FatalError
from batchinfer.flow.memory_budget import MemoryBudget, Reservation
from batchinfer.ports import Clock
from batchinfer.protocols.inference_protocol import HttpAnswer, InferenceProtocol
from batchinfer.transport.call_timeouts import CallTimeouts

ReadAnswer: TypeAlias = Callable[[Reservation, CarriedResponse], Awaitable[bytes | None]]
"""Reads as much of a body as is wanted; None: it is too large."""


class ServiceLookup:
    """Asks a service, and remembers where predictions are made."""

    def __init__(
        self,
        *,
        protocol: InferenceProtocol,
        carrier: HttpCarrier,
        url: URL,
        timeouts: CallTimeouts,
        memory_budget: MemoryBudget,
        redactor: Redactor,
        read_answer: ReadAnswer,
        clock: Clock,
    ) -> None:
        self._protocol = protocol
        self._carrier = carrier
        self._url = url
        self._timeouts = timeouts
        self._memory_budget = memory_budget
        self._redactor = redactor
        self._read_answer = read_answer
        self._clock = clock
        self._lock = asyncio.Lock()
        self.call_path: str | None = None
        """Where predictions are made; None: not known yet."""

    async def find_call_path(self) -> str | Failure:
        """Where predictions are made; asked for until it is known. Raises FatalError."""
        async with self._lock:  # one asks for all
            if self.call_path is not None:
                return self.call_path
            path, protocol = self._url.raw_path, self._protocol
            found = call_protocol(protocol.get_call_path, path)
            if isinstance(found, Failure):  # nothing that could pass
                raise FatalError(found.code, self._redactor.redact_text(found.message))
            if found is None:
                answer = await self._get(protocol.get_discovery_path(path))
                if isinstance(answer, Failure):
                    return replace(answer, kind=FailureKind.UNAVAILABLE)
                found = self._redact(call_decoder(protocol.decode_discovery, answer, path))
            if isinstance(found, Failure):
                return replace(found, kind=FailureKind.UNAVAILABLE)
            self.call_path = found
            return found

    async def fetch_description(self, call_path: str) -> str | Failure:
        """What the model takes, by a GET. Raises FatalError."""
        if (path := self._protocol.get_help_path(self._url.raw_path)) is None:
            return Failure("no_help", "services of this kind do not describe their model")
        answer = await self._get(path)
        if isinstance(answer, Failure):
            return answer
        return self._redact(call_decoder(self._protocol.decode_help, answer, call_path))

    async def _get(self, path: str) -> HttpAnswer | Failure:
        """The answer to a GET, without secrets. Raises FatalError."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        with self._memory_budget.new_reservation() as reservation:
            try:
                response, content = await self._carrier.exchange(
                    LoadedPayload((b"",), method="GET", path=path),
                    lambda: None,
                    partial(self._read_answer, reservation),
                )
            except (aiohttp.ClientError, OSError) as error:
                hint = make_timeout_hint(self._protocol)
                failure = classify_http_error(error, self._url, self._timeouts, hint)
                if isinstance(failure, FatalError):
                    raise failure from None
                return failure
            if content is None:
                return Failure("no_help", "what the service says of itself is too long to be read")
            return HttpAnswer(
                status=response.status,
                body=self._redactor.redact_bytes(content),
                headers=redact_headers(response.headers, self._redactor),
                is_framed=response.is_framed,
                elapsed=loop.time() - started_at,
                now=self._clock(),
            )

    def _redact(self, decoded: str | Failure | FatalError) -> str | Failure:
        """The same without secrets. Raises FatalError."""
        match decoded:
            case FatalError():
                raise FatalError(decoded.code, self._redactor.redact_text(decoded.message))
            case Failure():
                return self._redactor.redact_outcome(decoded)
            case str():
                return decoded


def redact_headers(headers: Mapping[str, str], redactor: Redactor) -> Mapping[str, str]:
    """The headers without secrets."""
    return CIMultiDict((name, redactor.redact_text(value)) for name, value in headers.items())
