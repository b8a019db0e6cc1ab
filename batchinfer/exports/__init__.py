"""Exports: a run's results as files and folders that people and other programs read.

Items come in input order, one at a time in memory. A file or folder is written completely or not at
all. Text from outside can neither break a format nor become a spreadsheet formula. A new format is
one class (`export_format.py` says how); the libraries that a format needs are imported when it is
used.
"""

from batchinfer.lazy_exports import lazy_exports

__getattr__ = lazy_exports(__name__)
