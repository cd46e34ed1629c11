"""The candidate's brief as lines for a terminal."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

WIDTH = 100


def brief_lines(brief: Mapping[str, Any]) -> Iterator[str]:
    """The task, the places, what a diagnosis may say, what counts."""
    yield f"run {brief['run_id']}: {brief['candidate']}, {brief['minutes']:g} minutes, {brief['state']}"
    yield ""
    yield from textwrap.wrap(brief["task"], WIDTH)
    if brief["symptom"]:
        yield from ("", *textwrap.wrap(f"What customers say: {brief['symptom']}", WIDTH))
    yield from ("", "Places")
    yield from (f"  {name:<22} {where}" for name, where in brief["places"].items())
    yield from ("", "A diagnosis may say (diagnosis.yaml)")
    yield from textwrap.wrap(
        f"component: {', '.join(brief['diagnosis']['components'])}",
        WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
    )
    for field in ("mechanisms", "triggers"):
        yield f"  {field.removesuffix('s')}:"
        yield from (f"    {code:<24} {line}" for code, line in brief["diagnosis"][field].items())
    yield from ("", "What counts")
    for one in brief["criteria"]:
        yield f"  {one['points']:>4g}  {one['name']}"
        yield from textwrap.wrap(
            one["explanation"], WIDTH, initial_indent="        ", subsequent_indent="        "
        )
