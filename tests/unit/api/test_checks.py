"""Single checks, as far as no server is needed: clocks, and keys that may not do everything."""

import pytest

from batchinfer.api.checks import bucket_check as checks
from batchinfer.api.checks.findings import FindingState, check_clock
from batchinfer.backends.bucket_client import MemoryBucket
from batchinfer.domain import Mode
from batchinfer.errors import FatalError
from batchinfer.protocols.ai4os.object_names import make_object_name
from support.protocols import AI4OS_BUCKET

pytestmark = pytest.mark.event_loops("asyncio", "trio")


@pytest.mark.parametrize(
    ("ahead", "mode", "state", "word"),
    [
        (0.0, Mode.ASYNC, FindingState.GOOD, ""),
        (-59.0, Mode.ASYNC, FindingState.GOOD, ""),
        (61.0, Mode.ASYNC, FindingState.NOTE, "behind"),
        (-3600.0, Mode.SYNC, FindingState.NOTE, "3,600 s ahead"),
        (-901.0, Mode.ASYNC, FindingState.BAD, "refuses"),
        (None, Mode.ASYNC, FindingState.NOTE, "does not send"),
    ],
)
def test_a_clock_that_is_far_off_is_told(ahead, mode, state, word):
    found = check_clock(ahead, mode)

    assert (found.state, word in found.message) == (state, True)


class Restricted(MemoryBucket):
    """Refuses some verbs, as keys do that may not everything."""

    def __init__(self, *refused: str) -> None:
        super().__init__(page_size=2)
        self.refused = refused
        self.put_keys: list[str] = []

    async def put(self, key, body):
        self._may("put")
        self.put_keys.append(key)
        return await super().put(key, body)

    async def get(self, key):
        self._may("get")
        return await super().get(key)

    async def delete(self, key):
        self._may("delete")
        await super().delete(key)

    def _may(self, verb):
        if verb in self.refused:
            raise FatalError("s3_access_denied", f"may not {verb}")


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ((), {"put": "good", "get": "good", "delete": "good"}),
        (("put",), {"put": "bad"}),
        (("get",), {"put": "good", "get": "bad", "delete": "good"}),
        (("delete",), {"put": "good", "get": "good", "delete": "bad"}),
        (("get", "delete"), {"put": "good", "get": "bad", "delete": "bad"}),
    ],
)
async def test_each_right_is_tried_for_itself_and_never_under_inputs(refused, expected):
    bucket, found = Restricted(*refused), []
    await checks._check_permissions(bucket, found.append)

    assert {each.check: each.state for each in found} == expected
    assert all(key.startswith("batchinfer-check/") for key in bucket.put_keys)
    assert len(bucket.objects) == ("delete" in refused)
    if "delete" in refused:
        assert bucket.put_keys[0] in found[-1].message
    if "put" in refused:
        assert "--probe" in found[0].message


async def test_leftovers_are_what_is_of_no_known_run_and_counting_ends():
    bucket, found = Restricted(), []
    for position in range(1, 8):
        bucket.objects[f"inputs/{make_object_name('mine', position, 1)}.json"] = b""
        bucket.objects[f"outputs/{make_object_name('theirs', position, 1)}.log"] = b""
    bucket.objects |= {"inputs/": b"", "outputs/": b"", "outputs/mine-x.log": b""}
    await checks._check_leftovers(bucket, AI4OS_BUCKET, found.append, {"mine"})
    assert found[0].message.startswith("0 in inputs/ and 8 in outputs/")

    for position in range(100):
        bucket.objects[f"outputs/a{position}.log"] = b""
    await checks._check_leftovers(bucket, AI4OS_BUCKET, found.append, {"mine"})
    assert "at least 19 in outputs/" in found[1].message
