"""What an authoritative server answers to each kind of question."""

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dns.answer import EDNS_PAYLOAD_BYTES, PLAIN_UDP_BYTES, answer
from services.dns.zone import ORIGIN

MANY = "\n".join(f"many IN A 10.0.{n // 250}.{n % 250 + 1}" for n in range(300))
ZONE = dns.zone.from_text(
    f"""
$TTL 60
@         IN SOA   ns1 hostmaster ( 7 3600 600 86400 5 )
@         IN NS    ns1
ns1       IN A     127.0.0.1
fraud-api IN A     127.0.0.2
reports   IN CNAME ledger
ledger    IN A     127.0.0.3
outward   IN CNAME www.elsewhere.test.
dangling  IN CNAME nowhere
ring-a    IN CNAME ring-b
ring-b    IN CNAME ring-a
a.b.deep  IN A     127.0.0.4
*.wild    IN A     127.0.0.5
mail      IN MX    10 ns1
{MANY}
""",
    origin=ORIGIN,
)


def ask(name: str, kind: str = "A", *, over_udp: bool = True, **options: object) -> dns.message.Message:
    """The server's answer, over the wire format and back."""
    query = dns.message.make_query(name, kind, **options)
    wire = answer(query.to_wire(), ZONE, over_udp=over_udp)
    assert wire is not None
    response = dns.message.from_wire(wire)
    assert query.is_response(response)
    return response


def texts(rrsets: list[dns.rrset.RRset]) -> list[str]:
    return [rrset.to_text() for rrset in rrsets]


SOA = ["internal.corp. 5 IN SOA ns1.internal.corp. hostmaster.internal.corp. 7 3600 600 86400 5"]


def test_an_address_is_answered_with_authority() -> None:
    response = ask("fraud-api.internal.corp")

    assert response.rcode() == dns.rcode.NOERROR
    assert texts(response.answer) == ["fraud-api.internal.corp. 60 IN A 127.0.0.2"]
    assert response.flags & dns.flags.AA
    assert response.flags & dns.flags.QR
    assert not response.flags & dns.flags.RA
    assert response.authority == []


def test_names_are_compared_without_regard_to_case() -> None:
    assert texts(ask("FRAUD-api.Internal.CORP").answer) == ["FRAUD-api.Internal.CORP. 60 IN A 127.0.0.2"]


def test_a_name_that_is_not_there_is_nxdomain_with_the_soa() -> None:
    response = ask("fraud-api2.internal.corp")

    assert response.rcode() == dns.rcode.NXDOMAIN
    assert response.answer == []
    assert texts(response.authority) == SOA
    assert response.flags & dns.flags.AA


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("fraud-api", "AAAA"),
        ("fraud-api", "MX"),
        ("b.deep", "A"),
        ("deep", "A"),
        ("wild", "A"),
        ("x.wild", "MX"),
    ],
)
def test_a_name_without_that_type_is_nodata_with_the_soa(name: str, kind: str) -> None:
    response = ask(f"{name}.internal.corp", kind)

    assert response.rcode() == dns.rcode.NOERROR
    assert response.answer == []
    assert texts(response.authority) == SOA


def test_an_alias_is_followed_within_the_zone() -> None:
    response = ask("reports.internal.corp")

    assert texts(response.answer) == [
        "reports.internal.corp. 60 IN CNAME ledger.internal.corp.",
        "ledger.internal.corp. 60 IN A 127.0.0.3",
    ]
    assert response.authority == []


def test_an_alias_itself_can_be_asked_for() -> None:
    assert texts(ask("reports.internal.corp", "CNAME").answer) == [
        "reports.internal.corp. 60 IN CNAME ledger.internal.corp."
    ]


def test_an_alias_out_of_the_zone_is_left_to_the_resolver() -> None:
    response = ask("outward.internal.corp")

    assert response.rcode() == dns.rcode.NOERROR
    assert texts(response.answer) == ["outward.internal.corp. 60 IN CNAME www.elsewhere.test."]
    assert response.authority == []


def test_an_alias_to_nothing_is_nxdomain_with_alias_and_soa() -> None:
    response = ask("dangling.internal.corp")

    assert response.rcode() == dns.rcode.NXDOMAIN
    assert texts(response.answer) == ["dangling.internal.corp. 60 IN CNAME nowhere.internal.corp."]
    assert texts(response.authority) == SOA


def test_a_ring_of_aliases_is_answered_and_ends() -> None:
    response = ask("ring-a.internal.corp")

    assert response.rcode() == dns.rcode.NOERROR
    assert {rrset.rdtype for rrset in response.answer} == {dns.rdatatype.CNAME}


def test_a_wildcard_answers_under_the_name_that_was_asked_for() -> None:
    assert texts(ask("x.y.wild.internal.corp").answer) == ["x.y.wild.internal.corp. 60 IN A 127.0.0.5"]


def test_names_inside_records_are_written_out() -> None:
    assert texts(ask("mail.internal.corp", "MX").answer) == [
        "mail.internal.corp. 60 IN MX 10 ns1.internal.corp."
    ]


