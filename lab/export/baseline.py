"""What RCAEval's methods say about cases, next to chance.

A method ranks columns. The service of a column is suspected where its first column
stands, as RCAEval counts services. Chance is a ranking of the same columns drawn blindly:
a service with many columns comes early by luck alone.
"""

import importlib.util
import itertools
import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from embedded import ROOT
from embedded.errors import LabError
from lab.export import ranking
from lab.export.rcaeval import CASE

ENVIRONMENT = ROOT / ".venv-rca"
"""Where ``make rca`` puts RCAEval: it needs half a gigabyte that the lab does not."""
TOP = (1, 3)
TIMEOUT_S = 300


@dataclass(frozen=True)
class Answer:
    """What one method said about one case. ``place`` is the true service's, from 1; None: not ranked."""

    method: str
    services: Sequence[str]
    place: int | None
    chance: Mapping[int, float]
    """By k: how likely the true service is among the first k by chance."""


def ask(cases: Sequence[Path], *, python: Path | None = None) -> list[list[Answer]]:
    """The answers of each method for each case. Raises ``LabError`` where RCAEval fails or takes too long."""
    command = [str(python or interpreter()), str(ranking.__file__), *map(str, cases)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise LabError(
            f"RCAEval took longer than {TIMEOUT_S} s for {len(cases)} cases: ask for fewer at once"
        ) from error
    if done.returncode != 0:
        # Who is killed for want of memory has said nothing.
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise LabError(f"RCAEval failed: {said[-1]}")
    return [
        [answer(method, ranks, truth=_component(case)) for method, ranks in ranked.items()]
        for case, ranked in zip(cases, json.loads(done.stdout), strict=True)
    ]


def interpreter() -> Path:
    """The Python that has RCAEval. Raises ``LabError`` that says how to get one."""
    own = ENVIRONMENT / "bin" / "python"
    if own.exists():
        return own
    if importlib.util.find_spec("RCAEval"):
        return Path(sys.executable)
    raise LabError("RCAEval is not installed: `make rca` puts it into an environment of its own, .venv-rca")


def answer(method: str, ranks: Sequence[str], *, truth: str) -> Answer:
    """A ranking of columns as a ranking of services, held against the true one."""
    services = list(dict.fromkeys(_service(column) for column in ranks))
    columns = Counter(_service(column) for column in ranks)
    return Answer(
        method=method,
        services=services,
        place=services.index(truth) + 1 if truth in services else None,
        chance={k: chance_among_first(k, truth, columns) for k in TOP},
    )


def chance_among_first(k: int, service: str, columns: Mapping[str, int]) -> float:
    """How likely ``service`` is among the first ``k`` services of a blind ranking of ``columns`` (a number
    of columns by service).

    The next new service is drawn with a chance in proportion to its columns (Plackett-Luce).
    """
    others = [name for name in columns if name != service]
    if service not in columns:
        return 0.0
    missed = math.fsum(
        _chance_of_order(order, columns)
        for order in itertools.permutations(others, min(k, len(others)))
        if len(order) == k
    )
    return 1.0 - missed


def hits(answers: Sequence[Answer], *, k: int) -> float:
    """The share of answers with the true service among the first ``k``."""
    return sum(one.place is not None and one.place <= k for one in answers) / len(answers)


def _chance_of_order(order: Sequence[str], columns: Mapping[str, int]) -> float:
    left, chance = sum(columns.values()), 1.0
    for name in order:
        chance *= columns[name] / left
        left -= columns[name]
    return chance


def _service(column: str) -> str:
    return column.partition("_")[0]


def _component(case: Path) -> str:
    file = case / CASE
    if not file.exists():
        raise LabError(f"{case} is no case of `lab export --format rcaeval`: it has no {CASE}")
    return str(json.loads(file.read_text(encoding="utf-8"))["component"])
