"""The outputs of attempts, as listings show them, and whether an attempt of this run made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from batchinfer.backends.bucket_client import BucketClient, ListedObject
from batchinfer.domain import OpenItem
from batchinfer.protocols.inference_protocol import BucketProtocol
from batchinfer.protocols.object_ids import ObjectName, OutputKey
from batchinfer.protocols.output_files_protocol import OutputFilesProtocol


@dataclass(frozen=True, slots=True)
class OutputPair:
    """The outputs of one attempt, as far as a listing has shown them."""

    base_name: str
    """Their name without folder and extension; identifies the pair from poll to poll."""
    parsed_name: ObjectName
    log: ListedObject | None
    json: ListedObject | None
    files: tuple[ListedObject, ...] = ()
    """All of them, in key order, of a service that writes any number of files (see
    `OutputFilesProtocol`); there `log` and `json` say nothing."""

    @property
    def listed_objects(self) -> list[ListedObject]:
        """What is there of it."""
        if self.files:
            return list(self.files)
        return [entry for entry in (self.json, self.log) if entry is not None]


def group_pairs(
    protocol: BucketProtocol, run_id: str, listed: Sequence[ListedObject]
) -> list[OutputPair]:
    """The pairs among listed objects; key order keeps those of one attempt together."""
    parse = protocol.parse_output_key
    outputs = [(out, entry) for entry in listed if (out := parse(run_id, entry.key))]
    make = _make_file_group if isinstance(protocol, OutputFilesProtocol) else _make_pair
    return [make(list(group)) for _, group in groupby(outputs, key=lambda each: each[0].base_name)]


def is_recorded(protocol: BucketProtocol, item: OpenItem, stem: str, name: ObjectName) -> bool:
    """Whether this run directory has recorded that it submitted what outputs with this stem answer.

    Another copy of the directory may use the same position and attempt for something else.
    """
    recorded = item.objects.get(name.attempt)
    if recorded is not None:
        return protocol.get_output_stem(recorded) == stem
    return item.has_submitted(name.attempt, stem, tagged=bool(name.tag))


async def drop_stale_outputs(
    bucket: BucketClient, pair: OutputPair, input_key: str
) -> OutputPair | None:
    """The pair without outputs that are older than their input; None when nothing is left.

    Only for names without a tag, which another process may have used before. Raises as the bucket
    does.
    """
    if pair.parsed_name.tag:
        return pair
    page = await bucket.list_page(input_key)
    times = (entry.last_modified for entry in page.objects if entry.key == input_key)
    input_modified = next(times, None)
    if input_modified is None:
        return pair
    log, json = (_drop_if_older(entry, input_modified) for entry in (pair.log, pair.json))
    return OutputPair(pair.base_name, pair.parsed_name, log, json) if log or json else None


def _drop_if_older(listed: ListedObject | None, input_modified: float) -> ListedObject | None:
    # Stores return whole seconds, some of them only in listings.
    is_older = (
        listed is not None
        and listed.last_modified is not None
        and int(listed.last_modified) < int(input_modified)
    )
    return None if is_older else listed


def _make_pair(group: Sequence[tuple[OutputKey, ListedObject]]) -> OutputPair:
    first, _ = group[0]
    by_extension = {output.extension: entry for output, entry in group}
    return OutputPair(
        first.base_name, first.parsed_name, by_extension.get("log"), by_extension.get("json")
    )


def _make_file_group(group: Sequence[tuple[OutputKey, ListedObject]]) -> OutputPair:
    first, _ = group[0]
    files = tuple(entry for _, entry in group)
    return OutputPair(first.base_name, first.parsed_name, None, None, files)
