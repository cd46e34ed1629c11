"""SQL as Postgres reads it: what is code, and what is only said."""

import pytest

from scenarios.statements import bare, conditions, run, single

ENDS = "pg_terminate_backend(7)"


@pytest.mark.parametrize(
    "statement",
    [
        f'SELECT 1 AS "--", {ENDS}',
        f'SELECT 1 AS "a""--", {ENDS}',
        f'SELECT 1 AS "\'", {ENDS}',
        f"SELECT 1 /* a /* b */ c */, {ENDS}",
        f"SELECT 1 --\r, {ENDS}",
        f"SELECT 1 AS a$$, {ENDS} AS b$$",
        f"SELECT $b$ $$ $b$, {ENDS}, $$ $$",
        f"SELECT name'\\', {ENDS}, '",
        f"SELECT E'a\\'', {ENDS}, E'\\''",
        f"SELECT E'a'\n'\\' , ', {ENDS}, ''",
        'SELECT "pg_terminate_backend"(7)',
    ],
)
def test_what_is_quoted_hides_nothing_that_stands_beside_it(statement: str) -> None:
    assert "pg_terminate_backend" in bare(statement)


@pytest.mark.parametrize(
    "statement",
    [
        f'SELECT 1 AS "{ENDS}"',
        f"SELECT 1 /* /* */ {ENDS} */",
        f"SELECT 1 /* {ENDS}",
        f"SELECT E'\\' {ENDS}'",
        f"SELECT $a$ $$ {ENDS} $$ $a$",
        f"SELECT 'it''s {ENDS}'",
    ],
)
def test_what_is_only_said_is_no_code(statement: str) -> None:
    assert "pg_terminate_backend" not in bare(statement)


def test_the_statements_of_a_text_end_with_its_semicolons_and_not_with_those_in_quotes() -> None:
    assert single("""SELECT ';' AS ";"; -- a; b\n; SELECT 2""") == ["""SELECT ';' AS ";\"""", " SELECT 2"]


def test_conditions_are_what_follows_where_on_and_when_each_on_its_own() -> None:
    statement = (
        "SELECT a AND b, CASE WHEN s.state = 'x and y' THEN 1 END FROM pg_stat_activity AS s"
        " JOIN pg_locks AS l ON l.pid = s.pid WHERE (s.usename = 'shop' OR granted) ORDER BY a AND b"
    )

    assert conditions(statement) == ["state = 'x and y'", "pid = s.pid", "usename = 'shop'", "granted)"]


def test_a_text_that_is_run_is_read_as_its_statements() -> None:
    found = run("SELECT 1; DO $$ BEGIN EXECUTE 'SELECT pg_sleep(1) WHERE a = ''b'''; END $$")

    assert [" ".join(one.split()) for one in found] == [
        "SELECT 1",
        "DO BEGIN EXECUTE SELECT pg_sleep(1) WHERE a = 'b'",
        "END",
    ]
