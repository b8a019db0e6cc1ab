"""batchinfer: run a model over thousands of inputs, unattended, and trust what comes back.

::

    import batchinfer as bi

    run = bi.run("photos", "my-run", config="batchinfer.toml", progress=True)
    run.to_pandas()

Every public name is described in docs/reference/python.md.
"""

from batchinfer.lazy_exports import lazy_exports

__getattr__ = lazy_exports(__name__)
