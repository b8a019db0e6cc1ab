"""The interface of a protocol: encode an item, decode an answer, describe the model, check.

A protocol is pure: it opens no file and no connection. Delivery (`backends/`) reads the files,
sends what `encode_item` returns, and hands what comes back to `decode_answer`; it also removes
secrets, so that no protocol has to. An exception of a protocol fails the item it was raised for
(code `protocol_error`); FatalError ends the run.

A package adds a protocol by a subclass of `InferenceProtocol` and an entry point::

    [project.entry-points."batchinfer.protocols"]
    kserve = "my_package.kserve:KServeProtocol"
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from batchinfer.domain import Failure, Json, Mode, Outcome, Reply
from batchinfer.errors import FatalError
from batchinfer.protocols.model_schema import ModelSchema
from batchinfer.protocols.object_ids import ObjectName, OutputKey
from batchinfer.protocols.protocol_options import check_option_names
from batchinfer.values import value_class

MAX_PARAM_DEPTH = 100
"""Levels of lists and dicts in a parameter."""
HEAD_BYTES = 512
"""Bytes of the beginning of a file that a protocol sees before it encodes the item."""


@value_class
class FileHead:
    """A file that is about to be sent: all that is known before it has been read."""

    param: str
    """The model parameter that receives the file."""
    path: str
    head: bytes = field(repr=False)
    """Its first `HEAD_BYTES` bytes or more; all of them if it is shorter."""
    size: int
    """Bytes."""


@value_class
class EncodedItem:
    """What is sent for an item, without the contents of its files."""

    parts: Sequence[bytes]
    """The body before, between and behind the files: one part more than there are files."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """HTTP headers of this item, besides those of `make_headers`; of use in sync mode only."""
    query: str = ""
    """What follows the `?` of the URL, encoded as it is sent; of use in sync mode only. Values in
    it may be secret: it stands in no message."""


@value_class
class HttpAnswer:
    """The answer to a call."""

    status: int
    body: bytes = field(repr=False)
    """As it came for a status of `success_statuses`; else its beginning, without secrets."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Their names may be looked up in upper or lower case."""
    is_framed: bool = True
    """Whether a body that was cut off would have been noticed (Content-Length, or chunks)."""
    elapsed: float = 0.0
    """Seconds that the call took."""
    now: float = 0.0
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What the form of a token shows; nothing is verified, only the service can do that."""

    kind: str
    """What it is, for a message: "an OIDC token"."""
    problem: str | None = None
    """Why every call would be refused, and what to do. Never quotes the token."""
    can_expire: bool = False
    expires_at: float | None = None
    """Seconds since the epoch; None: it does not say."""
    lasting_kind: str = ""
    """Which token to use instead of one that expires."""


@dataclass(frozen=True, slots=True)
class Software:
    """What a service runs."""

    name: str
    version: str
    quirks: Sequence[str] = ()
    """What a person should know of this version, a sentence each."""


@dataclass(frozen=True, slots=True)
class CurlFile:
    """A file in a curl command."""

    param: str
    path: str
    quoted_path: str
    """As a POSIX shell reads it."""
    head: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class CurlRequest:
    """How curl sends a request to the service, besides its address and the token."""

    document: str | None = None
    """The body as a here-document that a POSIX shell completes; None: `options` give the body."""
    options: Sequence[str] = ()
    """Options of curl, each with its value, as a POSIX shell reads them."""
    config_lines: Sequence[str] = ()
    """Lines of curl's configuration, which a POSIX shell completes: where secrets may stand."""
    content_type: str | None = "application/json"
    """Of the body; None: curl says it by itself (`--form`)."""
    query: str = ""
    """As in `EncodedItem`; without secrets."""


