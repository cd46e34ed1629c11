"""``python -m embedded``: the lab in the foreground."""

import os
import sys

from embedded import ROOT, warm_up


def main() -> int:
    """Run the lab with the user's settings; the exit code."""
    # The fork server and Locust find the project's packages from here, wherever the command was typed.
    os.chdir(ROOT)
    # Its imports decide how long a start takes; ours below run beside them.
    warm_up.context()
    from embedded.environment import settings, user_environment
    from embedded.errors import LabError
    from embedded.supervisor import run

    try:
        return run(settings(user_environment()))
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
