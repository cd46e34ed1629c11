"""What the lab itself does to a run, which no export has.

The exam asks services for their mode and breaks one of them over its admin routes. In an open lab
these requests are observed as any other, and would say which service was broken, and when.
"""

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.export.recording import LogLine, Span

EXAMINER = "exam"
NOT_ADMIN = 'route!~"/admin/.*"'
"""A selector of requests needs it: counters say over which route they came, and not from whom."""
_ADMIN = re.compile(r"/admin\b")


def is_backstage(one: "LogLine | Span") -> bool:
    """Whether a row is the examiner's, or names an admin route anywhere."""
    return one.service == EXAMINER or _names_admin(one)


def begins_backstage(span: "Span") -> bool:
    """Whether all of a span's trace is the lab's own: statements that break something name no route."""
    is_examiners = span.service == EXAMINER and span.parent_span_id is None
    return is_examiners or _names_admin(span)


def _names_admin(one: "LogLine | Span") -> bool:
    return any(_ADMIN.search(text) for text in (*one.texts, json.dumps(one.attributes)))
