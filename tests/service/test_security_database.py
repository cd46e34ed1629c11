"""The database roles, tried out: what the person on call can do, and what nobody can do with their role."""

from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2 import errors

import database
from tests.conftest import LabDatabase

INDEX = "CREATE INDEX ON profile.users (profile.lookup_key(email))"

# Postgres has no rule of its own against most of these: the role is a member of the tables' owner.
REFUSED = [
    # rows
    "INSERT INTO profile.users VALUES (2000, 'a', 'b', 'c', 'd')",
    "UPDATE profile.users SET name = 'x'",
    "UPDATE payment.customers SET trusted = true WHERE false",
    "DELETE FROM payment.acquirers",
    "TRUNCATE profile.users",
    "MERGE INTO profile.users u USING (SELECT 1 AS id) s ON u.id = s.id WHEN MATCHED THEN DELETE",
    "WITH w AS (UPDATE payment.account_balances SET balance = 0 RETURNING 1) SELECT * FROM w",
    "DO $$BEGIN UPDATE profile.users SET name = 'x'; END$$",
    "EXPLAIN ANALYZE UPDATE inventory.stock SET available = 0",
    "INSERT INTO ops.settings (service, name, value) VALUES ('profile', 'cache', 'true')",
    "DELETE FROM ops.setting_changes",
    "COPY profile.users FROM PROGRAM 'id'",
    "SELECT setval('payment.customers_id_seq', 1)",
    "SELECT nextval('payment.customers_id_seq')",
    "UPDATE incident.incidents SET status = 'resolved'",
    # the schema
    "DROP TABLE profile.users",
    "DROP TABLE payment.webhook_events CASCADE",
    "DO $$BEGIN EXECUTE 'DROP TABLE profile.users'; END$$",
    "DROP SCHEMA profile CASCADE",
    "ALTER TABLE profile.users ADD COLUMN x int",
    "ALTER TABLE profile.users OWNER TO candidate",
    "ALTER TABLE profile.users RENAME TO elsewhere",
    "ALTER SCHEMA profile OWNER TO candidate",
    "ALTER INDEX profile.users_pkey RENAME TO elsewhere",
    "CREATE TABLE profile.mine (x int)",
    "CREATE TEMP TABLE mine (x int)",
    "CREATE TABLE profile.mine AS SELECT 1",
    "SELECT 1 AS x INTO profile.mine",
    "CREATE VIEW profile.mine AS SELECT 1",
    "CREATE SCHEMA mine",
    "COMMENT ON TABLE profile.users IS 'x'",
    "CREATE INDEX ON incident.incidents (title)",
    "CREATE INDEX ON exam.phases (seed)",
    "DROP INDEX incident.incidents_newest",
    # the guard itself
    "ALTER TABLE profile.users DISABLE TRIGGER ALL",
    "ALTER TABLE profile.users DISABLE TRIGGER candidate_writes",
    "DROP TRIGGER candidate_writes ON profile.users",
    "DROP FUNCTION guard.refuse_writing() CASCADE",
    "DROP EVENT TRIGGER candidate_ddl",
    "ALTER EVENT TRIGGER candidate_ddl DISABLE",
    "SET session_replication_role = replica",
    "SET event_triggers = off",
    "CREATE RULE r AS ON UPDATE TO profile.users DO INSTEAD NOTHING",
    "CREATE TRIGGER t AFTER INSERT ON profile.users EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "ALTER TABLE profile.users ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY p ON profile.users USING (false)",
    # code that would run as somebody else, or in another's statements
    "CREATE OR REPLACE FUNCTION profile.lookup_key(email text) RETURNS text LANGUAGE sql AS 'select email'",
    "CREATE FUNCTION profile.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'select 1'",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'select 1'",
    "DROP FUNCTION profile.lookup_key(text)",
    "CREATE OPERATOR profile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
    "CREATE EXTENSION dblink",
    "CREATE EXTENSION postgres_fdw",
    # roles
    "SET ROLE shop",
    "SET ROLE examiner",
    "SET SESSION AUTHORIZATION shop",
    "CREATE ROLE mine",
    "GRANT ALL ON profile.users TO PUBLIC",
    "GRANT ALL ON SCHEMA profile TO observer",
    "GRANT shop TO observer",
    "GRANT shop TO candidate WITH SET TRUE",
    "GRANT examiner TO candidate",
    "ALTER DEFAULT PRIVILEGES FOR ROLE shop GRANT ALL ON TABLES TO candidate",
    "REASSIGN OWNED BY shop TO candidate",
    "DROP OWNED BY shop",
    "ALTER ROLE shop PASSWORD 'x'",
    "ALTER ROLE shop NOLOGIN",
    "ALTER ROLE candidate SUPERUSER",
    "ALTER ROLE candidate CONNECTION LIMIT 1000",
    # the server
    "EXPLAIN ANALYZE CREATE TEMP TABLE mine AS SELECT 1",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SET temp_file_limit = -1",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "COPY profile.users TO '/tmp/users'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "ALTER SYSTEM SET log_statement = 'all'",
    "SELECT pg_reload_conf()",
    "SELECT pg_stat_reset()",
    # the truth, and other people's sessions
    "SELECT * FROM exam.phases",
    "COPY exam.phases TO STDOUT",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres' AND datid > 0",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'examiner'",
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE usename = 'platform'",
]

