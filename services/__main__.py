"""``python -m services NAME``: one service of the catalog, as a container runs it.

Reads ``LAB_BIND`` (address), ``PORT`` (the catalog's if not set) and
``LAB_DIR``, the folder in which the container writes down that it has run.
"""

import os
import shutil
import socket
import sys
from pathlib import Path

from services.common.catalog import SERVICES, Service, service
from services.common.serving import serve


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM; ends with status 2 for a name that is not in the catalog."""
    names = [known.name for known in SERVICES]
    if len(arguments) != 1 or arguments[0] not in names:
        print(f"usage: python -m services NAME, which is one of: {', '.join(names)}", file=sys.stderr)
        raise SystemExit(2)
    spec = service(arguments[0])
    _note_start(spec, Path(os.environ.get("LAB_DIR", ".lab")), container=socket.gethostname())
    # httpx imports its command line too, with all that colours it, unless it cannot be imported.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    serve(
        spec.app,
        os.environ.get("LAB_BIND", "127.0.0.1"),
        int(os.environ.get("PORT", spec.port)),
        spec.websockets,
    )


def _note_start(spec: Service, directory: Path, *, container: str) -> None:
    """Tell a container that comes back from a new one: ``LAB_RESUMES``, and what its folder holds.

    A container that is restarted keeps its name, and what was broken or mended
    before stays so. A new one begins anew.
    """
    mark = directory / "started" / f"{spec.name}@{container}"
    resumes = mark.exists()
    os.environ["LAB_RESUMES"] = "true" if resumes else "false"
    if resumes:
        return
    shutil.rmtree(directory / spec.package, ignore_errors=True)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


if __name__ == "__main__":
    main(sys.argv[1:])
