"""Whether remote inputs could be read as configured: `[source]`."""

from __future__ import annotations

from batchinfer.api.checks.findings import Finding, FindingState
from batchinfer.inputs.source_access import SourceSettings


def check_source_store(settings: SourceSettings) -> Finding:
    """Ask the store of `[source]` whether it knows the keys. Blocks."""
    if settings.problem:
        return Finding("source", FindingState.BAD, settings.problem)
    if settings.token and settings.store.access_key is None:
        host = settings.store.endpoint
        return Finding("source", FindingState.GOOD, f"a token for {host}; no file was asked for")
    from batchinfer.remote.store_client import StoreClient  # noqa: PLC0415 - imports urllib3

    try:
        client = StoreClient(settings.store, "[source] access_key and secret_key")
        try:
            may_list = client.check_keys()
        finally:
            client.close()
    except OSError as error:
        return Finding("source", FindingState.BAD, error.strerror or str(error))
    detail = "" if may_list else " (they do not permit to list buckets, which is not needed)"
    return Finding("source", FindingState.GOOD, f"the store answers, and knows the keys{detail}")
