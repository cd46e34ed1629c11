"""The exam's packs: as the scenarios have them, complete, and without the answer in the candidate's hands."""

import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from lab.pack import FILES, FOLDER, rendered, stale
from scenarios.model import Scenario, load_all
from services.exam.diagnosis import Diagnosis

SCENARIOS = load_all()
MADE = rendered()
CANDIDATES = sorted(file for file in (FOLDER / "candidate").rglob("*") if file.is_file())


def test_the_packs_are_as_the_scenarios_and_the_rubric_have_them() -> None:
    assert stale() == [], "run `lab pack`"


def test_a_changed_file_is_found(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "exam")
    (tmp_path / "exam/examiner/HINTS.md").write_text("stale")

    assert stale(tmp_path / "exam") == ["examiner/HINTS.md"]


@pytest.mark.parametrize("file", CANDIDATES, ids=lambda file: file.name)
def test_no_file_of_the_candidate_names_a_scenario_or_tells_of_one(file: Path) -> None:
    text = " ".join(file.read_text().split())

    told = [word for one in SCENARIOS.values() for word in _secrets(one) if word in text]

    assert told == []


def _secrets(scenario: Scenario) -> list[str]:
    """What only an examiner's file may say of a scenario."""
    spoken = [scenario.title, scenario.truth.explained, scenario.debrief, *scenario.strong_path]
    hints = [hint.text for hint in scenario.hints]
    modes = [fault.mode for fault in scenario.faults if fault.mode != "none"]
    # Names that are also a mechanism's code are published, and say nothing of which it is.
    names = [scenario.name] if scenario.name not in MADE["candidate/diagnosis.yaml"] else []
    return [" ".join(text.split()) for text in (*spoken, *hints, *modes, *names)]


def test_the_diagnosis_form_is_a_blank_diagnosis() -> None:
    form = yaml.safe_load((FOLDER / "candidate/diagnosis.yaml").read_text())

    assert set(form) == set(Diagnosis.model_fields)
    assert Diagnosis.model_validate(form) == Diagnosis()


def test_the_form_offers_every_route_of_every_scenario() -> None:
    offered = (FOLDER / "candidate/diagnosis.yaml").read_text()

    routes = {route for one in SCENARIOS.values() for route in (*one.truth.affected, *one.truth.not_affected)}

    assert [route for route in sorted(routes) if route not in offered] == []


def test_what_the_candidate_reads_of_the_rubric_has_its_figures() -> None:
    text = (FOLDER / "candidate/README.md").read_text()

    assert "Full points within 3 minutes of the fault, none from 15 minutes on" in text
    assert not re.search(r"\{\w+", text.replace("{customer_id}", ""))


def test_every_scenario_is_in_every_file_of_the_examiner() -> None:
    made = {place: text for place, text in MADE.items() if place.startswith("examiner/")}

    assert [(place, name) for place, text in made.items() for name in SCENARIOS if name not in text] == []
    assert len(made) == len(FILES) - 2


def test_a_solution_says_where_to_find_an_address_that_not_every_lab_has() -> None:
    lines = MADE["examiner/SOLUTION.md"].splitlines()

    where = [after for line, after in pairwise(lines) if line == "  `lab ops record fraud-api ADDRESS`"]

    told = "  (ADDRESS is what `lab dig fraud-api` answered while all was well: 127.0.0.1 without Docker)"
    assert where == [told, told]


def test_the_check_script_says_how_it_is_used() -> None:
    script = FOLDER / "examiner/test-endpoints.sh"

    asked = subprocess.run([script, "no-such-scenario"], capture_output=True, text=True, check=False)

    assert asked.returncode == 2
    assert all(name in asked.stderr for name in SCENARIOS)


@pytest.mark.parametrize("requests", ["0", "six", "-1"])
def test_the_check_script_finds_nothing_well_without_a_request(requests: str) -> None:
    script = FOLDER / "examiner/test-endpoints.sh"

    asked = subprocess.run([script, "quiet-night", requests], capture_output=True, text=True, check=False)

    assert asked.returncode == 2, asked.stdout


def test_the_check_script_finds_nothing_well_where_it_cannot_ask(tmp_path: Path) -> None:
    for program in ("awk", "date", "sort", "tr"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    script = FOLDER / "examiner/test-endpoints.sh"

    asked = subprocess.run(
        [script, "healthy"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )

    assert asked.returncode == 2, asked.stdout
    assert "needs curl" in asked.stderr


def test_the_check_script_judges_no_shop_that_does_not_answer() -> None:
    script = FOLDER / "examiner/test-endpoints.sh"
    # Where nothing listens.
    environment = {**os.environ, "GATEWAY_URL": "http://127.86.99.11:8010"}

    asked = subprocess.run(
        [script, "payment-dns"], env=environment, capture_output=True, text=True, check=False
    )

    assert (asked.returncode, asked.stdout) == (2, "")
    assert "is the lab up?" in asked.stderr


def test_the_check_script_knows_a_request_for_every_route() -> None:
    script = MADE["examiner/test-endpoints.sh"]

    routes = {route for one in SCENARIOS.values() for route in (*one.truth.affected, *one.truth.not_affected)}

    assert [route for route in sorted(routes) if f"    '{route}')" not in script] == []
