"""What workers say, in pieces, and what they would say if they had gone mad."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchinfer.images.worker_protocol import decode_messages, encode_message

SAID = st.lists(st.tuples(st.dictionaries(st.just("width"), st.integers()), st.binary()))


@given(said=SAID, step=st.integers(1, 40))
def test_messages_arrive_however_they_are_cut(said, step):
    stream = b"".join(encode_message(head, data) for head, data in said)
    heard, found = bytearray(), []
    for start in range(0, len(stream), step):
        heard += stream[start : start + step]
        found += decode_messages(heard)
    assert [({k: v for k, v in head.items() if k != "bytes"}, data) for head, data in found] == said
    assert not heard


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xff\xff\xffx",
        b"\0\0\0\2[]",
        b"\0\0\0\2{}",
        b"\0\0\0\3???",
        b'\0\0\0\x10{"bytes":999999999999}'[:20],
        b'\0\0\0\x0b{"bytes":-1}',
        b"\0\0\0\1\xff",
    ],
)
def test_what_is_no_message_is_refused(sent):
    with pytest.raises(ValueError):
        decode_messages(bytearray(sent))
