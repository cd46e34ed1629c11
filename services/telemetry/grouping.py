"""Which errors are the same one, after Sentry's rules: fingerprint, else stack, else type and message."""

import hashlib
import re
from collections.abc import Sequence

from services.telemetry.records import Frame

DEFAULT = "{{ default }}"
_DEFAULTS = frozenset({DEFAULT, "{{default}}"})
_VARYING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{16,}\b|\d+", re.IGNORECASE)


def group_id(
    *,
    service: str,
    type_: str,
    value: str,
    frames: Sequence[Frame],
    in_app: Sequence[bool],
    fingerprint: object,
) -> str:
    """32 hexadecimal digits that events of one group share.

    With a stack, what the message says makes no difference; without, its
    numbers and ids make none. ``in_app`` says of each frame whether it is the
    program's own.
    """
    own = [[service, type_, *_stack(frames, in_app)]]
    if not frames:
        own[0].append(_VARYING.sub("#", value))
    parts = own
    if isinstance(fingerprint, list) and fingerprint:
        parts = [own[0] if part in _DEFAULTS else [service, str(part)] for part in map(str, fingerprint)]
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:32]


def culprit(frames: Sequence[Frame], *, in_app: Sequence[bool]) -> str | None:
    """Where it was raised: the program's own last frame, or the last one there is."""
    chosen = _own(frames, in_app)
    if not chosen:
        return None
    last = chosen[-1]
    return f"{last['module'] or last['filename'] or '?'} in {last['function'] or '?'}"


def _stack(frames: Sequence[Frame], in_app: Sequence[bool]) -> list[str]:
    return [
        f"{frame['module'] or frame['filename'] or '?'}:{frame['function'] or '?'}"
        for frame in _own(frames, in_app)
    ]


def _own(frames: Sequence[Frame], in_app: Sequence[bool]) -> list[Frame]:
    own = [frame for frame, is_own in zip(frames, in_app, strict=True) if is_own]
    return own or list(frames)
