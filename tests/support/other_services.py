"""Services of other kinds, as their published interfaces say: each field of a request is checked.

TorchServe needs Java, Ollama and the chat of OpenAI models of gigabytes. KServe's protocols are
tested against real servers, too (`tests/services`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "sk-0123456789abcdef0123456789"
DATA_URI = re.compile(r"data:(image/[a-z]+);base64,([A-Za-z0-9+/]+=*)")


class Refused(Exception):  # noqa: N818 - what it stands for
    """An answer that is no success."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status, self.body = status, body


@dataclass
class Service:
    """What a stub was sent, and what it answers: `answer(method, path, headers, body)`."""

    answer: Callable[[str, str, Any, bytes], Any]
    port: int = 0
    seen: list[str] = field(default_factory=list)
    """Digests of the pictures, in the order in which they came."""
    latency: float = 0.0
    failures: list[Refused] = field(default_factory=list)
    """What the first predictions are answered."""

    def see(self, data: bytes) -> str:
        """Note a picture; its digest."""
        if self.failures:
            raise self.failures.pop(0)
        time.sleep(self.latency)
        digest = hashlib.sha256(data).hexdigest()
        self.seen.append(digest)
        return digest


@contextmanager
def serving(kind: Callable[[Service], Callable[..., Any]]) -> Iterator[Service]:
    """A stub of one of the kinds below."""
    service = Service(lambda *_: None)
    service.answer = kind(service)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            try:
                status, answer = 200, service.answer(self.command, self.path, self.headers, body)
            except Refused as refused:
                status, answer = refused.status, refused.body
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        service.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield service
        server.shutdown()
        thread.join()


def torchserve(service: Service) -> Callable[..., Any]:
    """https://pytorch.org/serve/inference_api.html"""

    def answer(method: str, path: str, headers: Any, body: bytes) -> Any:
        if (method, path) == ("GET", "/ping"):
            return {"status": "Healthy"}
        if (method, path) != ("POST", "/predictions/bear"):
            message = f"Model not found: {path.rpartition('/')[2]}"
            error = {"code": 404, "type": "ModelNotFoundException", "message": message}
            raise Refused(404, error)
        _require(headers["Content-Type"] == "application/octet-stream", "content type")
        return {"bear": 0.9, "sha256": service.see(body)}

    return answer


def ollama(service: Service) -> Callable[..., Any]:
    """https://docs.ollama.com/api/chat"""
    known = {"model", "messages", "stream", "format", "options", "keep_alive", "tools", "think"}

    def answer(method: str, path: str, _headers: Any, body: bytes) -> Any:
        if (method, path) == ("GET", "/api/version"):
            return {"version": "0.9.0"}
        _require((method, path) == ("POST", "/api/chat"), path)
        asked = json.loads(body)
        _require(asked.keys() <= known, str(asked.keys() - known))
        if asked["model"] != "llava":
            error = f'model "{asked["model"]}" not found, try pulling it first'
            raise Refused(404, {"error": error})
        _require(asked["stream"] is False, "stream")
        _require(asked["format"] == "json" and isinstance(asked["options"], dict), "format")
        (message,) = asked["messages"]
        _require(message.keys() == {"role", "content", "images"}, "message")
        _require(message["role"] == "user" and isinstance(message["content"], str), "role")
        (image,) = message["images"]
        content = json.dumps({"sha256": service.see(base64.b64decode(image, validate=True))})
        return {
            "model": "llava",
            "created_at": "2026-01-01T00:00:00Z",
            "message": {"role": "assistant", "content": content},
            "done": True,
            "done_reason": "stop",
        }

    return answer


def openai_chat(service: Service) -> Callable[..., Any]:
    """https://platform.openai.com/docs/api-reference/chat"""
    known = {"model", "messages", "temperature", "max_tokens", "response_format"}

    def answer(method: str, path: str, headers: Any, body: bytes) -> Any:
        if headers["Authorization"] != f"Bearer {TOKEN}":
            error = {"message": f"Incorrect API key: {headers['Authorization']}", "code": "x"}
            raise Refused(401, {"error": error})
        if (method, path) == ("GET", "/v1/models"):
            return {"object": "list", "data": [{"id": "vision", "object": "model"}]}
        _require((method, path) == ("POST", "/v1/chat/completions"), path)
        asked = json.loads(body)
        _require(asked.keys() <= known, str(asked.keys() - known))
        _require(asked["model"] == "vision" and asked["temperature"] == 0, "model")
        _require(asked["response_format"] == {"type": "json_object"}, "response_format")
        (message,) = asked["messages"]
        text, image = message["content"]
        _require(message["role"] == "user" and text["type"] == "text", "role")
        _require(text["text"].startswith("What animals"), "text")
        _require(image["type"] == "image_url" and image.keys() == {"type", "image_url"}, "part")
        found = DATA_URI.fullmatch(image["image_url"]["url"])
        _require(found is not None and found[1] == "image/png", "url")
        digest = service.see(base64.b64decode(found[2], validate=True))
        message = {"role": "assistant", "content": json.dumps({"sha256": digest})}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "vision",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }

    return answer


def kserve_v1(service: Service) -> Callable[..., Any]:
    """https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol"""

    def answer(method: str, path: str, _headers: Any, body: bytes) -> Any:
        if (method, path) == ("GET", "/v1/models/bear"):
            return {"name": "bear", "ready": True}
        if (method, path) != ("POST", "/v1/models/bear:predict"):
            raise Refused(404, {"error": f"Model with name {path} does not exist."})
        asked = json.loads(body)
        _require(asked.keys() == {"instances"}, "instances")
        digests = [
            service.see(base64.b64decode(each["image"]["b64"], validate=True))
            for each in asked["instances"]
        ]
        return {"predictions": [{"sha256": digest} for digest in digests]}

    return answer


def kserve_v2(service: Service) -> Callable[..., Any]:
    """https://github.com/kserve/open-inference-protocol"""

    def answer(method: str, path: str, _headers: Any, body: bytes) -> Any:
        if (method, path) == ("GET", "/v2/models/bear/ready"):
            return {"name": "bear", "ready": True}
        if (method, path) != ("POST", "/v2/models/bear/infer"):
            raise Refused(404, {"error": "model not found"})
        asked = json.loads(body)
        _require(asked.keys() <= {"id", "parameters", "inputs", "outputs"}, "request")
        (tensor,) = asked["inputs"]
        _require(tensor.keys() == {"name", "shape", "datatype", "data"}, "tensor")
        _require((tensor["shape"], tensor["datatype"]) == ([1], "BYTES"), "datatype")
        (content,) = tensor["data"]
        digest = service.see(base64.b64decode(content, validate=True))
        output = {"name": "sha256", "shape": [1], "datatype": "BYTES", "data": [digest]}
        return {"model_name": "bear", "outputs": [output]}

    return answer


def _require(right: bool, what: str) -> None:
    if not right:
        raise Refused(400, {"error": f"invalid request: {what}"})
