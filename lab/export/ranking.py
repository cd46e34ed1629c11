"""RCAEval's own methods on cases in its layout: ``python ranking.py CASE...`` prints what they say as JSON.

It runs under the interpreter of an environment that has RCAEval, and so imports nothing of ours.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

METHODS = ("baro", "nsigma")


def rankings(case: Path) -> dict[str, list[str]]:
    """The columns of a case, the most suspicious first, by method."""
    utility = importlib.import_module("RCAEval.utility")
    # RCAEval 1.8.1 offers these two on CPython 3.10, 3.12 and 3.14 alone, though they run on any.
    utility.is_py312 = lambda: True  # type: ignore[attr-defined]
    e2e = importlib.import_module("RCAEval.e2e")
    frame = utility.read_metrics(case)
    inject_time = int((case / "inject_time.txt").read_text(encoding="utf-8"))
    found: dict[str, Any] = {
        method: getattr(e2e, method)(frame.copy(), inject_time, dataset="lab")["ranks"] for method in METHODS
    }
    return {method: [str(column) for column in ranks] for method, ranks in found.items()}


if __name__ == "__main__":
    json.dump([rankings(Path(case)) for case in sys.argv[1:]], sys.stdout)
