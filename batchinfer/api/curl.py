"""The curl command that does what a run would do for one item: the tutorial's, filled in. Pure.

For a POSIX shell with `$'...'` (bash, zsh, ksh), `base64` and `curl`, as text of printable signs
only, whatever the names and values are. Files are read when the command runs. A secret is the
variable that the configuration takes it from; a token that stands in the file itself is
`$BATCHINFER_SERVICE_TOKEN`, where batchinfer would find it, too. It goes to curl through a file
descriptor, as a configuration: what stands on a command line, everybody on the machine can read.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_letters, digits

from batchinfer.config import BucketAccess, Config, Resolved, Secret, ServiceAccess
from batchinfer.config.references import names, reference
from batchinfer.oscar.payload import FILES, Sendable

_ESCAPED = str.maketrans({"\\": "\\\\", "$": "\\$", "`": "\\`"})
"""What a here-document would take for more than it is."""

_PLAIN = f"{ascii_letters}{digits}/._- ".encode()


def curl(
    config: Config,
    env: Mapping[str, str],
    resolved: Resolved,
    params: Mapping[str, Sendable],
    files: Sequence[tuple[str, str, str]],
) -> str:
    """The command for a payload; `files` as (param, file_format, path)."""
    known = config.environment(env)
    secret = {known.get(name, "").strip(): name for name in names(config.params)}
    document = _document(params, files, {value: name for value, name in secret.items() if value})
    access = resolved.access
    if isinstance(access, ServiceAccess):
        lines, secret_line = _call(access, resolved.timeout), _token_line(config)
    else:
        lines, secret_line = _put(config, access), _keys_line(config)
    end = "  --config /dev/fd/3 --data-binary @- 3<<SECRETS <<JSON"
    command = [*lines, end, secret_line, "SECRETS", document, "JSON"]
    return "\n".join([*_load(config, env), *command])


def _load(config: Config, env: Mapping[str, str]) -> Iterator[str]:
    """Lines that load the files whose variables the environment lacks."""
    for file in reversed(config.env_files):
        if any(not env.get(name) for name in file.variables):
            yield f"set -a; . {_quoted(str(file.path))}; set +a"


def _token_line(config: Config) -> str:
    token = _variable(config.service.token, "BATCHINFER_SERVICE_TOKEN")
    return f'header = "Authorization: Bearer ${{{token}:?}}"'


def _keys(config: Config) -> tuple[str, str]:
    """The variables of the bucket's keys."""
    return (
        _variable(config.bucket.access_key, "BATCHINFER_BUCKET_ACCESS_KEY"),
        _variable(config.bucket.secret_key, "BATCHINFER_BUCKET_SECRET_KEY"),
    )


def _keys_line(config: Config) -> str:
    key, secret = _keys(config)
    # What stands in quotes in a configuration of curl is escaped as in JSON.
    return f'user = "{_as_json(key)}:{_as_json(secret)}"'


def _call(access: ServiceAccess, seconds: float) -> Iterator[str]:
    yield f"curl --silent --show-error --max-time {seconds:g} {shlex.quote(access.endpoint)} \\"
    yield from _trust(access)
    yield "  --header 'Content-Type: application/json' \\"


def _put(config: Config, access: BucketAccess) -> Iterator[str]:
    key, secret = _keys(config)
    yield f': "${{{key}:?}}" "${{{secret}:?}}"'
    folder = shlex.quote(f"{access.endpoint}/{access.name}/inputs/")
    yield "name=curl-$(date +%s)  # then wait for outputs/$name.log, and outputs/$name.json"
    yield f"curl --silent --show-error --fail --request PUT {folder}$name.json \\"
    yield from _trust(access)
    yield f"  --aws-sigv4 {shlex.quote(f'aws:amz:{access.region}:s3')} \\"
    yield "  --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \\"  # some curls leave it out
    yield "  --header 'Content-Type: application/json' \\"


def _trust(access: ServiceAccess | BucketAccess) -> Iterator[str]:
    if not access.verify:
        yield "  --insecure \\"
    elif access.ca_file is not None:
        yield f"  --cacert {_quoted(access.ca_file)} \\"


def _document(
    params: Mapping[str, Sendable],
    files: Sequence[tuple[str, str, str]],
    secrets: Mapping[str, str],
) -> str:
    """The payload as a here-document that a shell completes."""
    head = json.dumps(dict(params)).translate(_ESCAPED)
    spelled = {json.dumps(value)[1:-1].translate(_ESCAPED): name for value, name in secrets.items()}
    if spelled:
        longest = sorted(spelled, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, longest)))
        head = pattern.sub(lambda found: _as_json(spelled[found[0]]), head)
    if not files:
        return head
    entries = ",\n".join(
        f'{{"key": {json.dumps(param)}, "file_format": {json.dumps(form)}, '
        f""""data": "$(base64 < {_quoted(path)} | tr -d '\\r\\n')"}}"""
        for param, form, path in files
    )
    comma = ", " if params else ""
    return f'{head[:-1]}{comma}"{FILES}": [\n{entries}\n]}}'


def _as_json(name: str) -> str:
    """A variable's value as it must stand between JSON's quotes."""
    return f"""$(printf %s "${{{name}}}" | sed 's/[\\\\"]/\\\\&/g')"""


def _variable(secret: Secret | None, default: str) -> str:
    return (reference(secret.text) if secret is not None else None) or default


def _quoted(path: str) -> str:
    """A path as one word; with signs in it that a terminal would act on, in `$'...'`."""
    if path.isprintable():
        return shlex.quote(path)
    told = (chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in os.fsencode(path))
    return f"$'{''.join(told)}'"
