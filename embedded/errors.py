"""What goes wrong outside the lab's own code."""


class LabError(Exception):
    """Why the lab cannot start or go on: a cause and a way out, worded for the person at the terminal."""


IS_THE_LAB_UP = "Is the lab up? `lab status` says; LAB_BIND is the address of one elsewhere"
"""The way out for whoever got no answer."""
