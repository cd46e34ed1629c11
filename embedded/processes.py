"""Processes of the lab: services forked from one preloaded server, and programs of their own.

Both are started by a coroutine and give a ``Running``. Neither outlives this
process: a service watches the pipe that multiprocessing keeps to its parent,
a program is on the guard's list.
"""

import asyncio
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol, cast

import psutil

from embedded.guard import Guard, die_with_parent
from embedded.postgres import ProcessOptions
from embedded.warm_up import PRELOAD, context

_ORPHAN_GRACE_S = 1.2
_PR_SET_NAME = 15


class Running(Protocol):
    """A process that was started."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def created(self) -> float:
        """When it began, in seconds since the epoch: with the pid it names one process for ever."""

    async def wait(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it is gone."""


class ForkServer:
    """Starts Python functions as processes that share what was imported once.

    It begins to import as soon as it is made.
    """

    def __init__(self, preload: Sequence[str] = PRELOAD) -> None:
        self._context = context(preload)
        # multiprocessing keeps its books without locks, and the first start waits for the imports.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fork-server")

    async def start(
        self,
        name: str,
        *,
        call: str,
        arguments: Sequence[object] = (),
        environment: Mapping[str, str],
        log: Path,
    ) -> Running:
        """Call ``module:function`` with ``arguments`` in a process of its own that writes to ``log``."""
        process = self._context.Process(
            target=child_main, name=name, args=(name, call, tuple(arguments), dict(environment), log)
        )
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, process.start)
        return _Forked(process)

    def close(self) -> None:
        """Let go of the starting thread; the fork server itself ends with this process."""
        self._thread.shutdown(wait=False, cancel_futures=True)


async def start_program(
    command: Sequence[str],
    *,
    guard: Guard,
    log: Path,
    environment: Mapping[str, str] | None = None,
    options: ProcessOptions | None = None,
) -> Running:
    """Start a program, its output appended to ``log``; the guard ends it if we cannot.

    ``OSError`` when there is no such program or it may not be run.
    """
    own: ProcessOptions = {"start_new_session": True, "preexec_fn": die_with_parent()}
    if environment is not None:
        own["env"] = dict(environment)
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, **(options or own)
        )
    guard.watch(process.pid)
    return _Program(process, guard)


def child_main(
    name: str, call: str, arguments: tuple[object, ...], environment: dict[str, str], log: Path
) -> None:
    """What a forked child does: step out of its parent's session and output, then ``call``."""
    os.setsid()
    # The fork server was started with it blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    _append_output_to(log)
    _set_name(name)
    threading.Thread(target=_end_with_parent, name="orphan-guard", daemon=True).start()
    module, _, function = call.partition(":")
    target = cast(Callable[..., object], getattr(import_module(module), function))
    target(*arguments)


class _Forked:
    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self._handle = _handle_on(process.pid)
        self.created = self._handle.create_time() if self._handle else 0.0
        self._end = asyncio.create_task(self._watch())

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    async def wait(self) -> int:
        return await asyncio.shield(self._end)

    def send(self, number: signal.Signals) -> None:
        if not self._end.done() and self._handle and self._handle.is_running():
            self._handle.send_signal(number)

    async def _watch(self) -> int:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        # If the fork server itself was killed, its children look ended though they live and hold their ports.
        if self._handle and self._handle.is_running():
            with suppress(psutil.NoSuchProcess):
                self._handle.kill()
        self._process.join()
        code = self._process.exitcode
        return 255 if code is None else code


class _Program:
    def __init__(self, process: asyncio.subprocess.Process, guard: Guard) -> None:
        self._process = process
        self._guard = guard
        handle = _handle_on(process.pid)
        self.created = handle.create_time() if handle else 0.0
        self._end = asyncio.create_task(self._watch())

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        return await asyncio.shield(self._end)

    def send(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)

    async def _watch(self) -> int:
        code = await self._process.wait()
        self._guard.forget(self._process.pid)
        return code


def _handle_on(pid: int | None) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _append_output_to(log: Path) -> None:
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.close(nothing)
    # The streams were made for whatever the fork server writes to: buffered in blocks, perhaps not in UTF-8.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def _set_name(name: str) -> None:
    """Let ``ps`` and ``top`` show which service this is; the kernel keeps 15 bytes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        raise RuntimeError("a child of the lab was started without multiprocessing")
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_ORPHAN_GRACE_S)
    os._exit(1)
