"""Names, asked of the lab's DNS server as ``dig`` would."""

from typing import Literal, cast, get_args

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype

from embedded.errors import IS_THE_LAB_UP, LabError
from lab.tools.api import Document
from lab.tools.seat import Seat
from services.common.client import INTERNAL_DOMAIN

TIMEOUT_S = 3.0
RecordType = Literal["A", "AAAA", "CNAME", "MX", "NS", "SOA", "TXT", "ANY"]


class Names:
    """The lab's DNS from outside."""

    def __init__(self, seat: Seat) -> None:
        self._server = seat.dns_server

    def lookup_name(self, name: str, record_type: RecordType = "A") -> Document:
        """Ask the lab's DNS server for a name; one without a dot is under internal.corp."""
        answer = self._asked(name, record_type)
        return {
            "name": str(answer.question[0].name),
            "type": record_type,
            "status": dns.rcode.to_text(answer.rcode()),
            "authoritative": bool(answer.flags & dns.flags.AA),
            "answers": [
                {
                    "name": str(rrset.name),
                    "ttl_s": rrset.ttl,
                    "type": dns.rdatatype.to_text(rrset.rdtype),
                    "value": str(rdata),
                }
                for rrset in answer.answer
                for rdata in rrset
            ],
            "server": f"{self._server[0]}:{self._server[1]}",
        }

    def _asked(self, name: str, record_type: RecordType) -> dns.message.Message:
        host, port = self._server
        full = name if "." in name else f"{name}.{INTERNAL_DOMAIN}"
        try:
            question = dns.message.make_query(dns.name.from_text(full), record_type)
            answer, _ = dns.query.udp_with_fallback(question, host, port=port, timeout=TIMEOUT_S)
        except (dns.exception.Timeout, OSError) as error:
            trouble = f"{full}: {host}:{port}: no answer: {error or type(error).__name__}"
            raise LabError(f"{trouble} {IS_THE_LAB_UP}") from error
        except dns.exception.DNSException as error:
            raise LabError(f"{full}: {host}:{port}: {error or type(error).__name__}") from error
        return answer


def record_type_of(text: str) -> RecordType:
    """A record type as a person writes it; ``LabError`` for one that is not asked for here."""
    if text.upper() not in get_args(RecordType):
        raise LabError(f"{text!r} is no record type; there are: {', '.join(get_args(RecordType))}")
    return cast(RecordType, text.upper())
