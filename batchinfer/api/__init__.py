"""What the command line and Python do: jobs, runs as objects, reading of results.

The public part is re-exported by `batchinfer`, and documented in docs/reference/python.md.
"""

from batchinfer.lazy_exports import lazy_exports

__getattr__ = lazy_exports(__name__)
