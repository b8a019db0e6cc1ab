"""What tests of programs that use batchinfer may import."""

from batchinfer.store.memory import TEST_RUN_INFO, MemoryStore

__all__ = ["TEST_RUN_INFO", "MemoryStore"]
