"""The console's colours, held to WCAG 2.2 AA: text stands out from its ground at 4.5:1."""

import re
from pathlib import Path

import pytest

CSS = Path(__file__).parents[4] / "services" / "web_ui" / "static" / "console.css"
TEXTS = ("text", "muted", "accent")
GROUNDS = ("ground", "surface", "raised")
FILLED = ("critical", "high", "medium", "low", "good")
AA = 4.5


def colours(theme: str) -> dict[str, str]:
    block = re.search(rf"body\.body--{theme} \{{(.*?)\}}", CSS.read_text(), re.DOTALL)
    assert block is not None
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block[1]))


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


PAIRS = [
    *((text, ground) for text in TEXTS for ground in GROUNDS),
    *((f"{name}-text", f"{name}-fill") for name in FILLED),
    ("on-accent", "accent"),
]


def test_black_on_white_is_the_greatest_contrast() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_text_stands_out_from_its_ground(theme: str, text: str, ground: str) -> None:
    named = colours(theme)

    assert contrast(named[text], named[ground]) >= AA


def test_both_themes_name_the_same_colours() -> None:
    assert colours("light").keys() == colours("dark").keys()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("letter", "abcdef")
def test_a_bar_stands_out_from_its_ground(theme: str, letter: str) -> None:
    named = colours(theme)

    assert contrast(named[f"series-{letter}"], named["surface"]) >= 3
