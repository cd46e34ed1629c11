"""Ports for labs that must not meet: tests side by side, benchmarks beside a lab.

A port that the kernel picks (``bind`` to 0) is one that it may give to any
outgoing connection a moment later. These lie below that range, and each
process takes them out of a block that is its own.
"""

import socket

_FIRST = 15_000
_BLOCK = 500
_BLOCKS = 34
"""Up to 32,000: Linux' outgoing connections begin at 32,768, those of macOS at 49,152."""


class _Block:
    """Ports that no other process hands out: whoever holds a block's first port has the block."""

    def __init__(self) -> None:
        for number in range(_BLOCKS):
            first = _FIRST + number * _BLOCK
            holder = socket.socket()
            try:
                holder.bind(("127.0.0.1", first))
            except OSError:
                holder.close()
                continue
            # It stays bound, and is nobody's to close: it goes with the process.
            holder.detach()
            self._first = first
            self._given = 0
            return
        raise OSError(f"no block of ports is free between {_FIRST} and {_FIRST + _BLOCKS * _BLOCK}")

    def next(self) -> int:
        """The free port that was given out the longest time ago."""
        for _ in range(_BLOCK):
            self._given = self._given % (_BLOCK - 1) + 1
            port = self._first + self._given
            if _is_free(port):
                return port
        raise OSError(f"all {_BLOCK} ports from {self._first} on are in use")


_block: _Block | None = None


def free_port() -> int:
    """A port of the loopback address that is free now, for TCP and for UDP.

    ``OSError`` when there is none.
    """
    global _block
    if _block is None:
        _block = _Block()
    return _block.next()


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
