"""``python -m embedded``: the lab in the foreground."""

import os
import sys

from embedded.environment import ROOT, settings, user_environment
from embedded.errors import LabError
from embedded.supervisor import run


def main() -> int:
    """Run the lab with the user's settings; the exit code."""
    try:
        lab = settings(user_environment())
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    # The fork server and Locust find the project's packages from here, wherever the command was typed.
    os.chdir(ROOT)
    try:
        return run(lab)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