class ParamChecker(Protocol):
    """Checks the parameters of a run before anything is sent."""

    @property
    def abbreviations(self) -> Mapping[str, str]:
        """Names met so far that the model takes for a longer one."""

    def validate_value(self, name: str, value: Json) -> str | None:
        """What is wrong with one parameter; None: nothing."""

    def validate_item(self, params: Mapping[str, Json], files: tuple[str, ...]) -> Sequence[str]:
        """All that is wrong with an item's own parameters and its files (their parameters' names),
        and what it lacks.
        """  # noqa: D205 - one thought


class InferenceProtocol(ABC):
    """How a kind of service wants its requests, and what its answers mean.

    One object serves a whole process, several threads at a time: it has no state but the options
    that `configure` was given.
    """

    option_names: Sequence[str] = ()
    """The options that it knows: keys of the section `[protocol]`."""
    needs_token: bool = True
    """Whether services of this kind have a token; False: [service] token may be missing."""
    takes_params: bool = True
    """Whether services of this kind have parameters besides files; False: none is checked."""
    modes: frozenset[Mode] = frozenset({Mode.SYNC})
    """The modes that services of this kind offer; `Mode.ASYNC` needs `bucket`."""
    bucket: BucketProtocol | None = None
    """What a bucket of such a service holds (async mode). An `OutputFilesProtocol` where an attempt
    leaves something else than a log and a reply."""
    content_type: str = "application/json"
    """Media type of a request's body."""
    payload_suffix: str = ".json"
    """Extension of a file that holds a request's body."""
    has_query: bool = False
    """Whether requests have a query (`EncodedItem`): then a body is not all of them."""
    success_statuses: frozenset[int] = frozenset({200})
    """HTTP statuses whose body is read whole."""
    endpoint_hint: str = "check [service] endpoint"
    """Where to find the right endpoint: the end of a message to a user."""
    timeout_hint: str = ""
    """What else to know of a call without answer: a sentence, the end of a message to a user."""

    # Options --------------------------------------------------------------------------------------

    def configure(self, options: Mapping[str, Json]) -> InferenceProtocol:
        """The protocol with these options: the keys of `[protocol]`, `${NAME}` expanded.

        Called once, before anything else; also without options, so that one that is needed can be
        asked for. Where a run's results are read, `${NAME}` is not expanded. Raises ConfigError,
        whose message names options and quotes no value: it may be secret.
        """
        check_option_names(options, self.option_names)
        return self

    # Find the service -----------------------------------------------------------------------------

    def get_call_path(self, endpoint_path: str) -> str | None:
        """The path that items are sent to, by that of the endpoint; both as they stand in a URL.

        None: it has to be discovered. A GET of `get_discovery_path` is made, as soon as a call is.
        """
        return endpoint_path

    def get_discovery_path(self, endpoint_path: str) -> str:
        """The path of the GET whose answer `decode_discovery` reads."""
        return endpoint_path

    def decode_discovery(
        self, answer: HttpAnswer, endpoint_path: str
    ) -> str | Failure | FatalError:
        """The path that items are sent to; a Failure: it is asked again; a FatalError: for ever."""
        raise NotImplementedError

    # Encode an item -------------------------------------------------------------------------------

    @abstractmethod
    def encode_params(
        self, params: Mapping[str, Json], file_params: Sequence[str], mode: Mode
    ) -> Mapping[str, Json] | Failure:
        """The parameters as they must be spelled to arrive unchanged; or why they cannot be sent.

        `file_params`: the names of the parameters that receive a file, one file each.
        """

    @abstractmethod
    def encode_item(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> EncodedItem:
        """The request for an item; `params`: as `encode_params` returned them.

        A part must not depend on the files behind it: large files are encoded as they are read.
        """

    def encode_content(self, chunk: bytes) -> bytes:
        """The content of a file as it stands in the request.

        Large files come in chunks, all of which but the last have a length divisible by 3 and 4.
        """
        return chunk

    def get_encoded_size(self, size: int) -> int:
        """Bytes that a file of `size` bytes takes in the request, at most."""
        return size

    def for_mode(self, mode: Mode) -> InferenceProtocol:  # noqa: ARG002
        """The protocol as it encodes items in a mode, where services get other bodies in each."""
        return self

    def make_headers(self, token: str) -> Mapping[str, str]:
        """The HTTP headers of every call. `token`: "" where there is none."""
        authorization = {"Authorization": f"Bearer {token}"} if token else {}
        return {**authorization, "Content-Type": self.content_type}

    @abstractmethod
    def format_preview(self, params: Mapping[str, Json], files: Sequence[FileHead]) -> str:
        """The request for people, as JSON, with the contents of files left out."""

    def format_curl_document(
        self,
        params: Mapping[str, Json],  # noqa: ARG002
        files: Sequence[CurlFile],  # noqa: ARG002
        secrets: Mapping[str, str],  # noqa: ARG002
    ) -> str | None:
        """The request as a here-document that a POSIX shell completes; None: there is none.

        `secrets`: the variables of secret values, by value; no value may stand in the document.
        """
        return None

    def format_curl_request(
        self, params: Mapping[str, Json], files: Sequence[CurlFile], secrets: Mapping[str, str]
    ) -> CurlRequest | None:
        """The request as curl sends it; None: it cannot. `secrets`: as above."""
        document = self.format_curl_document(params, files, secrets)
        if document is None:
            return None
        return CurlRequest(document, content_type=self.content_type)

    # Decode an answer -----------------------------------------------------------------------------

    @abstractmethod
    def decode_answer(self, answer: HttpAnswer) -> Outcome | FatalError:
        """What came of a call. A FatalError is returned when no item can succeed."""

    # Describe the model ---------------------------------------------------------------------------

    help_request: bytes | None = None
    """The body that is answered with a description of the model; None: there is no such request."""

    def get_help_path(self, endpoint_path: str) -> str | None:  # noqa: ARG002
        """The path of a GET that is answered with a description, where there is no `help_request`;
        None: there is none either.
        """  # noqa: D205 - one thought
        return None

    @property
    def is_self_describing(self) -> bool:
        """Whether services of this kind describe their model when they are asked."""
        return self.help_request is not None or self.get_help_path("/") is not None

    def decode_help(self, answer: HttpAnswer, call_path: str) -> str | Failure | FatalError:  # noqa: ARG002
        """The description in the answer to that GET; `call_path`: where items are sent to."""
        if answer.status in self.success_statuses:
            return answer.body.decode(errors="replace")
        outcome = self.decode_answer(answer)
        return Failure("no_help", "no description") if isinstance(outcome, Reply) else outcome

    def extract_help(self, outcome: Outcome) -> str | Failure:
        """The description in what came of `help_request`; a Failure when there is none."""
        return outcome if isinstance(outcome, Failure) else outcome.log

    def parse_help(self, text: str) -> ModelSchema | None:  # noqa: ARG002
        """What the model takes, by its description; None when the text is none. Never raises."""
        return None

    def make_param_checker(
        self,
        schema: ModelSchema | None,
        mode: Mode,
        common_params: Mapping[str, Json],  # noqa: ARG002
    ) -> ParamChecker:
        """Rules for the parameters of a run; `common_params`: those that every item has."""
        return EncodableParams(self, mode, schema)

    # Check ----------------------------------------------------------------------------------------

    def inspect_token(self, token: str) -> TokenFacts | None:  # noqa: ARG002
        """What a token shows by its form; None: nothing."""
        return None

    def find_software(self, log: str) -> Software | None:  # noqa: ARG002
        """The software that wrote a log; None when the log does not say."""
        return None


@dataclass(frozen=True, slots=True)
class SavedOutput:
    """The log of a prediction says that its output was written."""

    path: str
    """Where, on the service."""
    is_orphan: bool
    """Whether the output lies in the bucket under a name of its own (`make_orphan_key`)."""


class BucketProtocol(ABC):
    """What a service takes from a bucket, and what it leaves there (async mode).

    An attempt has an input object and up to two outputs of the same base name: a log and a reply.
    Names sort by position, and those of other runs are None to the parsers.
    """

    inputs_prefix: str
    outputs_prefix: str
    output_bucket: str | None = None
    """The bucket of the outputs, with the same store and keys; None: that of the inputs. Neither
    prefix begins with the other."""

    @abstractmethod
    def make_object_name(self, run_id: str, position: int, attempt: int, tag: str = "") -> str:
        """The base name of the objects of an attempt. Raises ValueError when there can be none."""

    @abstractmethod
    def parse_object_name(self, run_id: str, base_name: str) -> ObjectName | None:
        """The parts of a name that `make_object_name` made for this run."""

    def add_extension(self, base_name: str, path: str, head: bytes) -> str:  # noqa: ARG002
        """The name of an input object, where it depends on its file (that has these first bytes).

        It is what is recorded, and what `make_input_key` and `parse_object_name` are given.
        """
        return base_name

    def get_output_stem(self, object_name: str) -> str:
        """`OutputKey.base_name` of the outputs of an input object with this name."""
        return object_name

    @abstractmethod
    def make_input_key(self, base_name: str) -> str:
        """The key of an input object."""

    @abstractmethod
    def make_output_keys(self, base_name: str) -> tuple[str, str]:
        """The keys of the log and the reply of an attempt."""

    @abstractmethod
    def parse_input_key(self, run_id: str, key: str) -> tuple[str, ObjectName] | None:
        """The base name, and its parts, of a key that is this run's input."""

    @abstractmethod
    def parse_output_key(self, run_id: str, key: str) -> OutputKey | None:
        """What a key is to this run; None when it is not its output."""

    @abstractmethod
    def make_start_after(self, run_id: str, position: int) -> str:
        """The `StartAfter` of a listing that begins with the first output of `position`."""

    @abstractmethod
    def make_orphan_key(self, saved: SavedOutput) -> str:
        """The key of an output that did not get the base name of its attempt."""

    @abstractmethod
    def decode_log(self, log: bytes) -> SavedOutput | Failure | FatalError | None:
        """What a log says; None when it says neither success nor failure (yet)."""

    @abstractmethod
    def decode_output(self, data: bytes, log: str, *, is_saved: bool) -> Outcome:
        """The outcome that a reply holds. `is_saved`: whether the log says that it is whole."""

    @abstractmethod
    def explain_missing(self, log: bytes) -> Failure:
        """The failure of an attempt whose log never said what came of it."""

    @abstractmethod
    def explain_lost(self, saved: SavedOutput) -> Failure:
        """The failure of an attempt whose output should be in the bucket, and is not."""

    @abstractmethod
    def explain_uncertain(self, saved: SavedOutput) -> Failure:
        """The failure of an attempt whose output may be that of another one."""


class EncodableParams:
    """Rules of a protocol that has no others: what can be encoded, and is listed, is right."""

    def __init__(self, protocol: InferenceProtocol, mode: Mode, schema: ModelSchema | None) -> None:
        self._protocol, self._mode = protocol, mode
        self._names = None if schema is None or schema.accepts_unlisted else frozenset(schema.names)
        self.abbreviations: Mapping[str, str] = {}

    def validate_value(self, name: str, value: Json) -> str | None:
        """See ParamChecker."""
        if self._names is not None and name not in self._names:
            return f"the model has no parameter {name!r}"
        encoded = self._protocol.encode_params({name: value}, (), self._mode)
        return encoded.message if isinstance(encoded, Failure) else None

    def validate_item(self, params: Mapping[str, Json], files: tuple[str, ...]) -> Sequence[str]:
        """See ParamChecker."""
        problems = [self.validate_value(name, value) for name, value in params.items()]
        encoded = self._protocol.encode_params({}, files, self._mode)
        problems.append(encoded.message if isinstance(encoded, Failure) else None)
        return [problem for problem in problems if problem is not None]
