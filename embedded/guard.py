"""The guard: a process of a few hundred kilobytes that ends our programs when we die without a word.

``kill -9`` leaves no time to clean up. The guard reads from a pipe whose only
writer is this process; the kernel closes it however we end, and then the guard
ends the programs it was last told about. Services need none: they watch their
own pipe (see ``embedded.processes``).
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CDLL
from signal import SIGINT
from threading import current_thread, main_thread

# The last line read is the list in force. SIGINT is Postgres' fast shutdown and Locust's end; SIGQUIT is
# Postgres' immediate one, from which it recovers; SIGKILL is for what heeds neither.
_SCRIPT = """
trap '' INT TERM HUP
pids=
while read -r line; do pids=$line; done
[ -z "$pids" ] && exit 0
kill -INT $pids 2>/dev/null
tries=0
while [ $tries -lt 10 ]; do
    alive=
    for pid in $pids; do kill -0 "$pid" 2>/dev/null && alive="$alive $pid"; done
    [ -z "$alive" ] && exit 0
    sleep 0.1
    tries=$((tries + 1))
done
kill -QUIT $alive 2>/dev/null
sleep 0.4
kill -KILL $alive 2>/dev/null
exit 0
"""
_PR_SET_PDEATHSIG = 1


class Guard:
    """Ends the programs on its list when this process ends without having emptied it."""

    def __init__(self) -> None:
        self._pids: set[int] = set()
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    @property
    def pid(self) -> int:
        """The guard's own process id."""
        return self._shell.pid

    def watch(self, pid: int) -> None:
        """Put a program on the list."""
        self._pids.add(pid)
        self._tell()

    def forget(self, pid: int) -> None:
        """Take a program off the list as soon as it is gone: its pid may be another's next."""
        self._pids.discard(pid)
        self._tell()

    def close(self) -> None:
        """Empty the list and let the guard end."""
        self._pids.clear()
        self._tell()
        self._shell.communicate()

    def _tell(self) -> None:
        pipe = self._shell.stdin
        if pipe is None or self._shell.poll() is not None:
            raise RuntimeError("the guard of the lab's programs is gone")
        pipe.write(" ".join(map(str, sorted(self._pids))) + "\n")
        pipe.flush()


@contextmanager
def guarding() -> Iterator[Guard]:
    """A guard for the length of a block."""
    guard = Guard()
    try:
        yield guard
    finally:
        guard.close()


def die_with_parent() -> Callable[[], None] | None:
    """A ``preexec_fn`` that lets the kernel send SIGINT to the child when this process dies; Linux only.

    The kernel watches the thread that forked, not the process, so it is
    offered to the main thread alone. It is the second lock on the door: it
    holds when the guard was killed too.
    """
    if sys.platform != "linux" or current_thread() is not main_thread():
        return None
    prctl = CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, SIGINT)
