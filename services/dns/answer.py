"""What an authoritative server answers (RFC 1034 section 4.3.2, RFC 2308 for what is not there)."""

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.node
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone

EDNS_VERSION = 0
EDNS_PAYLOAD_BYTES = 1232
PLAIN_UDP_BYTES = 512
_MAX_ALIASES = 8


def answer(wire: bytes, zone: dns.zone.Zone | None, *, over_udp: bool) -> bytes | None:
    """The answer to one message, or ``None`` for what deserves none (too short, itself an answer).

    A server that has no ``zone`` answers SERVFAIL.
    """
    try:
        query = dns.message.from_wire(wire)
    except dns.message.ShortHeader:
        return None
    except dns.exception.DNSException:
        return _format_error(wire)
    if query.flags & dns.flags.QR:
        return None
    response = dns.message.make_response(query, our_payload=EDNS_PAYLOAD_BYTES)
    if query.edns > EDNS_VERSION:
        response.set_rcode(dns.rcode.BADVERS)
    elif query.opcode() != dns.opcode.QUERY:
        response.set_rcode(dns.rcode.NOTIMP)
    elif len(query.question) != 1:
        response.set_rcode(dns.rcode.FORMERR)
    elif zone is None:
        response.set_rcode(dns.rcode.SERVFAIL)
    else:
        _resolve(response, zone)
    limit = max(query.payload, PLAIN_UDP_BYTES) if query.edns >= 0 else PLAIN_UDP_BYTES
    return _to_wire(response, limit=min(limit, EDNS_PAYLOAD_BYTES) if over_udp else 65535)


def _resolve(response: dns.message.Message, zone: dns.zone.Zone) -> None:
    question = response.question[0]
    origin = zone.origin
    assert origin is not None
    in_class = question.rdclass in (dns.rdataclass.IN, dns.rdataclass.ANY)
    is_transfer = question.rdtype in (dns.rdatatype.AXFR, dns.rdatatype.IXFR)
    if not in_class or is_transfer or not question.name.is_subdomain(origin):
        response.set_rcode(dns.rcode.REFUSED)
        return
    response.flags |= dns.flags.AA
    name = question.name
    for _ in range(_MAX_ALIASES):
        node = _node(zone, name)
        if node is None:
            if not _has_names_below(zone, name):
                response.set_rcode(dns.rcode.NXDOMAIN)
            break
        found = [r for r in node if question.rdtype in (r.rdtype, dns.rdatatype.ANY)]
        alias = node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.CNAME)
        for rdataset in found or ([alias] if alias else []):
            response.answer.append(_rrset(name, rdataset, origin))
        if found or alias is None:
            break
        name = alias[0].target.derelativize(origin)
        if not name.is_subdomain(origin):
            return
    answered = any(rrset.rdtype != dns.rdatatype.CNAME for rrset in response.answer)
    if not answered and question.rdtype != dns.rdatatype.CNAME:
        _add_soa(response, zone, origin)


def _node(zone: dns.zone.Zone, name: dns.name.Name) -> dns.node.Node | None:
    """The node of a name: its own, or the wildcard of the closest name above that exists (RFC 4592)."""
    node = zone.get_node(name)
    if node is not None or _has_names_below(zone, name):
        return node
    above = name.parent()
    while above != zone.origin and zone.get_node(above) is None and not _has_names_below(zone, above):
        above = above.parent()
    return zone.get_node(dns.name.Name(("*", *above.labels)))


def _has_names_below(zone: dns.zone.Zone, name: dns.name.Name) -> bool:
    relative = name.relativize(zone.origin or dns.name.root)
    return any(other != relative and other.is_subdomain(relative) for other in zone.nodes)


def _add_soa(response: dns.message.Message, zone: dns.zone.Zone, origin: dns.name.Name) -> None:
    soa = zone.get_rdataset(origin, dns.rdatatype.SOA)
    if soa is None:
        return
    rrset = _rrset(origin, soa, origin)
    # How long a resolver may remember that there is nothing: the lesser of TTL and minimum.
    rrset.ttl = min(soa.ttl, soa[0].minimum)
    response.authority.append(rrset)


def _rrset(name: dns.name.Name, rdataset: dns.rdataset.Rdataset, origin: dns.name.Name) -> dns.rrset.RRset:
    """The records under their owner, every name in them written out to the root."""
    return dns.rrset.from_rdata_list(
        name, rdataset.ttl, [rdata.replace(**_absolute_names(rdata, origin)) for rdata in rdataset]
    )


def _absolute_names(rdata: dns.rdata.Rdata, origin: dns.name.Name) -> dict[str, dns.name.Name]:
    names = ("target", "mname", "rname", "exchange")
    found = {field: getattr(rdata, field) for field in names if hasattr(rdata, field)}
    return {field: name.derelativize(origin) for field, name in found.items()}


def _to_wire(response: dns.message.Message, *, limit: int) -> bytes:
    try:
        return response.to_wire(max_size=limit)
    except dns.exception.TooBig:
        short = dns.message.Message(id=response.id)
        short.flags = response.flags | dns.flags.TC
        short.question = response.question
        return short.to_wire()


def _format_error(wire: bytes) -> bytes:
    response = dns.message.Message(id=int.from_bytes(wire[:2], "big"))
    response.flags = dns.flags.QR
    response.set_rcode(dns.rcode.FORMERR)
    return response.to_wire()
