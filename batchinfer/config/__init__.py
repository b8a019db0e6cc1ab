"""The configuration: TOML, environment and flags in; one frozen `Config` out; then `Resolved`.

Rules of the room:

* flag > `BATCHINFER_<SECTION>_<KEY>` > file > what the run directory keeps > default.
* What is not known is an error that names the nearest that is, and where it stood.
* `${NAME}` stays unexpanded until `resolve`; `$$` is a dollar sign. A secret is exactly `${NAME}`,
  or the secret itself. No secret is stored, shown by a `repr`, or part of a message.
* Nothing here reads `os.environ`: the environment comes in as an argument.

::

    load ──▶ Config ──unexpanded──▶ run directory ──from_stored──▶ Config ──resolve──▶ Resolved
"""

from batchinfer.config.comparing import differences
from batchinfer.config.loading import from_stored, load
from batchinfer.config.resolving import (
    BucketAccess,
    Contents,
    Resolved,
    ServiceAccess,
    named_secrets,
    resolve,
    resolve_contents,
)
from batchinfer.config.sections import FILE_PARAM, Bucket, Config, Input, Run, Service
from batchinfer.config.template import DEFAULT_FILE, TEMPLATE
from batchinfer.config.values import (
    Concurrency,
    MaxFailures,
    Percent,
    Secret,
    parse_param,
    split_param,
)

__all__ = [
    "DEFAULT_FILE",
    "FILE_PARAM",
    "TEMPLATE",
    "Bucket",
    "BucketAccess",
    "Concurrency",
    "Config",
    "Contents",
    "Input",
    "MaxFailures",
    "Percent",
    "Resolved",
    "Run",
    "Secret",
    "Service",
    "ServiceAccess",
    "differences",
    "from_stored",
    "load",
    "named_secrets",
    "parse_param",
    "resolve",
    "resolve_contents",
    "split_param",
]
