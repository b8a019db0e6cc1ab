"""The scheduler of a run: feeds pending items to a backend and records what comes of them."""

from batchinfer.engine.collector import PollInterval
from batchinfer.engine.feeder import ReadPage
from batchinfer.engine.run_engine import Engine
from batchinfer.engine.run_policy import CheckSource, RunPolicy
from batchinfer.engine.service_pool import PooledService

__all__ = ["CheckSource", "Engine", "PollInterval", "PooledService", "ReadPage", "RunPolicy"]
