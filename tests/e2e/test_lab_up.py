"""The supervisor over real processes: it starts them, keeps them, and leaves none behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest

from embedded import state
from embedded.free_ports import free_port
from embedded.postgres import Server

ROOT = Path(__file__).resolve().parents[2]
TINY_LAB = Path(__file__).with_name("embedded_tiny_lab.py")
PORTS = ("TINY_ONE_PORT", "TINY_TWO_PORT", "POSTGRES_PORT", "TRAFFIC_GENERATOR_PORT")


class TinyLab:
    """One folder and its ports, in which tests start supervisors."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = {variable: free_port() for variable in PORTS}
        self.started: list[subprocess.Popen[str]] = []
        self.outputs: dict[int, Path] = {}

    @property
    def environment(self) -> dict[str, str]:
        ports = {variable: str(port) for variable, port in self.ports.items()}
        places = {"LAB_DIR": str(self.directory), "PYTHONPATH": str(ROOT)}
        return {**os.environ, **ports, **places, "EXAMINER_DB_PASSWORD": "secret-exam"}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        output = self.directory.with_name(f"output-{len(self.started)}")
        with output.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, str(TINY_LAB), *arguments],
                env=self.environment,
                stdout=file,
                stderr=file,
                text=True,
                start_new_session=True,
            )
        self.started.append(process)
        self.outputs[process.pid] = output
        return process

    def start_healthy(self) -> "subprocess.Popen[str]":
        process = self.start()
        wait_for(
            lambda: "all healthy" in self.output(process), "all healthy", show=lambda: self.output(process)
        )
        return process

    def output(self, process: "subprocess.Popen[str]") -> str:
        return self.outputs[process.pid].read_text()

    def says(self, process: "subprocess.Popen[str]", text: str) -> None:
        wait_for(lambda: text in self.output(process), repr(text), show=lambda: self.output(process))

    def pid_of(self, name: str) -> int:
        written = state.read(self.directory)
        pids = [s.pid for s in written.components if s.name == name] if written else []
        return pids[0] or 0 if pids else 0

    def get(self, variable: str, path: str = "/health") -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[variable]}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def connect(self) -> "psycopg2.extensions.connection":
        server = Server(self.directory / "postgres", port=self.ports["POSTGRES_PORT"])
        return psycopg2.connect(server.url("firedrill").replace("+psycopg2", ""))

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "lab", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[TinyLab]:
    lab = TinyLab(tmp_path / "lab")
    yield lab
    for process in lab.started:
        family = family_of(process)
        process.terminate()
        process.wait(10)
        wait_for(lambda family=family: not alive(family), "no process left")
    Server(lab.directory / "postgres", port=0).erase()


def wait_for(
    holds: Callable[[], bool], what: str, *, within_s: float = 20.0, show: Callable[[], str] = str
) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}\n{show()}"
        time.sleep(0.02)


def family_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def alive(family: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in family if _is_alive(p)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        # It ended between the two questions.
        return False


def await_none_left(family: list[psutil.Process], *, since_s: float) -> float:
    while alive(family):
        assert time.monotonic() - since_s < 2.0, f"still there after 2 s: {alive(family)}"
        time.sleep(0.01)
    return time.monotonic() - since_s


def test_a_start_names_every_component_with_its_url(tiny: TinyLab) -> None:
    process = tiny.start_healthy()

    lines = tiny.output(process).splitlines()
    healthy = {line.split()[0]: line.split()[-1] for line in lines if " healthy " in line and " s  " in line}
    assert healthy["tiny-one"] == f"http://127.0.0.1:{tiny.ports['TINY_ONE_PORT']}"
    assert set(healthy) == {"postgres", "tiny-one", "tiny-two", "traffic-generator", "schedule"}


def test_ctrl_c_ends_everything_within_two_seconds(tiny: TinyLab) -> None:
    process = tiny.start_healthy()
    tiny.says(process, "phase.started")
    family = family_of(process)

    began_s = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)

    assert process.wait(5) == 0
    await_none_left(family, since_s=began_s)
    assert len(family) >= 7
    assert "phase.reverted" in (tiny.directory / "logs" / "schedule.log").read_text()


def test_ctrl_c_in_the_middle_of_a_start_ends_everything_within_two_seconds(tiny: TinyLab) -> None:
    process = tiny.start()
    wait_for(lambda: len(family_of(process)) >= 3, "the first children")
    family = family_of(process)

    began_s = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)

    process.wait(5)
    await_none_left(family, since_s=began_s)
    assert "Traceback" not in tiny.output(process)


def test_killing_the_supervisor_leaves_no_process(tiny: TinyLab) -> None:
    process = tiny.start_healthy()
    family = family_of(process)

    began_s = time.monotonic()
    process.kill()
    process.wait()

    await_none_left(family, since_s=began_s)


def test_a_start_right_after_a_killed_one_comes_up(tiny: TinyLab) -> None:
    first = tiny.start_healthy()
    first.kill()
    first.wait()

    tiny.start_healthy()

    assert tiny.get("TINY_ONE_PORT")


def test_a_second_start_takes_over_and_says_so(tiny: TinyLab) -> None:
    first = tiny.start_healthy()

    second = tiny.start_healthy()

    assert first.wait(5) == 0
    assert f"a lab runs here already (pid {first.pid}): stopping it" in tiny.output(second)
    assert tiny.get("TINY_ONE_PORT")


