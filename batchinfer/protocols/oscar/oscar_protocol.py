"""The protocol of any OSCAR service: the file itself in, what the service makes of it out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from batchinfer.domain import Failure, Json, Mode, Outcome, Reply
from batchinfer.errors import FatalError
from batchinfer.protocols.ai4os.ai4os_protocol import Ai4osProtocol
from batchinfer.protocols.ai4os.object_names import make_object_name
from batchinfer.protocols.ai4os.payload import encode_base64
from batchinfer.protocols.inference_protocol import (
    EncodedItem,
    FileHead,
    HttpAnswer,
    InferenceProtocol,
    TokenFacts,
)
from batchinfer.protocols.object_ids import ObjectName, OutputKey
from batchinfer.protocols.oscar import stems
from batchinfer.protocols.oscar.call_answers import decode_call
from batchinfer.protocols.oscar.oscar_options import OSCAR_OPTION_NAMES, OscarOptions, parse_options
from batchinfer.protocols.oscar.returned_files import read_output_files
from batchinfer.protocols.output_files_protocol import OutputFilesProtocol

_TINY_BYTES: Final = 64
"""Bytes of a file whose base64 may happen to be JSON, too: a number of so many digits."""
_NO_JSON_SUFFIX: Final = b"\n."
"""Behind base64: it is no JSON then, and who reads base64 skips it."""


class OscarBucket(OutputFilesProtocol):
    """The file in `input_path`, whose event starts a job; all that it writes in `output_path`."""

    def __init__(self, options: OscarOptions) -> None:
        self.inputs_prefix = f"{options.input_path}/"
        self.outputs_prefix = f"{options.output_path}/"
        self.output_bucket = options.output_bucket
        self.quiet_seconds, self.patterns = options.quiet, options.outputs

    def make_object_name(self, run_id: str, position: int, attempt: int, tag: str = "") -> str:
        """See BucketProtocol. Raises ValueError without a tag, too."""
        if not tag:
            raise ValueError("an object of an OSCAR service has epoch and digest in its name")
        return make_object_name(run_id, position, attempt, tag)

    def add_extension(self, base_name: str, path: str, head: bytes) -> str:
        """See BucketProtocol."""
        return stems.add_extension(base_name, path, head)

    def get_output_stem(self, object_name: str) -> str:
        """See BucketProtocol."""
        return stems.get_stem(object_name)

    def parse_object_name(self, run_id: str, base_name: str) -> ObjectName | None:
        """See BucketProtocol."""
        return stems.parse_name(run_id, base_name)

    def make_input_key(self, base_name: str) -> str:
        """See BucketProtocol."""
        return self.inputs_prefix + base_name

    def parse_input_key(self, run_id: str, key: str) -> tuple[str, ObjectName] | None:
        """See BucketProtocol."""
        if not key.startswith(self.inputs_prefix):
            return None
        base_name = key.removeprefix(self.inputs_prefix)
        parsed = stems.parse_name(run_id, base_name)
        return None if parsed is None else (base_name, parsed)

    def parse_output_key(self, run_id: str, key: str) -> OutputKey | None:
        """See BucketProtocol."""
        if not key.startswith(self.outputs_prefix):
            return None
        return stems.parse_output_name(run_id, key.removeprefix(self.outputs_prefix))

    def make_start_after(self, run_id: str, position: int) -> str:
        """See BucketProtocol."""
        return f"{self.outputs_prefix}{run_id}-{position:09d}"

    def decode_files(self, stem: str, files: Mapping[str, bytes]) -> Outcome:
        """See OutputFilesProtocol."""
        return read_output_files(stem, files, lambda name: self.has_pattern_for(stem, name))


class OscarProtocol(InferenceProtocol):
    """The file in base64 (sync) or as it is (async); the answer is a file, several, or a text."""

    option_names = OSCAR_OPTION_NAMES
    takes_params = False
    modes = frozenset(Mode)
    content_type = "text/plain"
    payload_suffix = ".b64"
    endpoint_hint = "it is https://<cluster>/run/<service>"

    def __init__(self, options: OscarOptions | None = None, mode: Mode = Mode.SYNC) -> None:
        """`mode`: what the contents of files are encoded for."""
        self._options = options or OscarOptions()
        self._mode = mode
        self._is_raw = mode is Mode.ASYNC or self._options.encoding == "raw"
        self.bucket = OscarBucket(self._options)
        if self._is_raw:
            self.payload_suffix, self.content_type = ".bin", "application/octet-stream"

    def configure(self, options: Mapping[str, Json]) -> InferenceProtocol:
        """See InferenceProtocol."""
        super().configure(options)
        return OscarProtocol(parse_options(options), self._mode)

    def for_mode(self, mode: Mode) -> InferenceProtocol:
        """See InferenceProtocol."""
        return OscarProtocol(self._options, mode)

    def encode_params(
        self,
        params: Mapping[str, Json],
        file_params: Sequence[str],
        mode: Mode,  # noqa: ARG002
    ) -> Mapping[str, Json] | Failure:
        """See InferenceProtocol: there are none, and one file."""
        if params:
            return Failure(
                "bad_param",
                f"parameter {next(iter(params))!r} cannot be sent: an OSCAR service gets the file "
                "and nothing else. Leave out [params]; a service that takes parameters in JSON "
                'gets that JSON as a file, or has [service] protocol = "ai4os"',
            )
        if len(file_params) != 1:
            return Failure(
                "bad_param",
                f"an OSCAR service takes one file at a time, and this item has {len(file_params)}: "
                "make an item of each file, or pack them into an archive that the service unpacks",
            )
        return {}

    def encode_item(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> EncodedItem:  # noqa: ARG002
        """See InferenceProtocol."""
        parts = [b""] * (len(files) + 1)
        if not self._is_raw and files and _may_be_json(files[-1]):
            parts[-1] = _NO_JSON_SUFFIX
        return EncodedItem(parts)

    def encode_content(self, chunk: bytes) -> bytes:
        """See InferenceProtocol."""
        return chunk if self._is_raw else encode_base64(chunk)

    def get_encoded_size(self, size: int) -> int:
        """See InferenceProtocol."""
        return size if self._is_raw else 4 * -(-size // 3)

    def format_preview(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> str:  # noqa: ARG002
        """See InferenceProtocol."""
        encoding = "as it is" if self._is_raw else "base64"
        shown = [{"path": each.path, "bytes": each.size, "sent": encoding} for each in files]
        return json.dumps(shown[0] if len(shown) == 1 else shown, indent=2, ensure_ascii=False)

    def decode_answer(self, answer: HttpAnswer) -> Outcome | FatalError:
        """See InferenceProtocol."""
        outcome = decode_call(answer, self._options.answer)
        if isinstance(outcome, Reply):
            seconds = _parse_seconds(answer.headers.get("X-Duration-Seconds"))
            return replace(outcome, server_seconds=seconds)
        return outcome

    def inspect_token(self, token: str) -> TokenFacts:
        """See InferenceProtocol."""
        return Ai4osProtocol().inspect_token(token)


def _may_be_json(file: FileHead) -> bool:
    """Whether the base64 of a file is JSON, which the supervisor would take for the event."""
    if not 0 < file.size <= _TINY_BYTES:
        return False
    try:
        json.loads(encode_base64(file.head))
    except ValueError:
        return False
    return True


def _parse_seconds(header: str | None) -> float | None:
    try:
        seconds = float(header) if header else math.nan
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
