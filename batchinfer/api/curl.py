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

from batchinfer.api.deliveries import DELIVERIES
from batchinfer.config import BucketSettings, Config, RunSettings, Secret, ServiceSettings
from batchinfer.config.interpolation import iter_reference_names, parse_reference
from batchinfer.domain import Json
from batchinfer.protocols.inference_protocol import BucketProtocol, CurlFile, FileHead
from batchinfer.protocols.registry import load_protocol
from batchinfer.shell import quote_json_variable

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
    secret_variables = {
        variables.get(name, "").strip(): name for name in iter_reference_names(config.params)
    }
    document = load_protocol(settings.protocol).format_curl_document(
        params,
        [CurlFile(each.param, each.path, _quote_path(each.path), each.head) for each in files],
        {value: name for value, name in secret_variables.items() if value},
    )
    if document is None:
        return None
    lines, secret_line = DELIVERIES[settings.mode].format_curl_options(config, settings)
    end = "  --config /dev/fd/3 --data-binary @- 3<<SECRETS <<JSON"
    command = [*lines, end, secret_line, "SECRETS", document, "JSON"]
    return "\n".join([*_iter_env_file_lines(config, env), *command])


def _iter_env_file_lines(config: Config, env: Mapping[str, str]) -> Iterator[str]:
    """Lines that load the files whose variables the environment lacks."""
    for file in reversed(config.env_files):
        if any(not env.get(name) for name in file.variables):
            yield f"set -a; . {_quote_path(str(file.path))}; set +a"


def format_call_options(
    config: Config, service: ServiceSettings, timeout: float
) -> tuple[Sequence[str], str]:
    """The beginning of a command that calls the service, and the line that holds its token.

    `timeout`: seconds.
    """
    lines = [
        f"curl --silent --show-error --max-time {timeout:g} {shlex.quote(service.endpoint)} \\",
        *_iter_tls_options(service),
        "  --header 'Content-Type: application/json' \\",
    ]
    token = _variable_name(config.service.token, "BATCHINFER_SERVICE_TOKEN")
    return lines, f'header = "Authorization: Bearer ${{{token}:?}}"'


def format_bucket_options(
    config: Config, bucket: BucketSettings, names: BucketProtocol
) -> tuple[Sequence[str], str]:
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
    return lines, f'user = "{quote_json_variable(key)}:{quote_json_variable(secret)}"'


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
