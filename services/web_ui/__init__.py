"""The console. NiceGUI is imported here, before any module of it asks for it, and without what it never uses.

It is a server; the libraries under it look for HTTP clients, for when they
would be one. Importing those takes 0.4 s and 11 MB.
"""

import sys
from importlib import import_module

_CLIENTS = ("aiohttp", "requests", "websocket")


def _import_nicegui() -> None:
    absent = [name for name in _CLIENTS if name not in sys.modules]
    for name in absent:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import_module("nicegui")
    finally:
        for name in absent:
            del sys.modules[name]


_import_nicegui()
