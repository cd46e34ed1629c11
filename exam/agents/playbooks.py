"""What the reference agent knows how to mend, each with the signs by which it is told.

A playbook is chosen by what is observed, never by a scenario's name.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from exam.agents.observations import FRAUD_CHECK, PROFILE_SESSIONS, WHO_BLOCKS, Normal, Observed
from exam.agents.tools import Tools

PROFILE = "GET /api/users/profile/{user_id}"
PAYMENT = "POST /api/payment"
REFUND = "POST /api/refund"
CHECKOUT = "POST /checkout"
TRANSACTIONS = "GET /api/transactions"
STATS = "GET /api/stats"
BALANCE = "GET /api/accounts/{customer_id}/balance"
WEBHOOK = "POST /api/webhooks/payment-gateway"

RECENT_PAYMENTS = (
    "SELECT status, reason, count(*) FROM payment.transactions"
    " WHERE created_at > now() - interval '3 minutes' GROUP BY 1, 2 ORDER BY 3 DESC"
)
END_SESSION = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE pid = {pid} AND state = 'idle in transaction'"
)
ERRORS_OF_INVENTORY = 'service:http_errors:ratio30s{service="inventory"}'
ERRORS_OF_PAYMENT = 'service:http_errors:ratio30s{service="payment"}'
ERRORS_OF_PROFILE = 'service:http_errors:ratio30s{service="profile"}'
LATENCY_OF_PROFILE = 'service:http_request_duration_seconds:p95_30s{service="profile"}'

Mitigation = Callable[[Tools, Normal, Observed], Awaitable[str]]


@dataclass(frozen=True, kw_only=True)
class Playbook:
    """One kind of incident: how it is recognised, what is said about it, what is done."""

    found: str
    applies: Callable[[Normal, Observed], bool]
    mitigate: Mitigation
    """Does it, and says what was done."""
    component: str
    mechanism: str
    trigger: str
    severity: str = "critical"
    suffering: str
    """The service whose log lines and traces show it."""
    affected: tuple[str, ...]
    healthy: tuple[str, ...]
    ruled_out: tuple[tuple[str, str], ...]
    metric: str
    statement: str


async def _put_record(tools: Tools, before: Normal, _seen: Observed) -> str:
    if before.fraud_address is None:
        await tools("change_settings", service="payment", settings={"fraud_policy": "degraded"})
        return "set payment's fraud policy to degraded, since the right address is not known"
    await tools("put_record", name=FRAUD_CHECK, address=before.fraud_address, ttl_s=5)
    return f"restored the address record {FRAUD_CHECK} in the zone"


async def _put_record_and_forget(tools: Tools, before: Normal, seen: Observed) -> str:
    done = await _put_record(tools, before, seen)
    await tools("change_settings", service="payment", settings={"remember_addresses": False})
    return f"{done} and set payment to ask DNS anew"


async def _end_session(tools: Tools, _before: Normal, seen: Observed) -> str:
    assert seen.blocker is not None
    statement = END_SESSION.format(pid=seen.blocker.pid)
    await tools("run_sql", statement=statement)
    return f"ended the session {seen.blocker.application} (pid {seen.blocker.pid}), idle in its transaction"


async def _roll_back_profile(tools: Tools, _before: Normal, _seen: Observed) -> str:
    settings = (await tools("rollback", service="profile"))["settings"]
    return f"rolled profile back to release {settings['release']['value']}"


async def _send_range_to_backup(tools: Tools, _before: Normal, seen: Observed) -> str:
    ranges = [seen.refused_card_range]
    await tools("change_settings", service="payment", settings={"backup_card_ranges": ranges})
    return f"set payment to send cards of range {seen.refused_card_range} to the backup acquirer"


def _is_held_by(application: str) -> Callable[[Normal, Observed], bool]:
    return lambda _before, seen: seen.blocker is not None and seen.blocker.application == application


def _profile_pages(seen: Observed) -> bool:
    return any(name.startswith("Profile") for name in seen.alerts)


_FRAUD_IS_WELL = ("fraud", "It answers each check that reaches it; its error ratio is 0.")
_INVENTORY_IS_WELL = ("inventory", "Its reservations answer as fast as before, without an error.")
_PAYMENT_IS_WELL = ("payment", "Payments succeed at the usual rate; its release changed a message only.")
_PROFILE_IS_WELL = ("profile", "Profiles answer as before: no errors, and the usual latency.")

_fraud_check_is_not_found = partial(
    Playbook,
    component="dns",
    trigger="zone-change",
    suffering="payment",
    affected=(PAYMENT, REFUND),
    healthy=(PROFILE, TRANSACTIONS, BALANCE),
    ruled_out=(_FRAUD_IS_WELL, _INVENTORY_IS_WELL),
    metric=ERRORS_OF_PAYMENT,
    statement=RECENT_PAYMENTS,
)

_profile_is_released_broken = partial(
    Playbook,
    mitigate=_roll_back_profile,
    component="profile",
    trigger="release",
    suffering="profile",
    affected=(PROFILE,),
    healthy=(PAYMENT, REFUND, TRANSACTIONS, STATS),
    ruled_out=(_PAYMENT_IS_WELL, _INVENTORY_IS_WELL),
    statement=PROFILE_SESSIONS,
)

PLAYBOOKS = (
    _fraud_check_is_not_found(
        found="The name of the fraud check is gone from DNS.",
        applies=lambda _before, seen: seen.fraud_status == "NXDOMAIN",
        mitigate=_put_record,
        mechanism="record-missing",
    ),
    _fraud_check_is_not_found(
        found="The name of the fraud check leads to an address at which nobody listens.",
        applies=lambda _before, seen: seen.fraud_unreachable,
        mitigate=_put_record_and_forget,
        mechanism="record-stale",
    ),
    Playbook(
        found="The stock-taking job holds row locks, and reservations wait for it.",
        applies=_is_held_by("stock-take"),
        mitigate=_end_session,
        component="inventory",
        mechanism="lock-held",
        trigger="batch-job",
        suffering="inventory",
        affected=(PAYMENT, CHECKOUT),
        healthy=(PROFILE, TRANSACTIONS, REFUND),
        ruled_out=(_FRAUD_IS_WELL, _PROFILE_IS_WELL),
        metric=ERRORS_OF_INVENTORY,
        statement=WHO_BLOCKS,
    ),
    Playbook(
        found="A forgotten session of the back office holds an account, and payments queue behind it.",
        applies=_is_held_by("back-office"),
        mitigate=_end_session,
        component="payment",
        mechanism="lock-held",
        trigger="manual-session",
        suffering="payment",
        affected=(PAYMENT, REFUND, CHECKOUT, TRANSACTIONS, BALANCE),
        healthy=(PROFILE,),
        ruled_out=(_FRAUD_IS_WELL, _INVENTORY_IS_WELL),
        metric=ERRORS_OF_PAYMENT,
        statement=WHO_BLOCKS,
    ),
    _profile_is_released_broken(
        found="The release of profile leaks sessions, reads past the cache and scans for each user.",
        applies=lambda _before, seen: _profile_pages(seen) and seen.profile_leaks and seen.profile_scans,
        mechanism="several-regressions",
        metric=ERRORS_OF_PROFILE,
    ),
    _profile_is_released_broken(
        found="The release of profile does not give its database sessions back.",
        applies=lambda _before, seen: _profile_pages(seen) and seen.profile_leaks,
        mechanism="connection-leak",
        metric=ERRORS_OF_PROFILE,
    ),
    _profile_is_released_broken(
        found="The release of profile finds users by an expression that no index covers.",
        applies=lambda _before, seen: _profile_pages(seen) and seen.profile_scans,
        mechanism="missing-index",
        severity="high",
        metric=LATENCY_OF_PROFILE,
    ),
    Playbook(
        found="The acquirer refuses the cards of one range.",
        applies=lambda _before, seen: seen.refused_card_range is not None,
        mitigate=_send_range_to_backup,
        component="payment",
        mechanism="card-range-declined",
        trigger="partner-change",
        suffering="payment",
        affected=(PAYMENT, CHECKOUT),
        healthy=(PROFILE, REFUND, TRANSACTIONS, BALANCE),
        ruled_out=(_FRAUD_IS_WELL, _INVENTORY_IS_WELL),
        metric=ERRORS_OF_PAYMENT,
        statement=RECENT_PAYMENTS,
    ),
)
"""The more telling sign first: a name that is gone explains errors that a release would explain, too."""


def choose(before: Normal, seen: Observed) -> Playbook | None:
    """The first playbook whose signs are seen."""
    return next((playbook for playbook in PLAYBOOKS if playbook.applies(before, seen)), None)
