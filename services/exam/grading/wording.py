"""What a note says, by signs of it: by any usual wording, and not by words that only look like one."""

import re
from collections.abc import Callable, Mapping

from services.common.catalog import SERVICES

_SERVICE = re.compile(r"\b(" + "|".join(service.name for service in SERVICES) + r")\b", re.IGNORECASE)
_ROUTE = re.compile(r"(\b(GET|POST|PUT|PATCH|DELETE) )?/(api|checkout)\b")

_TIME = re.compile(
    r"""
    (?: (?<=\dT) | (?<!\w)(?<!\d:)(?<!::)(?<!\d\.) )
    (?:
        (?:[01]?\d|2[0-3]) : [0-5]\d (?: :[0-5]\d (?:\.\d+)? )?
        (?: Z | \s?(?:UTC|GMT|[ap]\.?m) | [+-]\d\d(?::?\d\d)? )?
        | (?:0?[1-9]|1[0-2]) \s? [ap]\.?m
    )
    (?! \w | :\d )
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""``9:14``, ``2026-11-22T09:14:05Z``, ``09:14+01:00``, ``9:14 pm``, ``9pm``; no port, no address."""

_FIGURE = re.compile(
    r"""
    # Part of no date, time or address, no "503s", and of an end: a note may be one long row of figures.
    (?<![\w:.]) (?<!\d[,_']) (?<!\d{4}-\d\d-) (?![45]\d\ds\b)
    \d (?: \d{0,2} (?:[,_' ]\d{3}){1,4} | \d{0,12} ) (?:[.,]\d{1,6})? k? (?! [.,]? \d )
    (?:
        \s* (?: % | per\s?cent | ms | s | secs? | seconds? | min | mins | minutes? | h | hours? ) (?!\w)
        | (?: \s+ (?! (?:after|and|at|before|by|for|from|in|on|or|since|to|when|with)\b ) [a-z][\w/-]* ){0,2}
          \s* \b (?: customers? | users? | people | requests? | calls? | errors? | failures? | payments?
            | checkouts? | refunds? | orders? | transactions? | profiles? | reads? | reservations? | ratio
          ) \b
    )
    | \b (?: ratio | rate | share | errors? | failures? ) \b
      (?: \W{1,3} (?:is|of|at|was|now|up|to)\b )* \W{1,3} (?: 0?\.\d+ | 1\.0+ ) (?![\d:])
    | \b \d+ \s+ (?:out\s+)? of \s+ (?:every\s+)? \d+ \b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""A figure with what it counts, of which two words may tell more: ``1,240 failing checkouts``; or a ratio."""

_DOING = re.compile(
    r"""
    \b (?:
        rolled | rolling | roll | rollbacks? | revert\w* | undo | undoing | undid | undone
        | back(?:ed|ing)\s+out | put(?:ting)? (?!\s*/)
        | (?:take|taken|taking|took)\b (?:\W+\w+){0,4}? \W+ back
        | set | setting | restor(?:e|ed|ing) | restart(?:ed|ing)? | (?:re)?creat(?:e|ed|ing) | add(?:ed|ing)
        | remov(?:e|ed|ing) | end | ended | ending | terminat(?:e|ed|ing) | kill(?:ed|ing)?
        | (?:stopp|clos|dropp|rais|clear)(?:ed|ing) \s+ (?:the|its|an?)
        | deploy(?:ed|ing) | enabl(?:e|ed|ing) | disabl(?:e|ed|ing) | chang(?:e|ed|ing) | correct(?:ed|ing)
        | switch(?:ed|ing)? | turn(?:ed|ing) | (?:re)?rout(?:ed|ing) | divert(?:ed|ing)? | mov(?:ed|ing)
        | mitigat\w* | fix(?:ed|ing) | repair(?:ed|ing) | mend(?:ed|ing) | appl(?:y|ied|ying)
        | escalat(?:ed|ing) | next | will | plan(?:ning)?\s+to | check(?:ed|ing)
        | investigat(?:e|ed|ing) | monitoring | watch(?:ed|ing)? | wait(?:ed|ing)
        | looking (?! \s+ (?:bad|better|fine|good|great|healthy|normal|ok|okay|right|stable|well|worse)\b )
    ) \b
    """,
    re.IGNORECASE | re.VERBOSE,
)

IN_NOTES: Mapping[str, Callable[[str], object]] = {
    "what": lambda text: _SERVICE.search(text) or _ROUTE.search(text),
    "when": _TIME.search,
    "impact": _FIGURE.search,
    "what was done or is next": _DOING.search,
}
"""What notes are to say, each with how it is found in a text."""
