"""Starting the fork server's imports. Imports nothing itself: whatever it did would come before them."""

import multiprocessing
import signal
import sys
from collections.abc import Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext

PRELOAD = ("embedded.preload",)


def context(preload: Sequence[str] = PRELOAD) -> ForkServerContext | SpawnContext:
    """How this system starts Python functions as processes; a fork server begins to import at once.

    Where forking is not safe (macOS) each child is a fresh interpreter:
    slower and bigger, otherwise the same. A second call finds the fork server
    that runs, with what it was first told to import. Call it in the main thread.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(list(preload))
    # A Ctrl-C is for us, and waits until the block is lifted; a starting fork server would print a traceback.
    # The tracker that it would start on the way lifts the block when it is up: it comes first.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return forking
