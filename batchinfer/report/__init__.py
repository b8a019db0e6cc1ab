"""The page people look at: one file, complete in itself, of a bounded size.

Rules of the room: two passes over the run (one that counts everything, one that fetches the items
the page shows), and memory does not know how long the run is; nothing from outside reaches the page
but escaped, cut and with its control characters spelled out (`texts`); the page asks nothing of any
network, and its policy forbids it to; the file never gets larger than was allowed.
"""

from batchinfer.report.report_writer import DEFAULT_MAX_REPORT_BYTES, WrittenReport, write_report

__all__ = ["DEFAULT_MAX_REPORT_BYTES", "WrittenReport", "write_report"]
