"""The packs at work: the queries under the candidate's role, the examiner's check on a live shop."""

import re
import subprocess

import psycopg2

from lab.pack import FOLDER
from tests.conftest import LabDatabase, Shop

QUERIES = re.findall(r"```sql\n(.*?)```", (FOLDER / "candidate/DATABASE_QUERIES.md").read_text(), re.DOTALL)


def test_every_query_of_the_page_runs_under_the_candidates_role(lab_database: LabDatabase) -> None:
    connection = psycopg2.connect(lab_database.url("candidate").replace("+psycopg2", ""))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for query in QUERIES:
                cursor.execute(query)
    finally:
        connection.close()

    assert len(QUERIES) >= 20


def _check(shop: Shop, wanted: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FOLDER / "examiner/test-endpoints.sh", wanted],
        env={"PATH": "/usr/bin:/bin", "GATEWAY_URL": shop["gateway"].url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_check_finds_what_works_and_what_fails(shop: Shop) -> None:
    shop.start_all()
    dns = shop["dns"].client

    well, too_soon = _check(shop, "healthy"), _check(shop, "payment-dns")
    dns.post("/admin/failure-mode/record_missing").raise_for_status()
    broken, too_late = _check(shop, "payment-dns"), _check(shop, "healthy")

    assert well.returncode == 0, well.stdout
    assert too_soon.returncode == 1
    assert too_soon.stdout.count("WRONG, should be broken") == 2
    assert broken.returncode == 0, broken.stdout
    assert re.search(r"broken +POST /api/payment +6 of 6 bad +6x503", broken.stdout)
    assert too_late.returncode == 1
    assert "WRONG, should be well" in too_late.stdout
