"""``python -m embedded``: the lab in the foreground."""

import os
import sys
from collections.abc import Mapping

from embedded import ROOT, warm_up


def main() -> int:
    """Run the lab with the user's settings; the exit code."""
    # The fork server and Locust find the project's packages from here, wherever the command was typed.
    os.chdir(ROOT)
    try:
        # Its imports decide how long a start takes; ours run beside them.
        warm_up.context()
        return _run()
    except KeyboardInterrupt:
        return 130


def _run() -> int:
    from embedded.environment import settings, user_environment
    from embedded.errors import LabError
    from embedded.supervisor import run

    try:
        user = user_environment()
        lab = settings(user)
        _require_playable(user)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return run(lab)


def _require_playable(user: Mapping[str, str]) -> None:
    """A scenario that there is not must not become a lab in which nothing ever breaks. Raises ``LabError``.

    The schedule finds out as well, when the lab is up; to ask it before costs the start half a second.
    """
    asked = {name: value for name, value in user.items() if name.startswith("SCENARIO") and value}
    if asked in ({}, {"SCENARIO": "cycle"}, {"SCENARIO": "none"}):
        return
    from embedded.errors import LabError
    from scenarios.schedule import CannotStart, planned

    try:
        planned()
    except CannotStart as error:
        raise LabError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
