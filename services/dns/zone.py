"""The zone: a standard master file (RFC 1035), re-read when it changes, and changed safely."""

import contextlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import dns.exception
import dns.name
import dns.node
import dns.rdataset
import dns.rdatatype
import dns.zone
import structlog

from services.common.errors import Unavailable

log = structlog.get_logger()

Stamp = tuple[int, int, int]
"""Inode, time of change and size of a file: what tells one version of it from another."""
ORIGIN = dns.name.from_text("internal.corp.")


class ZoneNotLoaded(Unavailable):
    """The zone file was broken when the server started, and nobody has mended it yet."""


class LiveZone:
    """A zone in a file that people may edit by hand.

    A file that cannot be read or parsed leaves the zone as it was before, as a
    name server does, and is said in the log once. A server that starts with
    such a file has no zone until the file is mended or restored.
    """

    def __init__(self, file: Path, *, shipped: Path, addresses: Mapping[str, str] | None = None) -> None:
        """``addresses`` are where names of the shipped zone are in this lab, if not where it says."""
        self.file = file
        self._shipped = shipped
        self._addresses = addresses or {}
        # Also for readers, who load the zone, and re-entrant: to change it is to read it first.
        self._lock = threading.RLock()
        self._seen: Stamp | None = None
        self._zone: dns.zone.Zone | None = None
        if not file.exists():
            self.restore()

    def current(self) -> dns.zone.Zone | None:
        """The zone as its file has it, or had it when it could last be read; ``None`` if it never could."""
        with self._lock:
            stamp = self._stamp()
            if stamp != self._seen:
                try:
                    self._zone = dns.zone.from_file(str(self.file), origin=ORIGIN)
                    log.info("zone.loaded", file=self.file.name)
                except (OSError, UnicodeDecodeError, dns.exception.DNSException) as error:
                    log.error("zone.refused", file=self.file.name, error=str(error))
                finally:
                    self._seen = stamp
            return self._zone

    def find(self, name: str, kind: str) -> list[str]:
        """The values of a name's records of one type, empty if there are none; raises ``ZoneNotLoaded``."""
        found = self._loaded().get_rdataset(dns.name.from_text(name, None), kind)
        return [] if found is None else [rdata.to_text() for rdata in found]

    def put(self, name: str, kind: str, value: str, *, ttl_s: int) -> None:
        """Replace a name's records of one type by this one.

        Raises ``dns.exception.DNSException`` for a bad value and ``ZoneNotLoaded``.
        """
        rdataset = dns.rdataset.from_text("IN", kind, ttl_s, value)
        with self._editing() as transaction:
            transaction.replace(dns.name.from_text(name, None), rdataset)

    def remove(self, name: str) -> None:
        """Remove every record of a name; nothing happens if it has none. Raises ``ZoneNotLoaded``."""
        owner = dns.name.from_text(name, None)
        if self._loaded().get_node(owner) is None:
            return
        with self._editing() as transaction:
            transaction.delete(owner)

    def restore(self) -> None:
        """Put the shipped zone back, word for word where its addresses are this lab's."""
        zone = dns.zone.from_file(str(self._shipped), origin=ORIGIN)
        moved = {
            name: address
            for name, address in self._addresses.items()
            if [rdata.to_text() for rdata in zone.find_rdataset(name, "A")] != [address]
        }
        if not moved:
            self._replace_file(self._shipped.read_text())
            return
        for name, address in moved.items():
            shipped = zone.find_rdataset(name, "A")
            zone.replace_rdataset(name, dns.rdataset.from_text("IN", "A", shipped.ttl, address))
        self._replace_file(zone.to_text(want_origin=True))

    def _loaded(self) -> dns.zone.Zone:
        zone = self.current()
        if zone is None:
            raise ZoneNotLoaded(f"the zone file {self.file.name} cannot be read: mend it first")
        return zone

    @contextlib.contextmanager
    def _editing(self):  # type: ignore[no-untyped-def]
        """A dnspython transaction on a copy of the zone; its end writes the file with a higher serial."""
        with self._lock:
            zone = dns.zone.from_text(self._loaded().to_text(want_origin=True), origin=ORIGIN)
            with zone.writer() as transaction:
                yield transaction
                transaction.update_serial()
            self._replace_file(zone.to_text(want_origin=True))

    def _replace_file(self, text: str) -> None:
        with self._lock:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            new = self.file.with_suffix(".new")
            new.write_text(text)
            new.replace(self.file)

    def _stamp(self) -> Stamp | None:
        try:
            stat = os.stat(self.file)
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size
