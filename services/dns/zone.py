"""The zone: a standard master file (RFC 1035), re-read when it changes, and changed safely."""

import contextlib
import os
import shutil
import threading
from pathlib import Path

import dns.exception
import dns.name
import dns.node
import dns.rdataset
import dns.rdatatype
import dns.zone
import structlog

log = structlog.get_logger()

ORIGIN = dns.name.from_text("internal.corp.")


class LiveZone:
    """A zone in a file that people may edit by hand.

    A file that cannot be read or parsed leaves the zone as it was before, as a
    name server does, and is said in the log once.
    """

    def __init__(self, file: Path, *, shipped: Path) -> None:
        self.file = file
        self._shipped = shipped
        self._lock = threading.Lock()
        if not file.exists():
            self.restore()
        self._seen = self._stamp()
        self._zone = self._parse()

    def current(self) -> dns.zone.Zone:
        """The zone as its file has it now."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            try:
                self._zone = self._parse()
                log.info("zone.loaded", file=self.file.name)
            except (OSError, dns.exception.DNSException) as error:
                log.error("zone.refused", file=self.file.name, error=str(error))
        return self._zone

    def find(self, name: str, kind: str) -> list[str]:
        """The values of a name's records of one type, empty if there are none."""
        found = self.current().get_rdataset(dns.name.from_text(name, None), kind)
        return [] if found is None else [rdata.to_text() for rdata in found]

    def put(self, name: str, kind: str, value: str, *, ttl_s: int) -> None:
        """Replace a name's records of one type by this one; raises ``dns.exception.DNSException``."""
        rdataset = dns.rdataset.from_text("IN", kind, ttl_s, value)
        with self._editing() as transaction:
            transaction.replace(dns.name.from_text(name, None), rdataset)

    def remove(self, name: str) -> None:
        """Remove every record of a name; nothing happens if it has none."""
        owner = dns.name.from_text(name, None)
        if self.current().get_node(owner) is None:
            return
        with self._editing() as transaction:
            transaction.delete(owner)

    def restore(self) -> None:
        """Put the shipped zone back."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(".new")
        shutil.copyfile(self._shipped, new)
        new.replace(self.file)

    @contextlib.contextmanager
    def _editing(self):  # type: ignore[no-untyped-def]
        """A dnspython transaction on the zone; its end writes the file with a higher serial."""
        with self._lock:
            zone = self._parse()
            with zone.writer() as transaction:
                yield transaction
                transaction.update_serial()
            new = self.file.with_suffix(".new")
            zone.to_file(str(new), want_origin=True)
            new.replace(self.file)

    def _parse(self) -> dns.zone.Zone:
        return dns.zone.from_file(str(self.file), origin=ORIGIN)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = os.stat(self.file)
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size
