"""The words in which a truth is written and a diagnosis is given: closed lists, known to candidates.

Not every code is used by a scenario.
"""

from collections.abc import Mapping

NONE = "none"

MECHANISMS: Mapping[str, str] = {
    NONE: "Nothing is broken.",
    "acquirer-declines": "An acquirer refuses every payment.",
    "cache-bypassed": "Reads no longer go through the cache.",
    "card-range-declined": "An acquirer refuses the cards of one range; other cards are well.",
    "certificate-expired": "A certificate is no longer valid, so connections are refused.",
    "connection-leak": "Connections are not given back, and the pool has none left for others.",
    "deadlock": "Transactions wait for each other in a circle, and the database cancels them.",
    "disk-full": "Nothing can be written any more.",
    "lock-held": "A transaction that does nothing holds row locks that others wait for.",
    "memory-exhausted": "A process is killed for want of memory, again and again.",
    "missing-index": "A query goes through a whole table, because no index covers what it asks for.",
    "process-down": "A service does not run, or does not come up.",
    "query-timeout-too-short": "The database cancels queries before they can be done.",
    "record-missing": "A name has no address in DNS.",
    "record-stale": "A name has an address in DNS at which nobody listens.",
    "several-regressions": "One release brings several faults at once, each of which would be felt alone.",
    "traffic-surge": "More requests come than the service can serve.",
}
"""What goes on: how the fault produces the symptom."""

TRIGGERS: Mapping[str, str] = {
    NONE: "Nothing has changed.",
    "batch-job": "A scheduled job started.",
    "certificate-expiry": "A certificate reached its end.",
    "configuration-change": "Somebody changed a setting of a service.",
    "infrastructure-failure": "A machine, a disk or a network failed.",
    "manual-session": "Somebody worked by hand on the live database, or still does.",
    "partner-change": "Another company changed what it accepts.",
    "release": "A new release of a service went live.",
    "schema-migration": "A change of the database's schema went live without a release.",
    "traffic-growth": "More customers came, or a client sent more.",
    "zone-change": "Somebody changed the DNS zone.",
}
"""What set it off."""
