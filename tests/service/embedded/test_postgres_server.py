"""The embedded Postgres over real processes and real files."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest

from embedded import ROOT
from embedded.errors import LabError
from embedded.free_ports import free_port
from embedded.postgres import Server, reachable, running


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "postgres"
    yield folder
    Server(folder, port=0).erase()


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    with closing(connection), connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def start(server: Server, log: Path) -> "subprocess.Popen[bytes]":
    server.prepare()
    with log.open("ab") as output:
        child = subprocess.Popen(server.command(), stdout=output, stderr=output, **server.options())
    wait_for_ready(server, child.pid)
    return child


def wait_for_ready(server: Server, pid: int) -> None:
    deadline = time.monotonic() + 15
    while not server.is_ready(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_rows_are_there_after_a_stop_and_a_start(directory: Path) -> None:
    with running(directory) as server:
        execute(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")

    with running(directory) as server:
        assert execute(server.url(), "SELECT answer FROM kept") == [(42,)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's lab keeps its data outside its folder")
def test_a_lab_in_the_place_of_one_that_was_removed_starts_anew(directory: Path) -> None:
    with running(directory) as server:
        execute(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
    password = server.password
    shutil.rmtree(directory)

    fresh = Server(directory, port=0)
    assert fresh.password != password
    notes = fresh.prepare()

    assert any("had been removed" in note for note in notes)
    assert not any("had been removed" in note for note in Server(directory, port=0).prepare())
    with running(directory) as again:
        assert execute(again.url(), "SELECT to_regclass('kept')") == [(None,)]


def test_committed_rows_survive_kill_dash_nine(directory: Path, tmp_path: Path) -> None:
    server = Server(directory, port=free_port())
    child = start(server, tmp_path / "log")
    execute(server.url(), "CREATE TABLE kept AS SELECT generate_series(1, 500)")
    child.kill()
    child.wait()

    with running(directory, port=server.port) as again:
        assert execute(again.url(), "SELECT count(*) FROM kept") == [(500,)]


def test_an_orphan_on_the_same_data_is_stopped_and_said(directory: Path, tmp_path: Path) -> None:
    server = Server(directory, port=free_port())
    orphan = start(server, tmp_path / "log")
    # Reaped at once when it ends, as an orphan is by the system: a zombie would look alive for ever.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        notes = Server(directory, port=free_port()).prepare()
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    assert f"stopped a PostgreSQL that an earlier run had left (pid {orphan.pid})" in notes
    assert not psutil.pid_exists(orphan.pid)
    orphan.wait()


def test_the_pid_of_a_killed_run_that_is_somebody_elses_now_is_left_alone(directory: Path) -> None:
    with running(directory) as server:
        data = server.data
    # This very process: had it been signalled, the test would have ended here.
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")

    with running(directory) as again:
        assert execute(again.url(), "SELECT 1") == [(1,)]


def test_an_interrupted_first_start_is_done_again(directory: Path) -> None:
    server = Server(directory, port=free_port())
    server.prepare()
    shutil.move(server.data, server.data.with_name("data.new-1"))
    (server.data.with_name("data.new-1") / "global" / "pg_control").unlink()

    with running(directory) as again:
        assert execute(again.url(), "SELECT 1") == [(1,)]
        assert not server.data.with_name("data.new-1").exists()


def test_a_wrong_password_is_refused(directory: Path) -> None:
    with running(directory) as server, pytest.raises(psycopg2.OperationalError, match="password"):
        execute(server.url().replace(server.password, "guess"), "SELECT 1")


def test_the_password_is_for_its_owner_alone(directory: Path) -> None:
    server = Server(directory, port=0)

    assert server.password == Server(directory, port=0).password
    assert (directory / "superuser-password").stat().st_mode & 0o077 == 0


def test_a_database_copied_from_a_template_has_its_rows(directory: Path) -> None:
    with running(directory, durable=False) as server:
        execute(server.create_database("template"), "CREATE TABLE seed AS SELECT 7 AS number")

        copies = [server.create_database(f"worker_{n}", template="template") for n in range(3)]
        execute(copies[0], "DELETE FROM seed")

        assert execute(copies[1], "SELECT number FROM seed") == [(7,)]
        server.drop_database("worker_1")
        with pytest.raises(psycopg2.OperationalError, match="does not exist"):
            execute(copies[1], "SELECT 1")


def test_times_are_utc_and_plans_do_not_depend_on_the_machine(directory: Path) -> None:
    with running(directory, durable=False) as server:
        shown = {
            name: execute(server.url(), f"SHOW {name}")[0][0]
            for name in (
                "TimeZone",
                "log_timezone",
                "max_parallel_workers_per_gather",
                "jit",
                "max_connections",
            )
        }

    assert shown == {
        "TimeZone": "UTC",
        "log_timezone": "UTC",
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
        "max_connections": "200",
    }


def test_a_taken_port_is_an_error_with_the_servers_own_words(directory: Path) -> None:
    with running(directory, durable=False) as server:
        other = directory.with_name("other")
        with pytest.raises(LabError, match="Address already in use"), running(other, port=server.port):
            pass
    Server(other, port=0).erase()


def test_what_is_not_durable_leaves_no_data(tmp_path: Path) -> None:
    with running(tmp_path / "passing", durable=False) as server:
        data = server.data

    assert not data.exists()


def test_a_server_whose_owner_is_killed_ends_within_two_seconds(directory: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from embedded.postgres import running\n"
        "with running(Path(sys.argv[1])):\n    print('up', flush=True); time.sleep(60)\n"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "up\n"
    family = psutil.Process(owner.pid).children(recursive=True)
    assert any(child.name() == "postgres" for child in family)

    owner.kill()
    owner.communicate()

    deadline = time.monotonic() + 2
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family):
        assert time.monotonic() < deadline, family
        time.sleep(0.01)


def test_a_folder_behind_a_closed_door_is_not_reachable(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    assert not reachable(closed / "data")
    assert reachable(Path("/usr/bin/env"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes accounts")
def test_started_by_root_it_runs_as_nobody_even_behind_a_closed_door(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    with running(closed / "postgres", durable=False) as server:
        account = execute(server.url(), "SELECT 1")
        owner = server.data.stat().st_uid

    assert account == [(1,)]
    assert owner != 0
