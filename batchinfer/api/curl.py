"""The curl command that does what a run would do for one item: the tutorial's, filled in. Pure.

For a POSIX shell with `$'...'` (bash, zsh, ksh), `base64` and `curl`, as text of printable signs
only, whatever the names and values are. Files are read when the command runs. A secret is the
variable that the configuration takes it from; a token that stands in the file itself is
`$BATCHINFER_SERVICE_TOKEN`, where batchinfer would find it, too. It goes to curl through a file
descriptor, as a configuration: what stands on a command line, everybody on the machine can read.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from string import ascii_letters, digits
from urllib.parse import urlsplit, urlunsplit

from batchinfer.api.deliveries import DELIVERIES
from batchinfer.config import BucketSettings, Config, RunSettings, Secret, ServiceSettings
from batchinfer.config.interpolation import iter_reference_names, parse_reference
from batchinfer.domain import Json
from batchinfer.protocols.inference_protocol import (
    BucketProtocol,
    CurlFile,
    CurlRequest,
    FileHead,
    InferenceProtocol,
)
from batchinfer.protocols.registry import load_protocol
from batchinfer.shell import quote_json_variable

_UNKNOWN_ADDRESS_TEXT = (
    "# Only the service knows where its model is: name it in [service] endpoint, or in [protocol]."
)
_UNQUOTED_BYTES = f"{ascii_letters}{digits}/._- ".encode()


def build_curl_command(
    config: Config,
    env: Mapping[str, str],
    settings: RunSettings,
    params: Mapping[str, Json],
    files: Sequence[FileHead],
) -> str | None:
    """The command for a payload; None: the protocol has no form of it for a shell."""
    variables = config.complete_environment(env)
    tables: Json = [dict(config.params), dict(config.protocol_options)]
    secret_variables = {
        variables.get(name, "").strip(): name for name in iter_reference_names(tables)
    }
    protocol = load_protocol(settings.protocol, settings.protocol_options)
    request = protocol.format_curl_request(
        params,
        [CurlFile(each.param, each.path, _quote_path(each.path), each.head) for each in files],
        {value: name for value, name in secret_variables.items() if value},
    )
    if request is None:
        return None
    lines, secret_lines = DELIVERIES[settings.mode].format_curl_options(config, settings, request)
    if not lines:
        return _UNKNOWN_ADDRESS_TEXT
    command = [*lines, *(f"  {each} \\" for each in request.options)]
    secret_lines = [*secret_lines, *request.config_lines]
    if request.document is None:
        command += ["  --config /dev/fd/3 3<<SECRETS", *secret_lines, "SECRETS"]
    else:
        command += ["  --config /dev/fd/3 --data-binary @- 3<<SECRETS <<JSON"]
        command += [*secret_lines, "SECRETS", request.document, "JSON"]
    return "\n".join([*_iter_env_file_lines(config, env), *command])


def _iter_env_file_lines(config: Config, env: Mapping[str, str]) -> Iterator[str]:
    """Lines that load the files whose variables the environment lacks."""
    for file in reversed(config.env_files):
        if any(not env.get(name) for name in file.variables):
            yield f"set -a; . {_quote_path(str(file.path))}; set +a"


def format_call_options(
    config: Config,
    service: ServiceSettings,
    timeout: float,
    protocol: InferenceProtocol,
    request: CurlRequest,
) -> tuple[Sequence[str], Sequence[str]]:
    """The beginning of a command that calls the service, and the lines that hold its token.

    Nothing, where only the service knows the address. `timeout`: seconds.
    """
    parts = urlsplit(service.endpoint)
    path = protocol.get_call_path(parts.path or "/")
    if path is None:
        return (), ()
    if path != (parts.path or "/") or request.query:
        parts = parts._replace(path=path, query=request.query)
    url = urlunsplit(parts)
    lines = [
        f"curl --silent --show-error --max-time {timeout:g} {shlex.quote(url)} \\",
        *_iter_tls_options(service),
    ]
    if request.content_type is not None:
        lines.append(f"  --header {shlex.quote(f'Content-Type: {request.content_type}')} \\")
    if not service.token:
        return lines, []
    token = _variable_name(config.service.token, "BATCHINFER_SERVICE_TOKEN")
    return lines, [f'header = "Authorization: Bearer ${{{token}:?}}"']


def format_bucket_options(
    config: Config, bucket: BucketSettings, names: BucketProtocol
) -> tuple[Sequence[str], Sequence[str]]:
    """The beginning of a command that puts an input object, and the line that holds the keys."""
    key = _variable_name(config.bucket.access_key, "BATCHINFER_BUCKET_ACCESS_KEY")
    secret = _variable_name(config.bucket.secret_key, "BATCHINFER_BUCKET_SECRET_KEY")
    start, end = names.make_input_key("$name").split("$name")
    url = f"{shlex.quote(f'{bucket.endpoint}/{bucket.name}/{start}')}$name{end}"
    log, reply = names.make_output_keys("$name")
    lines = [
        f': "${{{key}:?}}" "${{{secret}:?}}"',
        f"name=curl-$(date +%s)  # then wait for {log}, and {reply}",
        f"curl --silent --show-error --fail --request PUT {url} \\",
        *_iter_tls_options(bucket),
        f"  --aws-sigv4 {shlex.quote(f'aws:amz:{bucket.region}:s3')} \\",
        "  --header 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \\",  # some curls leave it out
        "  --header 'Content-Type: application/json' \\",
    ]
    # What stands in quotes in a configuration of curl is escaped as in JSON.
    return lines, [f'user = "{quote_json_variable(key)}:{quote_json_variable(secret)}"']


def _iter_tls_options(access: ServiceSettings | BucketSettings) -> Iterator[str]:
    if not access.verify:
        yield "  --insecure \\"
    elif access.ca_file is not None:
        yield f"  --cacert {_quote_path(access.ca_file)} \\"


def _variable_name(secret: Secret | None, default: str) -> str:
    return (parse_reference(secret.text) if secret is not None else None) or default


def _quote_path(path: str) -> str:
    """A path as one word; with signs in it that a terminal would act on, in `$'...'`."""
    if path.isprintable():
        return shlex.quote(path)
    escaped = (
        chr(byte) if byte in _UNQUOTED_BYTES else f"\\x{byte:02x}" for byte in os.fsencode(path)
    )
    return f"$'{''.join(escaped)}'"
