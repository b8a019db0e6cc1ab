"""The protocol of the AI4OS platform: OSCAR services that run DEEPaaS' command line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from batchinfer.domain import Failure, Json, Mode, Outcome
from batchinfer.errors import FatalError
from batchinfer.protocols.ai4os import curl_document, help_parser, object_names, payload
from batchinfer.protocols.ai4os.deepaas_versions import find_deepaas_version, list_quirks
from batchinfer.protocols.ai4os.http_status import classify_status
from batchinfer.protocols.ai4os.missing_outputs import lost_output_failure, uncertain_output_failure
from batchinfer.protocols.ai4os.param_validator import ParamValidator
from batchinfer.protocols.ai4os.reply_parser import (
    extract_orphan_name,
    killed_log_failure,
    parse_body,
    parse_log,
    parse_output,
)
from batchinfer.protocols.ai4os.tokens import InvalidToken, OidcToken, ServiceToken, classify_token
from batchinfer.protocols.ai4os.transcript_failures import find_fatal_error
from batchinfer.protocols.inference_protocol import (
    BucketProtocol,
    CurlFile,
    EncodedItem,
    FileHead,
    HttpAnswer,
    InferenceProtocol,
    ParamChecker,
    SavedOutput,
    Software,
    TokenFacts,
)
from batchinfer.protocols.model_schema import ModelSchema
from batchinfer.protocols.object_ids import ObjectName, OutputKey

_LASTING_TOKEN = "the service's own token, which does not expire"  # noqa: S105 - a sentence


class Ai4osBucket(BucketProtocol):
    """`inputs/<name>.json`, whose event starts a job; `outputs/<name>.log` and `.json`."""

    inputs_prefix = object_names.INPUTS_PREFIX
    outputs_prefix = object_names.OUTPUTS_PREFIX

    def make_object_name(self, run_id: str, position: int, attempt: int, tag: str = "") -> str:
        """See BucketProtocol."""
        return object_names.make_object_name(run_id, position, attempt, tag)

    def parse_object_name(self, run_id: str, base_name: str) -> ObjectName | None:
        """See BucketProtocol."""
        return object_names.parse_object_name(run_id, base_name)

    def make_input_key(self, base_name: str) -> str:
        """See BucketProtocol."""
        return f"{self.inputs_prefix}{base_name}.json"

    def make_output_keys(self, base_name: str) -> tuple[str, str]:
        """See BucketProtocol."""
        return f"{self.outputs_prefix}{base_name}.log", f"{self.outputs_prefix}{base_name}.json"

    def parse_input_key(self, run_id: str, key: str) -> tuple[str, ObjectName] | None:
        """See BucketProtocol."""
        return object_names.parse_input_key(run_id, key)

    def parse_output_key(self, run_id: str, key: str) -> OutputKey | None:
        """See BucketProtocol."""
        return object_names.parse_output_key(run_id, key)

    def make_start_after(self, run_id: str, position: int) -> str:
        """See BucketProtocol."""
        return object_names.make_start_after(run_id, position)

    def make_orphan_key(self, saved: SavedOutput) -> str:
        """See BucketProtocol."""
        return self.outputs_prefix + extract_orphan_name(saved.path)

    def decode_log(self, log: bytes) -> SavedOutput | Failure | FatalError | None:
        """See BucketProtocol."""
        decoded = parse_log(log)
        return find_fatal_error(decoded) or decoded

    def decode_output(self, data: bytes, log: str, *, is_saved: bool) -> Outcome:
        """See BucketProtocol."""
        return parse_output(data, log, is_saved=is_saved)

    def explain_missing(self, log: bytes) -> Failure:
        """See BucketProtocol."""
        return killed_log_failure(log)

    def explain_lost(self, saved: SavedOutput) -> Failure:
        """See BucketProtocol."""
        return lost_output_failure(saved.path)

    def explain_uncertain(self, saved: SavedOutput) -> Failure:
        """See BucketProtocol."""
        return uncertain_output_failure(saved.path)


class Ai4osProtocol(InferenceProtocol):
    """JSON with files in base64; the answer is what DEEPaaS and the service script print."""

    modes = frozenset(Mode)
    bucket = Ai4osBucket()
    endpoint_hint = "copy it from the Dashboard, 'Synchronous calls' (https://.../run/<service>)"
    help_request = payload.HELP_PAYLOAD

    def encode_params(
        self, params: Mapping[str, Json], file_params: Sequence[str], mode: Mode
    ) -> Mapping[str, Json] | Failure:
        """See InferenceProtocol."""
        return payload.encode_params(params, file_params, mode)

    def encode_item(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> EncodedItem:
        """See InferenceProtocol."""
        formats = [(each.param, payload.detect_file_format(each.path, each.head)) for each in files]
        return EncodedItem(payload.build_payload_parts(params, formats))

    def encode_content(self, chunk: bytes) -> bytes:
        """See InferenceProtocol."""
        return payload.encode_base64(chunk)

    def get_encoded_size(self, size: int) -> int:
        """See InferenceProtocol."""
        return 4 * -(-size // 3)

    def format_preview(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> str:
        """See InferenceProtocol."""
        shown = [(f.param, payload.detect_file_format(f.path, f.head), f.size) for f in files]
        return payload.format_preview(params, shown)

    def format_curl_document(
        self, params: Mapping[str, Json], files: Sequence[CurlFile], secrets: Mapping[str, str]
    ) -> str:
        """See InferenceProtocol."""
        return curl_document.format_curl_document(params, files, secrets)

    def decode_answer(self, answer: HttpAnswer) -> Outcome | FatalError:
        """See InferenceProtocol."""
        headers = answer.headers
        if answer.status != HTTPStatus.OK:
            refusal = classify_status(
                answer.status,
                answer.body,
                elapsed=answer.elapsed,
                now=answer.now,
                retry_after=headers.get("Retry-After"),
                location=headers.get("Location"),
            )
            if refusal is not None:
                return refusal
        outcome = parse_body(
            answer.body,
            is_framed=answer.is_framed,
            server_seconds=_parse_seconds(headers.get("X-Duration-Seconds")),
        )
        if isinstance(outcome, Failure):
            return find_fatal_error(outcome) or outcome
        return outcome

    def extract_help(self, outcome: Outcome) -> str | Failure:
        """See InferenceProtocol."""
        return help_parser.extract_help(outcome)

    def parse_help(self, text: str) -> ModelSchema | None:
        """See InferenceProtocol."""
        return help_parser.parse_help(text)

    def make_param_checker(
        self, schema: ModelSchema | None, mode: Mode, common_params: Mapping[str, Json]
    ) -> ParamChecker:
        """See InferenceProtocol."""
        return ParamValidator(schema, mode, common_params)

    def inspect_token(self, token: str) -> TokenFacts:
        """See InferenceProtocol."""
        match classify_token(token):
            case ServiceToken():
                return TokenFacts("64 hexadecimal digits")
            case InvalidToken(reason):
                return TokenFacts("", f"{reason}. Copy 'Token' from the Dashboard again")
            case OidcToken(expires_at):
                return TokenFacts(
                    "an OIDC token",
                    can_expire=True,
                    expires_at=expires_at,
                    lasting_kind=_LASTING_TOKEN,
                )

    def find_software(self, log: str) -> Software | None:
        """See InferenceProtocol."""
        version = find_deepaas_version(log)
        return None if version is None else Software("DEEPaaS", version, list_quirks(log))


def _parse_seconds(header: str | None) -> float | None:
    try:
        seconds = float(header) if header else math.nan
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
