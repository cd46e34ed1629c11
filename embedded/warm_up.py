"""Starting the fork server's imports. Imports nothing itself: whatever it did would come before them."""

import multiprocessing
import sys
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, SpawnContext

PRELOAD = ("embedded.preload",)


def context(preload: Sequence[str] = PRELOAD) -> ForkServerContext | SpawnContext:
    """How this system starts Python functions as processes; a fork server begins to import at once.

    Where forking is not safe (macOS) each child is a fresh interpreter:
    slower and bigger, otherwise the same. A second call finds the fork server
    that runs, with what it was first told to import.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(list(preload))
    forkserver.ensure_running()
    return forking
