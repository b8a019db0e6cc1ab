"""What the local service can be told: one frozen value, checked when it is made.

The same value crosses a pipe as JSON when a test starts the service as a process of its own
(`start_service.py`), so that no secret stands on a command line.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from batchinfer.errors import ConfigError
from batchinfer.local.canned_responses import FAULT_RESPONSES

DEEPAAS_VERSIONS = ("2.5.1", "2.5.2", "2.6.0")
DEFAULT_DEEPAAS_VERSION = "2.5.2"
"""Unless told otherwise."""
_TOKEN_HEX_DIGITS = 64
_MAX_NAME_CHARS = 63
"""As of any bucket."""


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """Answer this share of the calls with a status of docs/platform.md, "Status codes"."""

    name: str
    """A key of `replies.FAULT_RESPONSES`, such as `503` or `502/nginx`."""
    rate: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `STATUS:RATE` or `STATUS/WHICH:RATE`. Raises ConfigError."""
        name, _, rate = text.rpartition(":")
        try:
            return cls(name, float(rate))
        except ValueError:
            raise ConfigError(f"{text!r} is not STATUS:RATE, such as 503:0.1") from None


@dataclass(frozen=True, slots=True)
class NotificationFaults:
    """What is wrong with the store's live notifications (docs/platform.md, "The object store")."""

    xml: bool = False
    """There are none: the request is answered as a listing, as by most stores."""
    status: int | None = None
    """There are none: the request is refused with this status."""
    lose: float = 0.0
    """Share of the events that are lost."""
    delay: float = 0.0
    """Seconds that each event is late."""
    drop: float | None = None
    """Seconds after which a stream is cut off; None: never."""
    blanks: bool = False
    """Signs of life are blanks, whatever is asked for: MinIO before 2023."""
    buffer: int = 0
    """Bytes that a proxy in front collects before it passes any on."""

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Self:
        """Read `NAME` or `NAME:VALUE`, several of them. Raises ConfigError."""
        readers: dict[str, Callable[[str], Any]] = {
            "xml": lambda value: {"": True}[value],
            "blanks": lambda value: {"": True}[value],
            "status": int,
            "buffer": int,
            "lose": float,
            "delay": float,
            "drop": float,
        }
        values: dict[str, Any] = {}
        for text in texts:
            name, _, value = text.partition(":")
            try:
                values[name] = readers[name](value)
            except (KeyError, ValueError):
                raise ConfigError(
                    f"{text!r} is none of xml, status:403, lose:0.1, delay:2, drop:30, blanks, "
                    "buffer:4096"
                ) from None
        faults = cls(**values)
        faults.check()
        return faults

    def check(self) -> None:
        """Raise ConfigError for what cannot be."""
        times = (self.delay, self.drop if self.drop is not None else 1.0)
        if not (0 <= self.lose <= 1 and all(0 <= each < math.inf for each in times)):
            raise ConfigError("notifications: lose is a share from 0 to 1, times are seconds")
        if self.status is not None and not 400 <= self.status < 600:  # noqa: PLR2004 - of errors
            raise ConfigError("notifications: a status is one of an error, such as 403")
        if self.buffer < 0 or self.drop == 0:
            raise ConfigError("notifications: drop and buffer are above 0")


