"""The configuration: TOML, environment and flags are read into one frozen `Config`, which is
resolved into `RunSettings`.

* flag > `BATCHINFER_<SECTION>_<KEY>` > the same in `.batchinfer.env` > file > what the run
  directory stores > default.
* An unknown name is an error that suggests the nearest known one, and says where it was found.
* `${NAME}` stays unexpanded until the configuration is resolved; `$$` is a dollar sign. A secret is
  exactly `${NAME}`, or the secret itself. No secret is stored, shown by a `repr`, or part of a
  message.
* Nothing here reads `os.environ`: the environment is an argument.

::

    load_config ──▶ Config ──to_stored_tables──▶ run directory
                      │                               │
                      │      Config ◀──load_stored_config
                      └──────────┴──resolve_run_settings──▶ RunSettings
"""  # noqa: D205 - one thought

from batchinfer.config.diff import find_differences
from batchinfer.config.env_files import get_env_file_path, merge_env, read_env_file
from batchinfer.config.loader import ENV_FILE_FLAG, get_stored_path, load_config, load_stored_config
from batchinfer.config.run_settings import (
    BucketSettings,
    PayloadSettings,
    RunSettings,
    ServiceSettings,
)
from batchinfer.config.sections import (
    BucketSection,
    Config,
    InputSection,
    RunSection,
    ServiceSection,
)
from batchinfer.config.settings_resolver import (
    collect_named_secrets,
    resolve_payload_settings,
    resolve_run_settings,
)
from batchinfer.config.template import CONFIG_TEMPLATE, DEFAULT_CONFIG_FILE, ENV_FILE_TEMPLATE
from batchinfer.config.value_parsers import (
    Concurrency,
    MaxFailures,
    Percent,
    Secret,
    parse_param_argument,
    split_param_argument,
)

__all__ = [
    "CONFIG_TEMPLATE",
    "DEFAULT_CONFIG_FILE",
    "ENV_FILE_FLAG",
    "ENV_FILE_TEMPLATE",
    "BucketSection",
    "BucketSettings",
    "Concurrency",
    "Config",
    "InputSection",
    "MaxFailures",
    "PayloadSettings",
    "Percent",
    "RunSection",
    "RunSettings",
    "Secret",
    "ServiceSection",
    "ServiceSettings",
    "collect_named_secrets",
    "find_differences",
    "get_env_file_path",
    "get_stored_path",
    "load_config",
    "load_stored_config",
    "merge_env",
    "parse_param_argument",
    "read_env_file",
    "resolve_payload_settings",
    "resolve_run_settings",
    "split_param_argument",
]
