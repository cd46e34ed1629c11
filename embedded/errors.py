"""What goes wrong outside the lab's own code."""


class LabError(Exception):
    """Why the lab cannot start or go on: a cause and a way out, worded for the person at the terminal."""
