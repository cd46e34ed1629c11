"""Templates in labels and annotations: Go's, as far as alerting rules commonly go.

``{{ $labels.name }}``, ``{{ $value }}`` and literals, through pipes or as
arguments of the functions below; their results are those of Prometheus'
template/template.go. Anything else is refused when the rule is read.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from embedded.monitoring.numbers import shortest

_ACTION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
_TRIMMED = re.compile(r"\{\{-|-\}\}")
_WORD = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^\s"|()]+|\||\(|\))')
_LABEL = re.compile(r"(?:\$labels|\.Labels)\.([a-zA-Z_][a-zA-Z0-9_]*)")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_VERB = re.compile(r"%([-+ 0]*\d*(?:\.\d+)?)([a-z%])")

Value = str | float


class TemplateError(ValueError):
    """A template that is not supported; the message shows the part."""


@dataclass(frozen=True)
class Alerted:
    """What a template may speak of: the labels of the element that alerts, and its value."""

    labels: Mapping[str, str]
    value: float


Part = Callable[[Alerted], Value]


class Template:
    """A text with actions in it, read once. Raises ``TemplateError``."""

    def __init__(self, text: str) -> None:
        if _TRIMMED.search(text):
            raise TemplateError("{{- and -}} are not supported")
        self.text = text
        self._parts: list[Part | str] = []
        end = 0
        for action in _ACTION.finditer(text):
            self._parts += [text[end : action.start()], _pipeline(action[1])]
            end = action.end()
        rest = text[end:]
        if "{{" in rest:
            raise TemplateError(f"an action that does not end: {rest!r}")
        self._parts.append(rest)

    def render(self, alerted: Alerted) -> str:
        """The text for one alert."""
        return "".join(part if isinstance(part, str) else _shown(part(alerted)) for part in self._parts)


def _pipeline(text: str) -> Part:
    """``a | f | g x``: each result is the last argument of what follows."""
    words = _words(text)
    part: Part | None = None
    while words:
        end = words.index("|") if "|" in words else len(words)
        part = _command(words[:end], given=part, text=text)
        words = words[end + 1 :]
    if part is None:
        raise TemplateError("an empty action")
    return part


def _words(text: str) -> list[str]:
    words, place = [], 0
    while place < len(text):
        word = _WORD.match(text, place)
        if word is None:
            raise TemplateError(f"not supported: {text!r}")
        words.append(word[1])
        place = word.end()
    return words


def _command(words: list[str], *, given: Part | None, text: str) -> Part:
    if not words:
        raise TemplateError(f"nothing between pipes: {text!r}")
    name, rest = words[0], words[1:]
    if name not in _FUNCTIONS and name != "printf":
        if rest or given is not None:
            raise TemplateError(f"the function {name} is not supported: {text!r}")
        return _operand(name, text)
    arguments = [_operand(word, text) for word in rest] + ([given] if given is not None else [])
    if name == "printf":
        return _printf(rest, arguments, text)
    if len(arguments) != 1:
        raise TemplateError(f"{name} needs one argument: {text!r}")
    function, argument = _FUNCTIONS[name], arguments[0]
    return lambda alerted: function(argument(alerted))


def _operand(word: str, text: str) -> Part:
    if word in ("$value", ".Value"):
        return lambda alerted: alerted.value
    if label := _LABEL.fullmatch(word):
        name = label[1]
        return lambda alerted: alerted.labels.get(name, "")
    if word.startswith('"'):
        literal = word[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        return lambda _: literal
    if _NUMBER.fullmatch(word):
        number = float(word)
        return lambda _: number
    raise TemplateError(f"{word} is not supported: {text!r}")


# Functions


def _printf(words: list[str], arguments: list[Part], text: str) -> Part:
    """``printf`` with the verbs %s %v %f %g %e %d and %%."""
    if not words or not words[0].startswith('"'):
        raise TemplateError(f"printf needs its format as a literal: {text!r}")
    form = str(arguments[0](Alerted({}, 0.0)))
    verbs = [verb for _, verb in _VERB.findall(form) if verb != "%"]
    if any(verb not in "svfge" for verb in verbs) or len(verbs) != len(arguments) - 1:
        raise TemplateError(f"a format that is not supported, or not as many arguments: {text!r}")

    def render(alerted: Alerted) -> str:
        values = iter([argument(alerted) for argument in arguments[1:]])

        def insert(found: re.Match[str]) -> str:
            flags, verb = found[1], found[2]
            if verb == "%":
                return "%"
            value = next(values)
            if verb in "sv":
                return f"%{flags}s" % _shown(value)
            return f"%{flags}{verb}" % _number(value)

        return _VERB.sub(insert, form)

    return render


def _number(value: Value) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan


def _shown(value: Value) -> str:
    return value if isinstance(value, str) else shortest(value)


def _four_digits(value: float) -> str:
    if math.isnan(value) or math.isinf(value):
        return shortest(value)
    return f"{value:.4g}"


def _humanize(value: Value) -> str:
    """With a metric prefix: 1234 is 1.234k, 0.02 is 20m."""
    number = _number(value)
    if number == 0 or not math.isfinite(number):
        return _four_digits(number)
    if abs(number) >= 1:
        return _scaled(number, "kMGTPEZY", up=True)
    return _scaled(number, "munpfazy", up=False)


def _scaled(number: float, prefixes: str, *, up: bool) -> str:
    used = ""
    for prefix in prefixes:
        if (abs(number) < 1000) if up else (abs(number) >= 1):
            break
        used = prefix
        number = number / 1000 if up else number * 1000
    return f"{_four_digits(number)}{used}"


def _humanize_duration(value: Value) -> str:
    """Seconds as days, hours, minutes and seconds: 3723 is 1h 2m 3s, 0.25 is 250ms."""
    number = _number(value)
    if not math.isfinite(number):
        return _four_digits(number)
    if abs(number) < 1:
        return f"{_scaled(number, 'munpfazy', up=False) if number else '0'}s"
    sign, number = ("-", -number) if number < 0 else ("", number)
    minutes, seconds = divmod(int(number), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{sign}{days}d {hours}h {minutes}m {seconds}s"
    if hours:
        return f"{sign}{hours}h {minutes}m {seconds}s"
    if minutes:
        return f"{sign}{minutes}m {seconds}s"
    return f"{sign}{_four_digits(number)}s"


_FUNCTIONS: dict[str, Callable[[Value], str]] = {
    "humanize": _humanize,
    "humanizeDuration": _humanize_duration,
    "humanizePercentage": lambda value: f"{_four_digits(_number(value) * 100)}%",
    "toUpper": lambda value: _shown(value).upper(),
    "toLower": lambda value: _shown(value).lower(),
}