ALLOWED = [
    "SELECT * FROM profile.users",
    "SELECT * FROM ops.settings",
    "SELECT * FROM incident.incidents",
    "SELECT * FROM oncall.escalations",
    "SELECT * FROM notification.deliveries",
    "EXPLAIN ANALYZE SELECT * FROM profile.users WHERE profile.lookup_key(email) = 'ada@shop.test'",
    "ANALYZE profile.users",
    INDEX,
    "CREATE INDEX CONCURRENTLY of_plan ON profile.users (plan)",
    "DROP INDEX CONCURRENTLY profile.of_plan",
    "DROP INDEX profile.users_lookup_key_idx",
    "CREATE INDEX of_status ON payment.transactions (status)",
    "DROP INDEX payment.of_status",
    "DROP INDEX payment.transactions_created_at",
]


@pytest.fixture(scope="module")
def standing_database(standing_database: LabDatabase) -> LabDatabase:
    """With the rights on the database itself, which a copy of the template has not."""
    database.apply(standing_database.admin_url, passwords={})
    return standing_database


@pytest.fixture(scope="module")
def others(standing_database: LabDatabase) -> Iterator[None]:
    """A session of every other role, each with a statement of its own behind it."""
    sessions = [
        standing_database.connect(role) for role in ("shop", "platform", "examiner", "observer", "postgres")
    ]
    for session in sessions:
        with session.cursor() as cursor:
            cursor.execute("SELECT 'what this session asked'")
    yield
    for session in sessions:
        session.close()


@pytest.mark.parametrize("statement", REFUSED)
@pytest.mark.usefixtures("others")
def test_the_candidate_is_refused(standing_database: LabDatabase, statement: str) -> None:
    session = standing_database.connect("candidate")

    with session.cursor() as cursor, pytest.raises(errors.InsufficientPrivilege):
        cursor.execute(statement)

    session.close()


@pytest.mark.parametrize("index", ["payment.transactions_pkey", "profile.users_email_key CASCADE"])
def test_the_index_of_a_constraint_stays(standing_database: LabDatabase, index: str) -> None:
    session = standing_database.connect("candidate")

    with session.cursor() as cursor, pytest.raises(errors.DependentObjectsStillExist):
        cursor.execute(f"DROP INDEX {index}")

    session.close()


def test_the_candidate_does_its_job(lab_database: LabDatabase) -> None:
    session = lab_database.connect("candidate")

    with session.cursor() as cursor:
        for statement in ALLOWED:
            cursor.execute(statement)

    session.close()


@pytest.mark.usefixtures("others")
def test_the_candidate_sees_the_shops_statements_and_nobody_elses(standing_database: LabDatabase) -> None:
    session = standing_database.connect("candidate")

    with session.cursor() as cursor:
        cursor.execute(
            "SELECT usename, state, query FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename <> 'candidate'"
        )
        seen = {user: (state, query) for user, state, query in cursor.fetchall()}

    session.close()
    hidden = (None, "<insufficient privilege>")
    assert seen.pop("shop") == ("idle", "SELECT 'what this session asked'")
    assert seen == dict.fromkeys(("platform", "examiner", "observer", "postgres"), hidden)