def test_of_three_simultaneous_starts_one_lab_remains(tiny: TinyLab) -> None:
    processes = [tiny.start() for _ in range(3)]

    wait_for(
        lambda: (
            sum(p.poll() is None for p in processes) == 1
            and any("all healthy" in tiny.output(p) for p in processes if p.poll() is None)
        ),
        "one lab",
        show=lambda: "\n--\n".join(tiny.output(p) for p in processes),
    )


def test_a_busy_port_is_named_with_its_service_variable_and_holder(tiny: TinyLab) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", tiny.ports["TINY_TWO_PORT"]))
        holder.listen()

        process = tiny.start()

        assert process.wait(10) == 1
    said = tiny.output(process)
    assert f"port {tiny.ports['TINY_TWO_PORT']} (tcp) of tiny-two is in use by" in said
    assert f"(pid {os.getpid()})" in said
    assert "set TINY_TWO_PORT to another port" in said
    assert not (tiny.directory / "postgres").exists()


def test_a_killed_service_is_restarted_and_said(tiny: TinyLab) -> None:
    process = tiny.start_healthy()
    killed = tiny.pid_of("tiny-one")

    os.kill(killed, signal.SIGKILL)

    tiny.says(process, "died of SIGKILL; starting it again in 0.2 s")
    tiny.says(process, "is healthy again after")
    assert tiny.get("TINY_ONE_PORT")
    assert tiny.pid_of("tiny-one") != killed


def test_a_killed_fork_server_does_not_cost_the_lab_its_services(tiny: TinyLab) -> None:
    process = tiny.start_healthy()
    fork_server = psutil.Process(tiny.pid_of("tiny-one")).parent()
    assert fork_server is not None

    fork_server.kill()

    wait_for(lambda: tiny.output(process).count("is healthy again after") == 3, "three restarts")
    assert tiny.get("TINY_ONE_PORT")
    assert tiny.get("TINY_TWO_PORT")


def test_a_killed_postgres_comes_back_with_its_rows(tiny: TinyLab) -> None:
    process = tiny.start_healthy()
    with closing(tiny.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")

    os.kill(tiny.pid_of("postgres"), signal.SIGKILL)
    tiny.says(process, "is healthy again after")

    with closing(tiny.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kept")
        assert cursor.fetchone() == (1000,)


def test_a_service_that_cannot_start_is_named_with_the_end_of_its_log(tiny: TinyLab) -> None:
    process = tiny.start("broken")

    tiny.says(process, "RuntimeError: the tiny service is broken")

    assert "tiny-two.log" in tiny.output(process)
    wait_for(lambda: tiny.pid_of("tiny-one") != 0, "the other service goes on")


def test_repeated_warnings_are_shown_once_and_counted(tiny: TinyLab) -> None:
    process = tiny.start_healthy()

    for _ in range(10):
        tiny.get("TINY_ONE_PORT", "/warn")

    tiny.says(process, "tiny.trouble ×9")
    assert tiny.output(process).count("tiny.trouble\n") == 1


def test_only_the_schedule_gets_the_examiners_door(tiny: TinyLab) -> None:
    process = tiny.start_healthy()

    seen = json.loads(tiny.get("TINY_ONE_PORT"))

    assert "secret-exam" not in json.dumps(seen)
    assert seen["DATABASE_URL"].startswith("postgresql+psycopg2://shop:")
    assert seen["ENV"] == "demo"
    tiny.says(process, "phase.started has_exam_door=true")


def test_status_tells_healthy_from_dead_from_not_running(tiny: TinyLab) -> None:
    before = tiny.command("status")
    process = tiny.start_healthy()
    running = tiny.command("status")
    psutil.Process(tiny.pid_of("tiny-two")).suspend()
    stuck = tiny.command("status")

    assert (before.returncode, running.returncode, stuck.returncode) == (3, 0, 1)
    assert str(tiny.pid_of("tiny-one")) in running.stdout
    assert "no answer within" in stuck.stdout
    assert process.poll() is None


def test_down_stops_the_lab_and_a_second_down_says_that_there_is_none(tiny: TinyLab) -> None:
    process = tiny.start_healthy()

    first = tiny.command("down")
    second = tiny.command("down")

    assert process.wait(1) == 0
    assert first.stdout.startswith("stopped in")
    assert (second.returncode, second.stdout) == (0, "the lab is not running\n")


def test_logs_merge_all_services_and_name_those_that_exist(tiny: TinyLab) -> None:
    tiny.start_healthy()
    tiny.get("TINY_ONE_PORT", "/warn")

    merged = tiny.command("logs")
    raw = tiny.command("logs", "tiny-one", "--json")
    unknown = tiny.command("logs", "tiny-nine")

    assert "WARNING  tiny-one" in merged.stdout
    assert "database system is ready to accept connections" in merged.stdout
    assert json.loads(raw.stdout.splitlines()[-1])["event"] == "tiny.trouble"
    assert unknown.returncode == 1
    assert "there is no log of 'tiny-nine'; there are:" in unknown.stderr


def test_psql_as_superuser_reaches_the_labs_database(tiny: TinyLab) -> None:
    tiny.start_healthy()

    answer = tiny.command("psql", "--admin", "-Atc", "SELECT current_database(), current_user")

    assert answer.stdout == "firedrill|postgres\n", answer.stderr


def test_erase_leaves_neither_processes_nor_files(tiny: TinyLab) -> None:
    process = tiny.start_healthy()
    family = family_of(process)

    erased = tiny.command("erase", "--yes")

    assert erased.returncode == 0, erased.stderr
    process.wait(5)
    assert alive(family) == []
    assert not tiny.directory.exists()
