"""Delivery by calls (sync mode): one HTTP request per attempt.

What is sent and what an answer means is up to the protocol; who carries it, to `http_carrier.py`.
Whatever happens to a call comes back as a value, or as a FatalError when no call can succeed; no
exception of a carrier leaves (`http_errors.py` classifies them). The token goes to the endpoint and
nowhere else: no redirect is followed, no .netrc is read. Secrets are removed before anything is
stored. A cancelled call closes its connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiohttp
import anyio.to_thread
from yarl import URL

from batchinfer import defaults
from batchinfer.backends import tls
from batchinfer.backends.body_memory import BodyMemory, BodyMemoryPool
from batchinfer.backends.clock_skew import parse_clock_skew
from batchinfer.backends.http_carrier import CarriedResponse, HttpCarrier, open_http_carrier
from batchinfer.backends.http_errors import classify_http_error, make_timeout_hint
from batchinfer.backends.loaded_payload import LoadedPayload
from batchinfer.backends.payload_loader import PayloadLoader
from batchinfer.backends.protocol_calls import call_decoder, call_protocol, check_outcome
from batchinfer.backends.redaction import Redactor
from batchinfer.backends.reply_reader import UNBUDGETED_REPLY_BYTES, ReplyReader, read_body_start
from batchinfer.backends.service_lookup import ServiceLookup, redact_headers
from batchinfer.domain import Failure, Item, Json, Mode, Outcome, Reply
from batchinfer.errors import FatalError
from batchinfer.flow.memory_budget import (
    DEFAULT_MAX_REPLY_BYTES,
    DEFAULT_MEMORY_BYTES,
    MemoryBudget,
    Reservation,
)
from batchinfer.flow.rate_limiters import BandwidthLimiter
from batchinfer.machine_limits import detect_shortage
from batchinfer.ports import Clock
from batchinfer.protocols.http_text import MAX_ERROR_BODY_BYTES, safe_url
from batchinfer.protocols.inference_protocol import HttpAnswer, InferenceProtocol
from batchinfer.transport.call_timeouts import CallTimeouts


@asynccontextmanager
async def open_http_backend(
    *,
    protocol: InferenceProtocol,
    endpoint: str,
    token: str,
    params: Mapping[str, Json],
    timeout: float,  # noqa: ASYNC109 - of each call, not of this function
    redactor: Redactor,
    connect_timeout: float = defaults.CONNECT_TIMEOUT,
    send_timeout: float = defaults.SEND_TIMEOUT,
    first_byte_timeout: float | None = None,
    memory: int = DEFAULT_MEMORY_BYTES,
    spool_dir: Path | None = None,
    bandwidth: BandwidthLimiter | None = None,
    ca_file: str | None = None,
    verify: bool = True,
    max_reply: int = DEFAULT_MAX_REPLY_BYTES,
    user_agent: str = "batchinfer",
    clock: Clock = time.time,
    use_aiohttp: bool = False,
) -> AsyncIterator[HttpBackend]:
    """A backend that calls `endpoint`; its connections live as long as the context.

    `timeout`: seconds of a whole call; of its stages: see `CallTimeouts`. `memory`: bytes of files
    that are read and sent, and of replies that are read, at a time. `max_reply`: bytes of one
    reply, at most. `spool_dir`: the folder where large ones are kept while they are read.
    `bandwidth`: of all calls. There are as many connections as calls;
    the caller limits them. `use_aiohttp`, and a proxy: see `open_http_carrier`. Raises FatalError
    (`bad_endpoint`) and ConfigError (`ca_file`, the proxy).
    """
    url = _parse_endpoint(endpoint, redactor, protocol.endpoint_hint)
    is_https = url.scheme == "https"
    memory_budget = MemoryBudget(memory)
    timeouts = CallTimeouts(timeout, connect_timeout, send_timeout, first_byte_timeout)
    async with open_http_carrier(
        url,
        headers={**protocol.make_headers(token), "User-Agent": user_agent},
        ssl_context=tls.create_ssl_context(ca_file, verify=verify) if is_https else None,
        timeouts=timeouts,
        bandwidth=bandwidth,
        use_aiohttp=use_aiohttp,
    ) as carrier:
        yield HttpBackend(
            protocol=protocol,
            carrier=carrier,
            url=url,
            payload_loader=PayloadLoader(
                protocol,
                params,
                Mode.SYNC,
                redactor=redactor,
                memory_pool=BodyMemoryPool(memory_budget),
            ),
            timeouts=timeouts,
            memory_budget=memory_budget,
            redactor=redactor,
            reply_reader=ReplyReader(max_reply, spool_dir),
            clock=clock,
        )


class HttpBackend:
    """The port `Backend` in sync mode. Made by `open_http_backend`."""

    def __init__(
        self,
        *,
        protocol: InferenceProtocol,
        carrier: HttpCarrier,
        url: URL,
        payload_loader: PayloadLoader,
        timeouts: CallTimeouts,
        memory_budget: MemoryBudget,
        redactor: Redactor,
        reply_reader: ReplyReader,
        clock: Clock,
    ) -> None:
        self._protocol = protocol
        self._carrier = carrier
        self._url = url
        self._payload_loader = payload_loader
        self._timeouts = timeouts
        self._memory_budget = memory_budget
        self._redactor = redactor
        self._reply_reader = reply_reader
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._loop_time = self._loop.time
        self._undecoded: list[tuple[HttpAnswer, asyncio.Future[Outcome]]] = []
        self.clock_skew: float | None = None
        """Seconds that the server's clock was ahead of ours in its latest answer; None: unknown."""
        self._latest_date: str | None = None
        self._timeout_hint = make_timeout_hint(protocol)
        self._lookup = ServiceLookup(
            protocol=protocol,
            carrier=carrier,
            url=url,
            timeouts=timeouts,
            memory_budget=memory_budget,
            redactor=redactor,
            read_answer=self._read_body,
            clock=clock,
        )

    async def attempt(self, item: Item, number: int) -> Outcome:  # noqa: ARG002 - the port's
        """One call. See `ports.Backend`."""
        try:
            return await self._attempt(item)
        except (MemoryError, RuntimeError) as error:
            if machine_shortage := detect_shortage(error):
                return machine_shortage
            raise

    async def _attempt(self, item: Item) -> Outcome:
        call_path = self._lookup.call_path or await self._lookup.find_call_path()
        if isinstance(call_path, Failure):
            return call_path
        with self._memory_budget.new_reservation() as reservation:
            loaded = await self._payload_loader.load_within(reservation, item)
            if isinstance(loaded, Failure):
                return loaded
            if call_path != self._url.raw_path:
                loaded.path = call_path
            inputs = loaded.inputs
            on_sent = reservation.release
            if loaded.memory is not None:
                on_sent = partial(_release_memory, loaded.memory, reservation)
            call = self._call(loaded, on_sent)
            del loaded  # nothing may keep in memory what has been sent
            outcome = await call
        if not inputs:
            return outcome
        if isinstance(outcome, Reply):
            return outcome.with_inputs(inputs)
        return replace(outcome, inputs=inputs) if outcome.sent else outcome

    async def fetch_help(self) -> str | Failure:
        """What the service answers when it is asked for a description of its model.

        A failure when it does not answer with one. Raises FatalError as `attempt` does.
        """
        call_path = self._lookup.call_path or await self._lookup.find_call_path()
        if isinstance(call_path, Failure):
            return call_path
        if (request := self._protocol.help_request) is None:
            return await self._lookup.fetch_description(call_path)
        path = None if call_path == self._url.raw_path else call_path
        outcome = await self._call(LoadedPayload((request,), path=path), lambda: None)
        return call_protocol(self._protocol.extract_help, outcome)

    async def _call(self, payload: LoadedPayload, on_sent: Callable[[], None]) -> Outcome:
        with self._memory_budget.new_reservation() as reservation:
            exchange = self._carrier.exchange(
                payload, on_sent, partial(self._read_body, reservation)
            )
            del payload  # as above
            started_at = self._loop_time()
            try:
                response, content = await exchange
            except (aiohttp.ClientError, OSError) as error:
                failure = classify_http_error(error, self._url, self._timeouts, self._timeout_hint)
                return _return_or_raise(failure)
            if content is None:
                return self._reply_too_large(response)
            outcome = await self._decode_response(response, content, started_at)
            if reservation.size and isinstance(outcome, Reply):
                lease = reservation.lease(self._loop.call_soon_threadsafe)
                return replace(outcome, lease=lease)
            return outcome

    async def _read_body(self, reservation: Reservation, response: CarriedResponse) -> bytes | None:
        """As much of a body as is wanted; None: it is too large."""
        date = response.headers.get("Date")
        if date != self._latest_date:  # it changes once a second
            self._latest_date = date
            self.clock_skew = parse_clock_skew(date, self._clock())
        if response.status in self._protocol.success_statuses:
            return await self._reply_reader.read(response, reservation)
        return await read_body_start(response, MAX_ERROR_BODY_BYTES)

    async def _decode_response(
        self, response: CarriedResponse, content: bytes, started_at: float
    ) -> Outcome:
        is_success = response.status in self._protocol.success_statuses
        answer = HttpAnswer(
            status=response.status,
            body=content if is_success else self._redactor.redact_bytes(content),
            headers=response.headers
            if is_success
            else redact_headers(response.headers, self._redactor),
            is_framed=response.is_framed,
            elapsed=self._loop_time() - started_at,
            now=self._clock(),
        )
        if len(content) <= UNBUDGETED_REPLY_BYTES:
            return await self._decode_batched(answer)
        return await anyio.to_thread.run_sync(self._decode, answer, abandon_on_cancel=True)

    async def _decode_batched(self, answer: HttpAnswer) -> Outcome:
        """Its outcome, decoded together with those of the other answers that are here by now.

        One after the other they take half the time: code and data are in the processor's cache.
        """
        future: asyncio.Future[Outcome] = self._loop.create_future()
        if not self._undecoded:
            self._loop.call_soon(self._decode_queued)
        self._undecoded.append((answer, future))
        return await future

    def _decode_queued(self) -> None:
        undecoded, self._undecoded = self._undecoded, []
        for answer, future in undecoded:
            if future.done():  # cancelled
                continue
            try:
                future.set_result(self._decode(answer))
            except Exception as error:  # noqa: BLE001 - the caller gets it
                future.set_exception(error)

    def _decode(self, answer: HttpAnswer) -> Outcome:
        """What an answer means. A reply is decoded as it came; secrets are removed afterwards.

        Raises FatalError.
        """
        decoded = call_decoder(self._protocol.decode_answer, answer)
        outcome = check_outcome(decoded, answer.body)
        if isinstance(outcome, FatalError):
            raise FatalError(outcome.code, self._redactor.redact_text(outcome.message))
        return self._redactor.redact_outcome(outcome)

    def _reply_too_large(self, response: CarriedResponse) -> Failure:
        max_bytes, size = self._reply_reader.max_bytes, response.content_length
        announced = "" if size is None or size <= max_bytes else f" ({size:,} bytes)"
        return Failure(
            code="reply_too_large",
            message=f"the reply is larger than {max_bytes:,} bytes{announced} and was not read: "
            "let the model return less, or raise --max-reply and run `batchinfer retry RUN --code "
            "reply_too_large`",
        )


def _release_memory(memory: BodyMemory, reservation: Reservation) -> None:
    """A large body was sent."""
    reservation.release()
    memory.give_back()


def _return_or_raise(outcome: Failure | FatalError) -> Failure:
    if isinstance(outcome, FatalError):
        raise outcome from None
    return outcome


def _parse_endpoint(endpoint: str, redactor: Redactor, hint: str) -> URL:
    """The endpoint, if a call can go there. Raises FatalError (`bad_endpoint`)."""
    try:
        url = URL(endpoint.strip())
        is_usable = url.scheme in {"http", "https"} and url.host and url.port
    except ValueError:
        is_usable, url = None, URL()
    if not is_usable or url.user or url.password:
        raise FatalError(
            "bad_endpoint",
            f"the endpoint {redactor.redact_text(safe_url(endpoint))!r} is no address that can be "
            f"called: {hint}",
        )
    return url