def test_the_candidate_ends_a_session_of_the_shop(lab_database: LabDatabase) -> None:
    victim, candidate = lab_database.connect("shop"), lab_database.connect("candidate")

    with candidate.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [victim.info.backend_pid])
        assert cursor.fetchall() == [(True,)]

    with pytest.raises(psycopg2.OperationalError), victim.cursor() as cursor:
        cursor.execute("SELECT 1")
    candidate.close()


def test_every_table_of_the_shop_is_guarded(lab_database: LabDatabase) -> None:
    admin = lab_database.connect("postgres")

    with admin.cursor() as cursor:
        cursor.execute(
            "SELECT c.oid::regclass::text, coalesce(t.tgenabled, '-') FROM pg_class c"
            " LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = 'candidate_writes'"
            " WHERE c.relowner = 'shop'::regrole AND c.relkind IN ('r', 'p')"
        )
        enabled = dict(cursor.fetchall())

    admin.close()
    assert {"profile.users", "payment.transactions", "inventory.stock", "ops.settings"} <= enabled.keys()
    assert set(enabled.values()) == {"A"}


def test_the_shop_itself_writes_as_before(lab_database: LabDatabase) -> None:
    shop = lab_database.connect("shop")

    with shop.cursor() as cursor:
        cursor.execute("INSERT INTO payment.customers (name, email) VALUES ('a', 'b') RETURNING id")
        cursor.execute(
            "INSERT INTO payment.account_balances (customer_id, balance) VALUES (%s, 1)", cursor.fetchone()
        )
        cursor.execute("DROP INDEX payment.transactions_created_at")

    shop.close()


@pytest.mark.parametrize("schema", ["incident", "oncall"])
def test_the_observer_reads_what_dashboards_show(standing_database: LabDatabase, schema: str) -> None:
    admin, observer = standing_database.connect("postgres"), standing_database.connect("observer")

    with admin.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema])
        tables = [name for (name,) in cursor.fetchall()]
    with observer.cursor() as cursor:
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM {schema}."{table}"')

    assert tables
    admin.close()
    observer.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM exam.phases",
        "SELECT * FROM profile.users",
        "SELECT * FROM payment.customers",
        "SELECT * FROM notification.deliveries",
        "SELECT * FROM ops.settings",
        "SET TRANSACTION READ WRITE; UPDATE incident.incidents SET status = 'resolved'",
        "SET TRANSACTION READ WRITE; CREATE TABLE public.mine (x int)",
        "SET TRANSACTION READ WRITE; CREATE TEMP TABLE mine (x int)",
        "SET TRANSACTION READ WRITE; SELECT lo_create(0)",
        "SET TRANSACTION READ WRITE; SELECT lo_creat(-1)",
        "SET TRANSACTION READ WRITE; SELECT lo_from_bytea(0, 'x')",
        "SET temp_file_limit = -1",
        "SET ROLE candidate",
    ],
)
def test_the_observer_is_refused_everything_else(standing_database: LabDatabase, statement: str) -> None:
    observer = standing_database.connect("observer")

    with observer.cursor() as cursor, pytest.raises(errors.InsufficientPrivilege):
        cursor.execute(statement)

    observer.close()


@pytest.mark.parametrize("role", ["candidate", "observer"])
def test_no_query_fills_the_disk(standing_database: LabDatabase, role: str) -> None:
    session = standing_database.connect(role)

    with session.cursor() as cursor, pytest.raises(errors.ConfigurationLimitExceeded):
        cursor.execute("SELECT count(*) FROM (SELECT generate_series(1, 40000000) ORDER BY 1 DESC) AS s")

    session.close()


@pytest.mark.parametrize("role", ["shop", "platform", "observer"])
def test_only_the_examiner_reads_the_truth(standing_database: LabDatabase, role: str) -> None:
    session = standing_database.connect(role)

    with session.cursor() as cursor, pytest.raises(errors.InsufficientPrivilege):
        cursor.execute("SELECT * FROM exam.phases")

    session.close()
