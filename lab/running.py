"""Ending the lab from outside."""

import shutil
import time
from pathlib import Path

from embedded import claim, state
from embedded.errors import LabError
from embedded.postgres import Server


def stop_lab(directory: Path) -> str:
    """Stop the lab of this folder and what a killed one left; a sentence that says what happened."""
    began_s = time.monotonic()
    runner = claim.runner(directory)
    left = state.read(directory)
    ended_itself = claim.stop(runner) if runner else True
    killed = claim.clear_leftovers(left.children()) if left else []
    took_s = time.monotonic() - began_s
    if runner is None:
        return (
            f"the lab was not running; ended what it had left: pid {killed}"
            if killed
            else "the lab is not running"
        )
    return (
        f"stopped in {took_s:.1f} s"
        if ended_itself
        else f"did not stop by itself: killed after {took_s:.1f} s"
    )


def erase_lab(directory: Path) -> str:
    """Stop the lab and delete its folder. ``LabError`` if that is not a lab's folder."""
    if not directory.exists():
        return f"there is no {directory}"
    if any(directory.iterdir()) and not claim.pid_file(directory).exists():
        raise LabError(f"{directory} is not a lab's folder (no lab.pid in it): not deleted")
    said = stop_lab(directory)
    Server(directory / "postgres", port=0).erase()
    shutil.rmtree(directory)
    return f"{said}; deleted {directory}"
