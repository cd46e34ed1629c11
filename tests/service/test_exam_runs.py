"""Runs of the exam on a real shop: from the start to the grade, through pauses and kills."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from tests.conftest import LabDatabase, Shop
from tests.exam import TOKEN, Exam, Sitting, quiet_surroundings

DIAGNOSIS = {"component": "dns", "mechanism": "record-missing", "affected": ["POST /api/payment"]}
OPEN_HOLD = text(
    "INSERT INTO exam.phases (scenario, phase, started_at, seed) VALUES ('payment-dns', 'hold', now(), 1)"
)
RENAME = text("UPDATE exam.runs SET scenario = 'payment-names'")
END_PHASES = text("UPDATE exam.phases SET ended_at = now()")


@pytest.fixture
def exam(shop: Shop, tmp_path: Path) -> Iterator[Exam]:
    """The whole shop with incident-management and the exam, which looks and probes often."""
    with quiet_surroundings() as url:
        shop.environment |= {
            **TOKEN,
            "PROMETHEUS_URL": url,
            "TRAFFIC_GENERATOR_URL": url,
            "EXAM_TICK_S": "0.1",
            "EXAM_PROBE_EVERY_S": "0.3",
            "EXAM_ROUNDS": "1",
        }
        shop.start_all()
        shop.start("incident-management", "exam")
        yield Exam(shop["exam"].url)


@pytest.fixture
def bare_exam(shop: Shop) -> Exam:
    """The exam alone: runs can be made, and begin never."""
    return Exam(shop.start("exam", **TOKEN).url)


def mode_of(shop: Shop, service: str) -> str:
    return str(shop[service].client.get("/admin/failure-mode").json()["failure_mode"])


def injected(sitting: Sitting) -> Sitting:
    sitting.wait_until(lambda run: run["injected_at"])
    return sitting


def test_a_run_goes_from_its_start_over_the_fault_to_a_grade_and_leaves_the_shop_as_it_was(
    shop: Shop, exam: Exam, tmp_path: Path
) -> None:
    sitting = injected(exam.begin("payment-dns"))
    assert shop["dns"].client.get("/ops/records/fraud-api").status_code == 404

    sitting.my("POST", "acknowledge").raise_for_status()
    sitting.my("POST", "updates", text="Payments fail; looking.").raise_for_status()
    hint = sitting.my("POST", "hints").json()
    assert shop.database is not None
    with shop.database.connect() as candidate, candidate.cursor() as cursor:
        cursor.execute("SELECT status FROM payment.transactions LIMIT 1")
    shop["dns"].client.put("/ops/records/fraud-api", json={"address": "127.0.0.1"}).raise_for_status()
    sitting.my("POST", "submissions", diagnosis={"component": "gateway"}, draft=True).raise_for_status()
    assert sitting.run()["state"] == "running"
    query = {"kind": "query", "ref": "select status from payment.transactions limit 1;"}
    sent = {"diagnosis": {**DIAGNOSIS, "evidence": [query]}}
    made = sitting.my("POST", "submissions", **sent).json()

    run = sitting.wait_until(lambda run: run["state"] == "graded")
    journal = sitting.read("journal")
    assert (hint["number"], made["number"], run["ended_by"]) == (1, 2, "submitted")
    assert run["points"] > 0
    assert [one["diagnosis"]["component"] for one in journal["submissions"]] == ["gateway", "dns"]
    assert mode_of(shop, "dns") == "none"
    wanted = ["run.created", "baseline.checked", "run.started", "fault.injected", "page.acknowledged"]
    wanted += ["update.posted", "hint.taken", "sql.run", "record.changed", "submission.made", "run.ended"]
    kinds = [event["kind"] for event in journal["events"]]
    assert list(dict.fromkeys(kind for kind in kinds if kind in wanted)) == wanted
    assert [one["exists"] for one in journal["evidence"]] == [True]
    assert journal["settings"]["payment"]["fraud_policy"] == "enforce"
    assert {probe["affected"] for probe in journal["probes"]} == {True, False}
    [reverted] = [event for event in journal["events"] if event["kind"] == "fault.reverted"]
    assert reverted["detail"] == {"left": []}
    assert (tmp_path / "reports" / f"{sitting.id}.html").exists()


def test_the_same_journal_is_graded_the_same_again(exam: Exam) -> None:
    sitting = exam.begin("quiet-night")
    sitting.my("POST", "submissions", diagnosis={"component": "none"})
    run = sitting.wait_until(lambda run: run["state"] == "graded")

    again = sitting.steer("grade").json()

    assert again["points"] == run["points"]
    assert again == sitting.read("report.json")["score"]


def test_when_time_is_up_the_run_ends_and_nothing_more_can_be_handed_in(shop: Shop, exam: Exam) -> None:
    sitting = exam.begin("payment-dns", minutes=0.05)

    run = sitting.wait_until(lambda run: run["state"] == "graded")

    assert run["ended_by"] == "time_up"
    assert sitting.my("POST", "submissions", diagnosis=DIAGNOSIS).status_code == 409
    assert mode_of(shop, "dns") == "none"


def test_a_pause_stops_the_clock_and_the_candidate_and_leaves_the_fault(shop: Shop, exam: Exam) -> None:
    sitting = injected(exam.begin("payment-dns", minutes=0.2))
    sitting.steer("pause")
    left_s = sitting.run()["left_s"]

    assert sitting.my("POST", "updates", text="hello").status_code == 409
    assert sitting.my("GET", "time").json()["is_paused"]
    assert mode_of(shop, "dns") == "record_missing"
    assert sitting.run()["left_s"] == left_s

    sitting.steer("resume")
    assert sitting.steer("extend", minutes=10).json()["left_s"] > 600
    assert sitting.my("POST", "updates", text="hello").status_code == 201


def test_an_aborted_run_is_not_graded_and_what_it_broke_is_put_back(shop: Shop, exam: Exam) -> None:
    sitting = injected(exam.begin("payment-dns"))

    sitting.steer("abort")

    run = sitting.wait_until(lambda run: run["state"] == "aborted")
    assert run["points"] is None
    assert mode_of(shop, "dns") == "none"
    assert exam.begin("quiet-night").run()["state"] in ("soaking", "running")


def test_a_run_that_is_being_graded_can_still_be_aborted(shop: Shop, exam: Exam) -> None:
    sitting = injected(exam.begin("payment-dns"))
    shop["dns"].process.kill()
    sitting.my("POST", "submissions", diagnosis={"component": "dns"})
    sitting.wait_until(lambda run: run["state"] == "grading")

    assert sitting.steer("abort").status_code == 200
    shop.restart("dns")

    run = sitting.wait_until(lambda run: run["state"] == "aborted", within_s=90)
    assert (run["ended_by"], run["points"]) == ("aborted", None)


def test_a_run_whose_scenario_is_gone_can_be_aborted_and_leaves_the_lab_to_the_next(
    shop: Shop, exam: Exam
) -> None:
    sitting = injected(exam.begin("payment-dns"))
    assert shop.database is not None
    with shop.database.engine("examiner").begin() as db:
        db.execute(RENAME)
    sitting.wait_until(lambda run: run["trouble"] and "payment-names is gone" in run["trouble"])
    refused = [sitting.my("GET", "brief"), sitting.my("GET", "hints")]
    assert [answer.status_code for answer in refused] == [409, 409]
    assert all("is gone" in answer.text and "payment" not in answer.text for answer in refused)

    sitting.steer("abort")

    sitting.wait_until(lambda run: run["state"] == "aborted")
    assert mode_of(shop, "dns") == "none"
    assert exam.begin("quiet-night").run()["state"] in ("soaking", "running")


def test_a_killed_exam_goes_on_where_it_was(shop: Shop, exam: Exam) -> None:
    soaking = exam.begin("payment-dns", soak_s=3)
    shop.restart("exam")
    injected(soaking)
    before = soaking.run()
    shop.restart("exam")
    soaking.my("POST", "submissions", diagnosis=DIAGNOSIS).raise_for_status()
    shop.restart("exam")

    after = soaking.wait_until(lambda run: run["state"] == "graded")

    kinds = [event["kind"] for event in soaking.read("journal")["events"]]
    assert after["injected_at"] == before["injected_at"]
    assert [kinds.count(one) for one in ("run.started", "fault.injected", "fault.reverted")] == [1, 1, 1]
    assert mode_of(shop, "dns") == "none"


def test_a_service_that_restarts_in_a_run_stays_broken(
    shop: Shop, exam: Exam, eventually: Callable[[Callable[[], object]], None]
) -> None:
    injected(exam.begin("inventory-timeout"))

    shop.restart("inventory")

    eventually(lambda: mode_of(shop, "inventory") == "lock_held")


def test_one_run_at_a_time_has_the_lab(bare_exam: Exam) -> None:
    bare_exam.create("quiet-night").steer("start").raise_for_status()
    second = bare_exam.create("quiet-night")

    refused = second.steer("start")

    assert refused.status_code == 409
    assert "another run has the lab" in refused.json()["detail"]


def test_a_run_waits_for_the_schedule_to_end_its_phase_also_over_a_kill(shop: Shop, exam: Exam) -> None:
    assert shop.database is not None
    with shop.database.engine("examiner").begin() as db:
        db.execute(OPEN_HOLD)
    sitting = exam.create("quiet-night")
    sitting.steer("start")
    sitting.wait_until(lambda run: run["trouble"] and "schedule" in run["trouble"])
    shop.restart("exam")

    with shop.database.engine("examiner").begin() as db:
        db.execute(END_PHASES)

    assert sitting.wait_until(lambda run: run["started_at"])["trouble"] is None


def test_only_the_examiner_steers_and_only_the_candidate_of_a_run_works_in_it(bare_exam: Exam) -> None:
    sitting = bare_exam.create("quiet-night")

    def status(method: str, path: str, token: str | None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.request(
            method, f"{bare_exam.url}/api/v1{path}", headers=headers, trust_env=False
        ).status_code

    examiners = [
        ("GET", "/runs"),
        ("POST", f"/runs/{sitting.id}/abort"),
        ("GET", f"/runs/{sitting.id}/timeline"),
    ]
    assert {status(*route, token) for route in examiners for token in (sitting.token, None)} == {403}
    assert {status("GET", "/my/brief", token) for token in (TOKEN["EXAMINER_TOKEN"], None)} == {403}
    assert {status("GET", "/my/brief", f"cand-{n}") for n in range(30)} == {403, 429}
    assert status("GET", "/my/brief", sitting.token) == 200


def test_a_diagnosis_with_an_unknown_word_is_refused_with_the_words_that_there_are(bare_exam: Exam) -> None:
    sitting = bare_exam.create("quiet-night")

    refused = sitting.my("POST", "submissions", diagnosis={"mechanism": "gremlins"})

    assert refused.status_code == 422
    assert "record-missing" in refused.text


def test_a_route_that_postgres_cannot_keep_is_refused(bare_exam: Exam) -> None:
    sitting = bare_exam.create("quiet-night")

    assert sitting.my("POST", "submissions", diagnosis={"affected": ["GET /\x00"]}).status_code == 422


def test_a_random_run_draws_its_scenario_by_the_seed(bare_exam: Exam) -> None:
    drawn = [bare_exam.create("random", seed=seed).run()["scenario"] for seed in (1, 1, *range(2, 12))]

    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 2


def test_runs_are_listed_newest_first_a_page_at_a_time(bare_exam: Exam) -> None:
    older, newer = bare_exam.create("quiet-night"), bare_exam.create("quiet-night")

    first = bare_exam.ask("GET", "/runs", params={"limit": 1}).json()
    last = bare_exam.ask("GET", "/runs", params={"limit": 1, "offset": first["next_offset"]}).json()

    assert (first["items"], last["items"]) == ([newer.run()], [older.run()])
    assert last["next_offset"] is None


def test_a_blind_run_needs_a_blind_lab(bare_exam: Exam) -> None:
    refused = bare_exam.create("quiet-night", open=False).steer("start")

    assert refused.status_code == 409
    assert "LAB_BLIND=true" in refused.json()["detail"]


@contextmanager
def passwords(database: LabDatabase, given: dict[str, str]) -> Iterator[None]:
    """These are the passwords of roles, which the whole server has, until the end of the block."""
    before = {role: role for role in given} | {"postgres": make_url(database.admin_url).password}
    with closing(database.connect("postgres")) as session, session.cursor() as cursor:
        try:
            for role, password in given.items():
                cursor.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
            yield
        finally:
            for role in given:
                cursor.execute(f"ALTER ROLE {role} PASSWORD '{before[role]}'")


def blind_exam(shop: Shop, **environment: str) -> Exam:
    blind = {**TOKEN, "LAB_BLIND": "true", "LAB_ADMIN_TOKEN": "the-lab's-own"}
    return Exam(shop.start("exam", **blind, **environment).url)


def test_a_blind_run_names_everybody_whose_password_is_known(shop: Shop) -> None:
    refused = blind_exam(shop).create("quiet-night", open=False).steer("start")

    assert refused.status_code == 409
    assert "the database password of examiner, shop, platform, and" in refused.json()["detail"]


@pytest.mark.parametrize("known", ["shop", "platform", "postgres"])
def test_a_blind_run_needs_more_than_an_examiner_whose_password_nobody_knows(
    shop: Shop, lab_database: LabDatabase, known: str
) -> None:
    url = lab_database.url("examiner").replace("examiner:examiner@", "examiner:of-the-lab@")
    own = dict.fromkeys(("examiner", "shop", "platform"), "of-the-lab")
    with passwords(lab_database, own | {known: known}):
        refused = blind_exam(shop, DATABASE_URL=url).create("quiet-night", open=False).steer("start")

    assert refused.status_code == 409
    assert f"the database password of {known}, and" in refused.json()["detail"]


def test_a_blind_run_does_not_start_where_nobody_can_say_whether_a_password_is_known(
    shop: Shop, lab_database: LabDatabase
) -> None:
    url = lab_database.url("examiner").replace("examiner:examiner@", "examiner:of-the-lab@")
    own = dict.fromkeys(("examiner", "shop"), "of-the-lab")
    with passwords(lab_database, own), closing(lab_database.connect("postgres")) as session:
        # With the right password as with a wrong one the server has no room.
        session.cursor().execute("ALTER ROLE platform CONNECTION LIMIT 0")
        try:
            refused = blind_exam(shop, DATABASE_URL=url).create("quiet-night", open=False).steer("start")
        finally:
            session.cursor().execute("ALTER ROLE platform CONNECTION LIMIT -1")

    assert refused.status_code == 503
    assert "whether everybody knows platform's password" in refused.json()["detail"]


def test_a_blind_run_starts_where_every_password_is_the_labs_own(
    shop: Shop, lab_database: LabDatabase
) -> None:
    url = lab_database.url("examiner").replace("examiner:examiner@", "examiner:of-the-lab@")
    with passwords(lab_database, dict.fromkeys(("examiner", "shop", "platform"), "of-the-lab")):
        started = blind_exam(shop, DATABASE_URL=url).create("quiet-night", open=False).steer("start")

    assert (started.status_code, started.json()["state"]) == (200, "waiting")


def test_nothing_that_a_candidate_may_ask_names_the_scenario_or_its_mode(shop: Shop, exam: Exam) -> None:
    sitting = injected(exam.begin("payment-dns"))
    seen = [sitting.my("GET", path).text for path in ("time", "hints", "submissions")]
    seen += [shop["exam"].client.get("/metrics").text, shop["exam"].log.read_text()]
    brief = sitting.my("GET", "brief").json()

    leaks = [word for word in ("payment-dns", "record_missing", "soaking") if word in "".join(seen)]

    assert leaks == []
    assert "payment-dns" not in str(brief)
    assert (brief["state"], "scenario" in brief) == ("running", False)
