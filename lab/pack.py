"""``lab pack``: what of the exam's packs is made from the scenarios and the rubric, so as not to drift."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import JsonValue

from embedded import ROOT
from lab.scenario import known_scenarios
from scenarios.model import Scenario, Step
from scenarios.oracle import all_routes
from scenarios.steps import FRAUD
from scenarios.vocabulary import MECHANISMS, TRIGGERS
from services.common.catalog import DEPENDS_ON, service
from services.exam.diagnosis import COMPONENTS
from services.exam.grading import rubric
from services.exam.grading.response import gravest

FOLDER = ROOT / "exam"
FILES: Mapping[str, str] = {
    "candidate/README.md": "candidate-README.md.j2",
    "candidate/diagnosis.yaml": "diagnosis.yaml.j2",
    "examiner/SOLUTION.md": "SOLUTION.md.j2",
    "examiner/EXAMINER_GUIDE.md": "EXAMINER_GUIDE.md.j2",
    "examiner/HINTS.md": "HINTS.md.j2",
    "examiner/test-endpoints.sh": "test-endpoints.sh.j2",
}
"""What is made, and from which template."""
GENERATED = "Made by `lab pack` from the scenarios and the rubric; change those, not this."


def rendered() -> dict[str, str]:
    """The text of each file, by its place under ``exam/``. Raises ``LabError`` for a bad scenario."""
    templates = Environment(  # noqa: S701 (Markdown, YAML and shell, all of it ours)
        loader=FileSystemLoader(FOLDER / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    scenarios = list(known_scenarios().values())
    facts = {
        "generated": f"<!-- {GENERATED} -->",
        "generated_yaml": f"# {GENERATED}",
        "scenarios": scenarios,
        "all_routes": all_routes(scenarios),
        "rubric": rubric.load(),
        "total": rubric.TOTAL,
        "components": COMPONENTS,
        "mechanisms": MECHANISMS,
        "triggers": TRIGGERS,
        "depends_on": DEPENDS_ON,
        "gateway_port": service("gateway").port,
        "severity": gravest,
        "first_page": _first_page,
        "words": words,
        "fraud": FRAUD,
    }
    return {place: templates.get_template(template).render(facts) for place, template in FILES.items()}


def write(folder: Path = FOLDER) -> list[str]:
    """Write the files that differ; their places."""
    changed = stale(folder)
    texts = rendered()
    for place in changed:
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(texts[place], encoding="utf-8")
        if file.suffix == ".sh":
            file.chmod(0o755)
    return changed


def stale(folder: Path = FOLDER) -> list[str]:
    """The places of files that are not as they would be made now."""
    return [place for place, text in rendered().items() if _read(folder / place) != text]


def words(step: Step) -> str:
    """A step of a mitigation as somebody would type it; ``ADDRESS`` where the lab says which."""
    if step.ops is not None:
        changes = " ".join(shlex.quote(f"{name}={_typed(value)}") for name, value in (step.set or {}).items())
        return f"lab ops set {step.ops} {changes}"
    if step.record is not None:
        ttl = f" --ttl-s {step.ttl_s}" if step.ttl_s is not None else ""
        address = "ADDRESS" if step.address == FRAUD else step.address
        return f"lab ops record {step.record} {address}{ttl}"
    if step.sql is not None:
        return f'lab psql -c "{" ".join(step.sql.split())}"'
    return f"(wait {step.wait_s:g} s)"


def _typed(value: JsonValue) -> str:
    """A setting's value as the command line takes it: words as they are, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _first_page(scenario: Scenario) -> str:
    """By when the first page must be there; a dash where there is none."""
    pages = [alert.within_s for alert in scenario.expected_alerts if alert.severity in ("critical", "high")]
    return f"{min(pages):g} s" if pages else "–"


def _read(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None
