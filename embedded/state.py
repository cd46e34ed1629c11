"""What a running lab writes down for the other commands: who runs, and where."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from embedded.claim import Identity, runner
from embedded.supervision import Standing


@dataclass(frozen=True)
class LabState:
    """The supervisor and its components, as last written."""

    supervisor: Identity
    components: tuple[Standing, ...]

    def children(self) -> list[Identity]:
        """The processes of the components."""
        return [Identity(s.pid, s.created) for s in self.components if s.pid and s.created]


def write(directory: Path, *, supervisor: Identity, components: Iterable[Standing]) -> None:
    """Replace the state of the lab in one step."""
    fresh = _file(directory).with_suffix(".new")
    fresh.write_text(json.dumps(asdict(LabState(supervisor, tuple(components))), indent=1))
    fresh.replace(_file(directory))


def read(directory: Path) -> LabState | None:
    """The state that the last lab of this folder left; ``None`` if there is none to be read."""
    try:
        found = json.loads(_file(directory).read_text())
        return LabState(
            Identity(**found["supervisor"]), tuple(Standing(**standing) for standing in found["components"])
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def of_runner(directory: Path) -> LabState | None:
    """The state of the lab that runs in this folder, not one that has ended and left its state behind."""
    return read(directory) if runner(directory) else None


def _file(directory: Path) -> Path:
    return directory / "state.json"
