"""`batchinfer check`: everything that can be seen before anything is sent."""

from batchinfer.lazy_exports import lazy_exports

__getattr__ = lazy_exports(__name__)
