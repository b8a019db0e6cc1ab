"""Answers as DEEPaaS and the service script write them, around any value; and what to expect."""

import json

from hypothesis import strategies as st

STAMP = "2026-11-23 07:35:30.497 6943 "
RESET = "\x1b[00m"

keys = st.text(max_size=8)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["it's", '"', "\\", "'\"\n", "return: x", "[*] Final command: x", "[1]", "{"])
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(keys, inner, max_size=5)
    ),
    max_leaves=20,
)
containers = values.filter(lambda value: isinstance(value, (list, tuple, dict)))
noise = st.lists(
    st.sampled_from(
        [
            "a plain print from the model",
            "",
            " 50%|#####     | 1/2 [00:01<00:01,  1.00it/s]",
            "/usr/lib/x.py:1: UserWarning: old",
            "  warnings.warn(",
            "Traceback (most recent call last):",
            "[W NNPACK.cpp:51] Could not initialize NNPACK!",
            "name: {x}",
            "Loading model ... done",
        ]
    ),
    max_size=4,
)


def data(value):
    """What reading `str(value)` should give: tuples as lists, JSON in strings said."""
    match value:
        case str():
            return _said(value)
        case list() | tuple():
            return [data(entry) for entry in value]
        case dict():
            return {key: data(entry) for key, entry in value.items()}
        case _:
            return value


def _said(text):
    try:
        inner = json.loads(text)
    except ValueError:
        return text
    return inner if isinstance(inner, (list, dict)) else text


def record(message, version, level="INFO", logger="deepaas.cmd.cli"):
    return f"{STAMP}{level} {logger} [-] {message}{RESET if version == '2.6.0' else ''}\n"


def sync_body(printed, version, *, before=(), after=(), bar=""):
    """The 200 body of a model that returned what prints as `printed`."""
    bare = version < "2.5.2"
    called = "[INFO, Method] predict was called." if bare else "predict was called."
    result = f"{printed}\n" if bare else bar + record(f"return: {printed}", version)
    return "".join(
        [
            f"[*] Using DEEPaaS version {version}\n[*] Using Python version Python 3.11.7\n",
            "event-file-3d2512bc-6b7c-4353-8393-94a55f37862d\n",
            record(called, version),
            *(f"{line}\n" for line in before),
            record("a log line from the model", version, "WARNING", "minimod.api"),
            result,
            *(f"{line}\n" for line in after),
            "[*] Processing file:  tmp-file-jwpmv.jpg\n",
            "[*] Final command: deepaas-cli predict --mode x --files tmp-file-jwpmv.jpg\n\n",
        ]
    ).encode()


def crashed(version, *blocks):
    """The 200 body of a model that raised; each block the lines of one traceback."""
    lines = [line for block in blocks for line in block]
    return "".join(
        [
            f"[*] Using DEEPaaS version {version}\n",
            record("predict was called.", version),
            f"{STAMP}CRITICAL deepaas-cli [-] Unhandled error: {blocks[-1][-1]}\n",
            *(f"{STAMP}ERROR deepaas-cli {line}\n" for line in lines),
            f"{STAMP}ERROR deepaas-cli \n",
            "[*] Final command: deepaas-cli predict --mode x\n",
        ]
    ).encode()
