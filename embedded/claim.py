"""One lab for one folder: the lock, the pid file, and taking over from the lab that runs.

The pid file is locked for as long as its writer lives, so the kernel and not
the file says whether a lab runs. A process is named by its pid together with
when it began; a pid that was given to somebody else is never signalled.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import psutil

from embedded.errors import LabError

_STOP_DEADLINE_S = 5.0
_KILL_DEADLINE_S = 3.0
_SAME_START_S = 2.0
"""The system tells a start relative to a boot time in whole seconds, which a clock adjustment moves."""


@dataclass(frozen=True)
class Identity:
    """One process for ever: its pid and when it began (seconds since the epoch)."""

    pid: int
    created: float

    @classmethod
    def own(cls) -> "Identity":
        """This process."""
        return cls(os.getpid(), psutil.Process().create_time())

    def process(self) -> psutil.Process | None:
        """The process, if it still lives and is the one that was meant."""
        try:
            found = psutil.Process(self.pid)
            same = abs(found.create_time() - self.created) < _SAME_START_S
            return found if same and found.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def pid_file(directory: Path) -> Path:
    """Where a lab writes its identity."""
    return directory / "lab.pid"


def runner(directory: Path) -> Identity | None:
    """The lab that runs in this folder."""
    try:
        with pid_file(directory).open() as file:
            if _lock(file, shared=True):
                return None
            identity = _read(file)
    except FileNotFoundError:
        return None
    return identity if identity and identity.process() else None


@contextmanager
def claimed(directory: Path, *, say: Callable[[str], None]) -> Iterator[Identity]:
    """Be the one lab of this folder for the length of a block, stopping the one that runs.

    ``LabError`` if the other does not go.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with pid_file(directory).open("a+") as file:
        if not _lock(file):
            _take_over(file, say=say)
        own = Identity.own()
        file.seek(0)
        file.truncate()
        json.dump(asdict(own), file)
        file.flush()
        try:
            yield own
        finally:
            file.truncate(0)


def stop(lab: Identity, *, deadline_s: float = _STOP_DEADLINE_S) -> bool:
    """Ask a lab to end, insist after ``deadline_s``; whether it ended by itself."""
    if process := lab.process():
        process.terminate()
    if _await_end([lab], deadline_s=deadline_s):
        return True
    if process := lab.process():
        process.kill()
    _await_end([lab], deadline_s=_KILL_DEADLINE_S)
    return False


def clear_leftovers(processes: Sequence[Identity], *, deadline_s: float = _KILL_DEADLINE_S) -> list[int]:
    """Wait for the children of a lab that was killed, and kill those that stay; the pids of the latter."""
    if _await_end(processes, deadline_s=deadline_s):
        return []
    stubborn = [process for identity in processes if (process := identity.process())]
    for process in stubborn:
        process.kill()
    _await_end(processes, deadline_s=_KILL_DEADLINE_S)
    return [process.pid for process in stubborn]


def _await_end(processes: Sequence[Identity], *, deadline_s: float) -> bool:
    """Whether all ended in time. A zombie has ended, though its own parent may not have noticed."""
    deadline = time.monotonic() + deadline_s
    while any(identity.process() for identity in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _take_over(file: IO[str], *, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + _STOP_DEADLINE_S + _KILL_DEADLINE_S
    stopped: set[Identity] = set()
    while not _lock(file):
        if time.monotonic() > deadline:
            raise LabError(f"{file.name} stays locked by another lab: end that one, or set LAB_DIR")
        identity = _read(file)
        if identity and identity.process() and identity not in stopped:
            say(f"a lab runs here already (pid {identity.pid}): stopping it")
            stopped.add(identity)
            stop(identity)
        time.sleep(0.05)


def _lock(file: IO[str], *, shared: bool = False) -> bool:
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: IO[str]) -> Identity | None:
    """The identity in a pid file; ``None`` while its writer has not written it."""
    file.seek(0)
    try:
        found = json.loads(file.read())
        return Identity(int(found["pid"]), float(found["created"]))
    except (ValueError, KeyError, TypeError):
        return None
