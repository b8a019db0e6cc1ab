"""The report of a run: one self-contained HTML file.

The run is read twice: the first pass counts everything, the second fetches the items that are
shown. Memory and the size of the file are bounded, whatever the length of the run. Text from
outside is escaped and truncated.
"""

from batchinfer.report.report_writer import DEFAULT_MAX_REPORT_BYTES, WrittenReport, write_report

__all__ = ["DEFAULT_MAX_REPORT_BYTES", "WrittenReport", "write_report"]
