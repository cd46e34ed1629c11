"""From a score to a report: one HTML file, one JSON file, and several runs side by side."""

from services.exam.report.compare import Graded, compare_html, compare_table
from services.exam.report.document import as_html, as_json

__all__ = ["Graded", "as_html", "as_json", "compare_html", "compare_table"]
