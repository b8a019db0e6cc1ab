"""What a client needs to know of a running local service, in the two forms it is printed in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class LocalBucketAccess:
    """Where the bucket is and how to get in."""

    endpoint: str
    name: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str


@dataclass(frozen=True, slots=True)
class ServiceConnection:
    """Where the service is and how to get in."""

    endpoint: str
    token: str = field(repr=False)
    bucket: LocalBucketAccess
    protocol: str = ""
    """Of another kind of service than AI4OS' ones."""

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(
            {name: value for name, value in asdict(self).items() if value or name != "protocol"}
        )

    @classmethod
    def from_json(cls, line: str) -> Self:
        """What `to_json` wrote."""
        data = json.loads(line)
        bucket = LocalBucketAccess(**data["bucket"])
        return cls(data["endpoint"], data["token"], bucket, data.get("protocol", ""))

    def to_toml(self) -> str:
        """The sections `[service]` and `[bucket]` of a configuration."""
        service = {"endpoint": self.endpoint, "token": self.token}
        if self.protocol:
            service["protocol"] = self.protocol
        return f"[service]\n{_toml_lines(service)}\n[bucket]\n{_toml_lines(asdict(self.bucket))}"


def _toml_lines(values: dict[str, str]) -> str:
    # JSON's strings are TOML's too.
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