@dataclass(frozen=True, slots=True)
class LocalServiceOptions:
    """How the local service behaves. Rates are shares from 0 to 1, times are seconds."""

    model: str = "echo"
    """`module:function`, or one that comes along: `echo`, `faces`."""
    command: str | None = None
    """Instead of a model: a command with `{parameter}` in it, whose stdout is the prediction."""
    script: str | None = None
    """Instead of a model: the script of an OSCAR service. Then this is no AI4OS service, but one as
    OSCAR itself has it: a file in, files or a text out."""
    supervisor_venv: str | None = None
    """Virtual environment with OSCAR's own supervisor (`faas-supervisor`), which runs the script;
    None: it is imitated."""
    threads: bool = False
    """Predict in threads of the service rather than each in a process of its own: much faster,
    less real (a model that crashes or hangs takes the service along)."""
    name: str = "local"
    """Of the service and of its bucket."""
    port: int = 0
    """0: any free one."""
    token: str = field(
        default_factory=lambda: secrets.token_hex(_TOKEN_HEX_DIGITS // 2), repr=False
    )
    access_key: str = "batchinfer@local"
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    data: str | None = None
    """Directory the bucket is kept in; None: a temporary one, gone at the end."""
    markers: bool = True
    """Show the zero-byte objects `inputs/` and `outputs/` in listings, as the platform does."""
    containers: int = 2
    """Calls at a time, one in each; and as many jobs at a time."""
    deepaas: str = DEFAULT_DEEPAAS_VERSION
    """Which DEEPaaS is imitated, texts and quirks: one of `DEEPAAS_VERSIONS`."""
    deepaas_venv: str | None = None
    """Virtual environment with the real DEEPaaS and a module: nothing of these two is imitated."""
    cold_start: float = 0.0
    """From the first call to a container that serves; until then calls get an empty 502."""
    scale_to_zero: float | None = None
    """Idle so long, the service is cold again; None: never."""
    latency: float = 0.0
    """Added to each prediction, in its container."""
    slow_rate: float = 0.0
    slow_seconds: float = 0.0
    """This share of the predictions takes so much longer."""
    request_timeout: float = 300.0
    """Then the call gets a 504, while its prediction goes on and holds its container."""
    payload_limit: int | None = None
    """Bytes of a call's body; more gets the ingress's 413."""
    fail_with: tuple[InjectedFault, ...] = ()
    retry_after: int | None = None
    """Sent with a 429 or 503 of `fail_with`, as a proxy in front may."""
    lose_events: float = 0.0
    """Share of the uploaded inputs that no job is started for."""
    kill_models: float = 0.0
    """Share of the predictions whose model is killed half-way, as for want of memory."""
    store_restarts: float | None = None
    """Restart the S3 server every so often; None: never."""
    store_outage: float = 3.0
    """How long it is then away."""
    notifications: NotificationFaults = NotificationFaults()
    """What is wrong with live notifications; they are offered otherwise."""
    seed: int | None = None
    """Of all chances above and of random names."""
    journal: str | None = None
    """File to which one JSON line is appended as each prediction starts and ends."""

    def __post_init__(self) -> None:
        """Raise ConfigError for what cannot be."""
        if len(self.token) != _TOKEN_HEX_DIGITS or set(self.token) - set("0123456789abcdef"):
            raise ConfigError("a token is 64 hexadecimal digits (0-9, a-f)")
        self._check_model()
        if self.containers < 1:
            raise ConfigError("at least one container is needed")
        if not self.name or set(self.name) - set("abcdefghijklmnopqrstuvwxyz0123456789-"):
            raise ConfigError("a service's name is made of a-z, 0-9 and '-'")
        if len(self.name) > _MAX_NAME_CHARS:
            raise ConfigError(f"a service's name has {_MAX_NAME_CHARS} characters at most")
        if set('," \n') & set(self.access_key + self.secret_key):
            raise ConfigError("keys of the bucket cannot hold commas, quotes or blanks")
        rates = [self.slow_rate, self.lose_events, self.kill_models]
        if not all(0 <= rate <= 1 for rate in (*rates, *(f.rate for f in self.fail_with))):
            raise ConfigError("a rate is a share between 0 and 1")
        self.notifications.check()
        for fault in self.fail_with:
            if fault.name not in FAULT_RESPONSES:
                raise ConfigError(
                    f"cannot fail with {fault.name}; known are {', '.join(FAULT_RESPONSES)}"
                )

    def _check_model(self) -> None:
        if self.deepaas not in DEEPAAS_VERSIONS:
            raise ConfigError(f"DEEPaaS {self.deepaas} is none of {', '.join(DEEPAAS_VERSIONS)}")
        if self.command and self.threads:
            raise ConfigError("a command runs in a process of its own: leave out --threads")
        others = (self.command, self.threads, self.deepaas_venv, self.model != "echo")
        if self.script and any(others):
            raise ConfigError(
                "a script is what runs, in a process of its own: leave out --model, --command, "
                "--threads and --deepaas"
            )
        if self.supervisor_venv and not self.script:
            raise ConfigError("OSCAR's supervisor runs a script: name one with --script")
        if self.deepaas_venv and (self.command or self.threads or self.model != "echo"):
            raise ConfigError(
                "the module of a real DEEPaaS is the model, in a process of its own: leave out "
                "--model, --command and --threads"
            )

    @property
    def model_spec(self) -> str:
        """The model as `deepaas.resolve` takes it."""
        return f"command:{self.command}" if self.command else self.model

    @property
    def data_directory(self) -> Path | None:
        """`data` as an absolute path."""
        return None if self.data is None else Path(self.data).absolute()

    def to_json(self) -> str:
        """As one line, secrets included."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` wrote; fields left out have their defaults."""
        known = {f.name for f in fields(cls)}
        data = {name: value for name, value in json.loads(text).items() if name in known}
        data["fail_with"] = tuple(InjectedFault(**fault) for fault in data.get("fail_with", ()))
        data["notifications"] = NotificationFaults(**data.get("notifications", {}))
        return cls(**data)
