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

from batchinfer.lazy_exports import lazy_exports

__getattr__ = lazy_exports(__name__)
