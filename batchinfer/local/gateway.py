"""Synchronous calls: what stands between a client and the script (contract section 1).

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

from batchinfer.local import replies
from batchinfer.local.containers import Containers, QueueFull
from batchinfer.local.options import Options
from batchinfer.local.replies import Answer

Predict = Callable[[str, bytes], Awaitable[bytes]]

_EVENT_KEYS = {"event", "event_type", "httpMethod", "Records"}
_TOKEN_LENGTH = 64
_JWT_DOTS = 2


class Gateway:
    """Answers `POST /run/<name>`."""

    def __init__(
        self,
        options: Options,
        containers: Containers,
        predict: Predict,
        chance: Random,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._options = options
        self._containers = containers
        self._predict = predict
        self._chance = chance
        self._tasks = tasks

    async def run(self, request: web.Request) -> web.Response:
        """Answer one call."""
        refusal = self._refuse(request)
        if refusal is not None:
            return self._answer(refusal)
        try:
            payload = read_event(await request.read())
        except Exception:  # noqa: BLE001 - whatever the body breaks, the supervisor crashes of it
            return self._answer(Answer(500, f"exit status 1\n{traceback.format_exc()}"))
        task = self._tasks.create_task(self._hold(request, payload))
        done, _ = await asyncio.wait({task}, timeout=self._options.request_timeout)
        if not done:
            return self._answer(replies.TIMED_OUT)
        return task.result()

    def _refuse(self, request: web.Request) -> Answer | None:
        """What a layer in front of the script answers, if one does."""
        limit = self._options.payload_limit
        if limit is not None and (request.content_length or 0) > limit:
            return replies.TOO_LARGE
        for fault in self._options.fail_with:
            if self._chance.random() < fault.rate:
                return replies.FAULTS[fault.name]
        if (refusal := self._forbid(request)) is not None:
            return refusal
        return replies.COLD if self._containers.warming() else None

    def _forbid(self, request: web.Request) -> Answer | None:
        """What OSCAR says to the token, if it does not like it."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return replies.BAD_TOKEN
        if len(token) != _TOKEN_LENGTH:
            jwt = token.count(".") == _JWT_DOTS
            return replies.UNKNOWN_ISSUER if jwt else replies.MALFORMED_TOKEN
        known = request.match_info["name"] == self._options.name
        return None if known and token == self._options.token else replies.BAD_TOKEN

    async def _hold(self, request: web.Request, payload: bytes) -> web.Response:
        """Predict in a container."""
        try:
            async with self._containers.place():
                began = time.monotonic()  # by the container's own watchdog: waiting is not in it
                if request.transport is None:  # gave up while it waited
                    return web.Response(status=499)
                body = await self._predict(f"event-file-{uuid.uuid4()}", payload)
        except QueueFull:
            return self._answer(replies.QUEUE_FULL)
        except Exception as error:  # noqa: BLE001 - one call must not end the service
            sys.stderr.write(f"a call failed: {error!r}\n")
            return web.Response(status=500)
        headers = {
            "Content-Type": request.headers.get("Content-Type", "application/octet-stream"),
            "X-Duration-Seconds": f"{time.monotonic() - began:.6f}",
        }
        return web.Response(body=body, headers=headers)

    def _answer(self, answer: Answer) -> web.Response:
        headers = {"Content-Type": answer.content_type} if answer.body else {}
        if answer.status in {429, 503} and self._options.retry_after is not None:
            headers["Retry-After"] = str(self._options.retry_after)
        return web.Response(status=answer.status, body=answer.body.encode(), headers=headers)


def read_event(body: bytes) -> bytes:
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
    if reserved := _EVENT_KEYS & set(payload.keys()):
        raise KeyError(*reserved)
    return body
