"""The configuration: TOML, environment and flags in; one frozen `Config` out; then `Resolved`.

Rules of the room:

* flag > `BATCHINFER_<SECTION>_<KEY>` > the same in `.batchinfer.env` > file > what the run
  directory keeps > default.
* What is not known is an error that names the nearest that is, and where it stood.
* `${NAME}` stays unexpanded until `resolve`; `$$` is a dollar sign. A secret is exactly `${NAME}`,
  or the secret itself. No secret is stored, shown by a `repr`, or part of a message.
* Nothing here reads `os.environ`: the environment comes in as an argument.

::

    load ──▶ Config ──unexpanded──▶ run directory ──from_stored──▶ Config ──resolve──▶ Resolved
"""

from batchinfer.config.comparing import differences
from batchinfer.config.env_files import env_file_of, merge_env, read_env_file
from batchinfer.config.loading import ENV_FILE, from_stored, load, stored_file
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
from batchinfer.config.template import DEFAULT_FILE, ENV_TEMPLATE, TEMPLATE
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
    "ENV_FILE",
    "ENV_TEMPLATE",
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
    "env_file_of",
    "from_stored",
    "load",
    "merge_env",
    "named_secrets",
    "parse_param",
    "read_env_file",
    "resolve",
    "resolve_contents",
    "split_param",
    "stored_file",
]
