"""What the fork server imports must be importable, and must not start a thread."""

import os
import subprocess
import sys

from embedded import ROOT


def test_the_preload_imports_everything_and_starts_no_thread() -> None:
    program = (
        "import gc, sys, threading, embedded.preload\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 10_000\n"
        "assert {'fastapi', 'sqlalchemy', 'sentry_sdk', 'services.common.app'} <= sys.modules.keys()\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
