"""Regular expressions that somebody else wrote, matched as Prometheus does it: by RE2, in linear time.

Python's own ``re`` tries one way after another: ``(.+)+0`` keeps it busy for
hours over a path of thirty signs, and whatever else the process does waits.
"""

from functools import lru_cache

import re2

MAX_MEMORY_BYTES = 256 * 1024
"""For one expression. What needs more is refused: so big a program is slow, however linear."""


class InvalidRegex(ValueError):
    """No regular expression in RE2's syntax, or too big a one. The message says what is wrong with it."""


class Regex:
    """One regular expression; it matches all of a text or nothing of it."""

    def __init__(self, text: str) -> None:
        """Raises ``InvalidRegex``."""
        options = re2.Options()
        options.max_mem = MAX_MEMORY_BYTES
        options.log_errors = False
        try:
            self._pattern = re2.compile(text, options)
        except re2.error as error:
            [message] = error.args  # in bytes
            raise InvalidRegex(message.decode(errors="replace")) from error
        except UnicodeEncodeError as error:
            raise InvalidRegex("it is not Unicode text") from error

    def matches(self, text: str) -> bool:
        """Whether it matches all of ``text``."""
        return self._pattern.fullmatch(text) is not None

    def groups(self, text: str) -> dict[str, str] | None:
        """What its groups caught of ``text``, by number ("0" is all of it) and by name; if it matches."""
        found = self._pattern.fullmatch(text)
        if found is None:
            return None
        numbered = {str(number): caught for number, caught in enumerate((found[0], *found.groups("")))}
        return {**numbered, **found.groupdict("")}


@lru_cache(maxsize=128)
def regex(text: str) -> Regex:
    """A regular expression, read once. Raises ``InvalidRegex``."""
    return Regex(text)
