"""Synchronous calls: what stands between a client and the script (docs/platform.md).

Rules:

* Layers answer in the order a call passes them: ingress, OSCAR, Knative, supervisor, script.
* A prediction belongs to the service, not to the call: if the client goes away or runs out of
  time, it goes on and holds its container. Only a call still in the queue leaves with its client.
* Every script that ends is a 200, whatever it says. The content type is the request's.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import sys
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable
from random import Random

from aiohttp import web

from batchinfer.local import canned_responses
from batchinfer.local.canned_responses import CannedResponse
from batchinfer.local.container_pool import ContainerPool, QueueFull
from batchinfer.local.oscar_script import SupervisorCrashed
from batchinfer.local.service_options import LocalServiceOptions

PredictCall = Callable[[str, bytes], Awaitable[bytes]]

_RESERVED_EVENT_KEYS = {"event", "event_type", "httpMethod", "Records"}
_SERVICE_TOKEN_CHARS = 64
_JWT_DOTS = 2


class Gateway:
    """Answers `POST /run/<name>`."""

    def __init__(
        self,
        options: LocalServiceOptions,
        containers: ContainerPool,
        predict: PredictCall,
        rng: Random,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._options = options
        self._containers = containers
        self._predict = predict
        self._rng = rng
        self._tasks = tasks

    async def handle_call(self, request: web.Request) -> web.Response:
        """Answer one call."""
        refusal = self._find_refusal(request)
        if refusal is not None:
            return self._to_response(refusal)
        try:
            body = await request.read()  # of a script, the supervisor makes its file
            payload = parse_event(body) if self._options.script is None else body
        except Exception:  # noqa: BLE001 - whatever the body breaks, the supervisor crashes of it
            return self._to_response(
                CannedResponse(500, f"exit status 1\n{traceback.format_exc()}")
            )
        task = self._tasks.create_task(self._predict_in_container(request, payload))
        done, _ = await asyncio.wait({task}, timeout=self._options.request_timeout)
        if not done:
            return self._to_response(canned_responses.TIMEOUT_RESPONSE)
        return task.result()

    def _find_refusal(self, request: web.Request) -> CannedResponse | None:
        """What a layer in front of the script answers, if one does."""
        limit = self._options.payload_limit
        if limit is not None and (request.content_length or 0) > limit:
            return canned_responses.PAYLOAD_TOO_LARGE_RESPONSE
        for fault in self._options.fail_with:
            if self._rng.random() < fault.rate:
                return canned_responses.FAULT_RESPONSES[fault.name]
        if (refusal := self._check_token(request)) is not None:
            return refusal
        return (
            canned_responses.COLD_START_RESPONSE if self._containers.seconds_until_warm() else None
        )

    def _check_token(self, request: web.Request) -> CannedResponse | None:
        """What OSCAR says to the token, if it does not like it."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return canned_responses.BAD_TOKEN_RESPONSE
        if len(token) != _SERVICE_TOKEN_CHARS:
            jwt = token.count(".") == _JWT_DOTS
            return (
                canned_responses.UNKNOWN_ISSUER_RESPONSE
                if jwt
                else canned_responses.MALFORMED_TOKEN_RESPONSE
            )
        known = request.match_info["name"] == self._options.name
        return (
            None if known and token == self._options.token else canned_responses.BAD_TOKEN_RESPONSE
        )

    async def _predict_in_container(self, request: web.Request, payload: bytes) -> web.Response:
        """Predict in a container."""
        try:
            async with self._containers.acquire():
                began = time.monotonic()  # by the container's own watchdog: waiting is not in it
                if request.transport is None:  # gave up while it waited
                    return web.Response(status=499)
                body = await self._predict(f"event-file-{uuid.uuid4()}", payload)
        except QueueFull:
            return self._to_response(canned_responses.QUEUE_FULL_RESPONSE)
        except SupervisorCrashed as crash:
            return self._to_response(CannedResponse(500, f"exit status 1\n{crash}"))
        except Exception as error:  # noqa: BLE001 - one call must not end the service
            sys.stderr.write(f"a call failed: {error!r}\n")
            return web.Response(status=500)
        headers = {
            "Content-Type": request.headers.get("Content-Type", "application/octet-stream"),
            "X-Duration-Seconds": f"{time.monotonic() - began:.6f}",
        }
        return web.Response(body=body, headers=headers)

    def _to_response(self, canned: CannedResponse) -> web.Response:
        headers = {"Content-Type": canned.content_type} if canned.body else {}
        if canned.status in {429, 503} and self._options.retry_after is not None:
            headers["Retry-After"] = str(self._options.retry_after)
        return web.Response(status=canned.status, body=canned.body.encode(), headers=headers)


def parse_event(body: bytes) -> bytes:
    """The payload in a call's body, as the supervisor hands it to the script.

    A JSON object is one, base64 is decoded, anything else is left for the script to stumble over.
    Raises what makes the supervisor crash: other JSON (AttributeError), keys that make it take the
    payload for an event (KeyError).
    """
    try:
        payload = json.loads(body)
    except ValueError:
        try:
            return base64.b64decode(body, validate=True)
        except binascii.Error:
            return body
    if reserved := _RESERVED_EVENT_KEYS & set(payload.keys()):
        raise KeyError(*reserved)
    return body
