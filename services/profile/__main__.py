"""The profile service alone: ``python -m services.profile``."""

import os

from services.common.catalog import service
from services.common.serving import serve


def main() -> None:
    """Serve on ``LAB_BIND`` (127.0.0.1) and ``PROFILE_PORT`` (8000) until interrupted."""
    spec = service("profile")
    host = os.environ.get("LAB_BIND", "127.0.0.1")
    port = int(os.environ.get(spec.port_variable, spec.port))
    print(f"profile: http://{host}:{port}/docs (Ctrl-C ends it)", flush=True)
    serve(spec.app, host, port)


if __name__ == "__main__":
    main()