def test_any_answers_all_that_the_name_has() -> None:
    kinds = {rrset.rdtype for rrset in ask("internal.corp", "ANY").answer}

    assert kinds == {dns.rdatatype.SOA, dns.rdatatype.NS}


@pytest.mark.parametrize("name", ["example.org", "corp", ".", "notinternal.corp"])
def test_what_lies_outside_the_zone_is_refused(name: str) -> None:
    response = ask(name)

    assert response.rcode() == dns.rcode.REFUSED
    assert not response.flags & dns.flags.AA


@pytest.mark.parametrize("kind", ["AXFR", "IXFR"])
def test_the_zone_is_not_transferred(kind: str) -> None:
    assert ask("internal.corp", kind, over_udp=False).rcode() == dns.rcode.REFUSED


def test_a_class_other_than_internet_is_refused() -> None:
    assert ask("fraud-api.internal.corp", rdclass="CH").rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("opcode", [dns.opcode.STATUS, dns.opcode.NOTIFY, dns.opcode.UPDATE])
def test_other_operations_are_not_implemented(opcode: dns.opcode.Opcode) -> None:
    query = dns.message.make_query("internal.corp", "SOA")
    query.set_opcode(opcode)

    wire = answer(query.to_wire(), ZONE, over_udp=True)

    assert wire is not None
    assert int.from_bytes(wire[:2], "big") == query.id
    assert wire[3] & 0x0F == dns.rcode.NOTIMP


def test_edns_is_answered_with_edns_and_without_it_without() -> None:
    with_edns = ask("fraud-api.internal.corp", use_edns=0, payload=4096)

    assert with_edns.edns == 0
    assert with_edns.payload == EDNS_PAYLOAD_BYTES
    assert ask("fraud-api.internal.corp").edns == -1


def test_a_version_of_edns_that_it_does_not_speak_is_told_so() -> None:
    response = ask("fraud-api.internal.corp", use_edns=1)

    assert (response.rcode(), response.edns) == (dns.rcode.BADVERS, 0)
    assert response.answer == []


def test_an_answer_too_long_for_a_datagram_is_cut_and_whole_over_tcp() -> None:
    cut = ask("many.internal.corp")
    whole = ask("many.internal.corp", over_udp=False)

    assert cut.flags & dns.flags.TC
    assert len(cut.to_wire()) <= PLAIN_UDP_BYTES
    assert not whole.flags & dns.flags.TC
    assert len(whole.answer[0]) == 300


def test_a_client_that_takes_more_is_sent_no_more_than_passes_every_network() -> None:
    query = dns.message.make_query("many.internal.corp", "A", use_edns=0, payload=65535)

    wire = answer(query.to_wire(), ZONE, over_udp=True)

    assert wire is not None
    assert len(wire) <= EDNS_PAYLOAD_BYTES
    assert dns.message.from_wire(wire).flags & dns.flags.TC


def test_a_message_without_a_question_is_a_format_error() -> None:
    wire = answer(dns.message.Message(id=77).to_wire(), ZONE, over_udp=True)

    assert wire is not None
    assert dns.message.from_wire(wire).rcode() == dns.rcode.FORMERR


def test_a_server_without_a_zone_says_that_it_failed() -> None:
    query = dns.message.make_query("fraud-api.internal.corp", "A")

    wire = answer(query.to_wire(), None, over_udp=True)

    assert wire is not None
    assert dns.message.from_wire(wire).rcode() == dns.rcode.SERVFAIL


def test_an_answer_is_not_answered() -> None:
    response = dns.message.make_response(dns.message.make_query("fraud-api.internal.corp", "A"))

    assert answer(response.to_wire(), ZONE, over_udp=True) is None


def test_a_stub_of_a_message_is_not_answered() -> None:
    assert answer(b"\x00\x01\x02", ZONE, over_udp=True) is None


def test_a_message_cut_off_in_its_question_is_a_format_error_with_its_id() -> None:
    query = dns.message.make_query("fraud-api.internal.corp", "A")

    wire = answer(query.to_wire()[:20], ZONE, over_udp=True)

    assert wire is not None
    assert (dns.message.from_wire(wire).id, dns.message.from_wire(wire).rcode()) == (
        query.id,
        dns.rcode.FORMERR,
    )


@given(st.binary(max_size=120))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_no_bytes_break_it(wire: bytes) -> None:
    response = answer(wire, ZONE, over_udp=True)

    assert response is None or response[:2] == wire[:2]


@given(st.data())
@settings(max_examples=400, deadline=None, derandomize=True)
def test_no_flipped_bytes_in_a_real_question_break_it(draw: st.DataObject) -> None:
    wire = bytearray(dns.message.make_query("fraud-api.internal.corp", "A", use_edns=0, id=1).to_wire())
    for _ in range(draw.draw(st.integers(1, 4))):
        wire[draw.draw(st.integers(2, len(wire) - 1))] = draw.draw(st.integers(0, 255))

    response = answer(bytes(wire), ZONE, over_udp=True)

    assert response is None or response[:2] == bytes(wire[:2])
