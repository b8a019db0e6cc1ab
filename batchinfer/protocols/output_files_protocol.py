"""What services take from a bucket, and leave there, that write files of any number and name.

All outputs of an attempt have names that begin with that of its input. When they are all there
nobody says: they are complete when patterns are met, or when nothing has changed for a while.
Pure.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from batchinfer.domain import Failure, FailureKind, Outcome
from batchinfer.errors import FatalError
from batchinfer.protocols.inference_protocol import BucketProtocol, SavedOutput

STEM: Final = "{stem}"
"""In a pattern: the name that all outputs of an attempt begin with."""


class OutputFilesProtocol(BucketProtocol):
    """A `BucketProtocol` whose attempts have outputs of any number and name.

    `OutputKey.base_name` is the beginning of their names (the stem); `log` and `json` say nothing.
    """

    quiet_seconds: float
    """Seconds without a change after which the outputs of an attempt are complete; with patterns:
    after which those that are missing do not come any more."""
    patterns: Sequence[str] = ()
    """Names of outputs without the prefix, with `*`, `?` and `{stem}`: when each of them is met,
    the outputs are complete, at once."""

    @abstractmethod
    def decode_files(self, stem: str, files: Mapping[str, bytes]) -> Outcome:
        """The outcome of an attempt by its outputs: their names without the prefix, and contents.

        All that was there is given, at least one.
        """

    def find_missing(self, stem: str, names: Sequence[str]) -> Sequence[str]:
        """The patterns that none of `names` (without the prefix) meets."""
        return [
            pattern
            for pattern in self.patterns
            if not any(fnmatchcase(name, pattern.replace(STEM, stem)) for name in names)
        ]

    def has_pattern_for(self, stem: str, name: str) -> bool:
        """Whether one of the patterns asks for the output `name` (without the prefix)."""
        return any(fnmatchcase(name, pattern.replace(STEM, stem)) for pattern in self.patterns)

    def explain_incomplete(self, missing: Sequence[str], names: Sequence[str]) -> Failure:
        """The failure of an attempt of which some outputs did not come."""
        return Failure(
            "outputs_incomplete",
            f"Of the outputs that are asked for, {', '.join(missing)} did not come within "
            f"{self.quiet_seconds:g} s after the last of: {', '.join(names)}. If the service takes "
            "longer, wait longer for them; if it does not write them for each input, ask for less.",
            FailureKind.TRANSIENT,
        )

    # A log and a reply: there are none ------------------------------------------------------------

    def make_output_keys(self, base_name: str) -> tuple[str, str]:
        """See BucketProtocol: two names that outputs may have."""
        stem = self.get_output_stem(base_name)
        return f"{self.outputs_prefix}{stem}.log", f"{self.outputs_prefix}{stem}.json"

    def make_orphan_key(self, saved: SavedOutput) -> str:
        """See BucketProtocol."""
        return self.outputs_prefix + saved.path.rpartition("/")[2]

    def decode_log(self, log: bytes) -> SavedOutput | Failure | FatalError | None:  # noqa: ARG002
        """See BucketProtocol: nothing is known of a log."""
        return None

    def decode_output(self, data: bytes, log: str, *, is_saved: bool) -> Outcome:  # noqa: ARG002
        """See BucketProtocol: as the only output."""
        return self.decode_files("", {"output": data})

    def explain_missing(self, log: bytes) -> Failure:
        """See BucketProtocol."""
        return Failure(
            "no_output",
            "the service wrote no output",
            FailureKind.TRANSIENT,
            log=log.decode("utf-8", "replace"),
        )

    def explain_lost(self, saved: SavedOutput) -> Failure:
        """See BucketProtocol."""
        return Failure(
            "output_lost", f"the output {saved.path} is not in the bucket", FailureKind.TRANSIENT
        )

    def explain_uncertain(self, saved: SavedOutput) -> Failure:
        """See BucketProtocol."""
        return self.explain_lost(saved)
