"""Two runs beside each other: what became of each item, and of each thing that was found in it.

Both runs are read once, in the order of their keys; memory does not depend on their length.
"""

from batchinfer.comparison.comparison_page import write_comparison_page
from batchinfer.comparison.comparison_summary import ComparedRun, Comparison, WorstItem
from batchinfer.comparison.comparison_table import ComparisonTable
from batchinfer.comparison.finding_matches import DEFAULT_MIN_OVERLAP
from batchinfer.comparison.item_differences import (
    DEFAULT_TOLERANCE,
    Aspect,
    ComparisonRules,
    ItemChange,
    ItemDifference,
    ItemPair,
    compare_pair,
)
from batchinfer.comparison.item_pairs import iter_item_pairs

__all__ = [
    "DEFAULT_MIN_OVERLAP",
    "DEFAULT_TOLERANCE",
    "Aspect",
    "ComparedRun",
    "Comparison",
    "ComparisonRules",
    "ComparisonTable",
    "ItemChange",
    "ItemDifference",
    "ItemPair",
    "WorstItem",
    "compare_pair",
    "iter_item_pairs",
    "write_comparison_page",
]
