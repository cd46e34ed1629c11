"""``python -m embedded``: the lab in the foreground."""

import os
import sys

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
        lab = settings(user_environment())
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    return run(lab)


if __name__ == "__main__":
    sys.exit(main())
