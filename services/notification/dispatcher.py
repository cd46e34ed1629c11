"""The dispatcher: claims what is due and hands it to the receivers, each channel on its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import structlog
from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

from services.common.breaker import CircuitBreaker
from services.common.poller import Poller
from services.notification.metrics import notification_delivery, notifications, notifications_pending
from services.notification.outbox import Outbox
from services.notification.page import NotDelivered, Page, Receiver
from services.notification.schemas import Channel

log = structlog.get_logger()

POLL_S = 0.5
SLOTS = 16
"""Messages of one channel under way at once: a receiver that hangs uses up no other channel's."""
FINISH_S = 0.8
"""What is under way when the service ends gets so long; what is left then is due when its lease ends."""


class Dispatcher:
    """Delivers from the outbox while it runs."""

    def __init__(
        self,
        outbox: Outbox,
        receivers: Mapping[Channel, Sequence[Receiver]],
        *,
        timeout_s: float,
        max_attempts: int,
    ) -> None:
        self._outbox = outbox
        self._receivers = receivers
        self._timeout_s = timeout_s
        self._max_attempts = max_attempts
        for channel in receivers:
            # There from the start: a series that begins with its first event shows no increase by it.
            notification_delivery.labels(channel)
            notifications.labels(channel, "dead")
        self._under_way: dict[Channel, set[asyncio.Task[None]]] = {channel: set() for channel in receivers}
        self._breakers = {one.name: _closed_breaker() for of in receivers.values() for one in of}
        self._claiming = Poller("notification.claim", self._claim_due, every_s=POLL_S)

    def wake(self) -> None:
        """Look at once for what is due; may be called from any thread."""
        self._claiming.wake()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver while the block lasts; at its end, let what is under way finish, but not for long."""
        try:
            async with self._claiming.running():
                yield
        finally:
            tasks = {task for of in self._under_way.values() for task in of}
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=FINISH_S)
                for task in late:
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _claim_due(self) -> None:
        backlog = await to_thread.run_sync(self._outbox.backlog)
        notifications_pending.set(backlog.pending)
        for channel in backlog.due:
            free = SLOTS - len(self._under_way[channel])
            if free <= 0:
                continue
            for page in await to_thread.run_sync(self._outbox.claim, channel, free):
                task = asyncio.create_task(self._deliver(page))
                self._under_way[channel].add(task)
                task.add_done_callback(partial(self._finished, page))

    def _finished(self, page: Page, task: asyncio.Task[None]) -> None:
        self._under_way[page.channel].discard(task)
        self.wake()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("notification.attempt_crashed", **_named(page), error=repr(error))

    async def _deliver(self, page: Page) -> None:
        try:
            if page.number > self._max_attempts:
                await self._give_up(page, error="interrupted in its last attempt")
                return
            await self._attempt(page)
        except SQLAlchemyError as error:
            # Its lease ends, and then it is tried again: at least once.
            log.warning(
                "notification.outcome_unrecorded",
                delivery_id=str(page.delivery_id),
                error=str(error).partition("\n")[0],
            )

    async def _attempt(self, page: Page) -> None:
        left = [one for one in self._receivers[page.channel] if one.name not in page.reached]
        outcomes = await asyncio.gather(*(self._hand_over(page, one) for one in left))
        refusals = [outcome for outcome in outcomes if outcome is not None]
        if not refusals:
            for ended in await to_thread.run_sync(self._outbox.delivered, page):
                notifications.labels(page.channel, "delivered").inc()
                notification_delivery.labels(page.channel).observe(ended.waited_s)
            return
        error = "; ".join(str(refusal) for refusal in refusals)[:1000]
        notifications.labels(page.channel, "failed").inc()
        if page.number >= self._max_attempts:
            await self._give_up(page, error=error)
            return
        reached = page.reached | {
            one.name for one, outcome in zip(left, outcomes, strict=True) if outcome is None
        }
        log.warning("notification.attempt_failed", **_named(page), error=error)
        await to_thread.run_sync(lambda: self._outbox.postpone(page, reached=reached, error=error))

    async def _hand_over(self, page: Page, receiver: Receiver) -> NotDelivered | None:
        """``None`` when the receiver took it, and otherwise why not."""
        breaker = self._breakers[receiver.name]
        if not breaker.allows():
            return NotDelivered(f"{receiver.name}: not tried, it has failed repeatedly", is_down=True)
        try:
            async with asyncio.timeout(self._timeout_s):
                await receiver.deliver(page)
        except TimeoutError:
            refusal = NotDelivered(f"{receiver.name}: no answer within {self._timeout_s:g} s", is_down=True)
        except NotDelivered as error:
            refusal = error
        else:
            breaker.succeeded()
            return None
        if refusal.is_down:
            breaker.failed()
        else:
            breaker.succeeded()
        return refusal

    async def _give_up(self, page: Page, *, error: str) -> None:
        for ended in await to_thread.run_sync(lambda: self._outbox.dead(page, error=error)):
            notifications.labels(page.channel, "dead").inc()
            log.error(
                "notification.dead", **{**_named(page), "delivery_id": str(ended.delivery_id)}, error=error
            )


def _named(page: Page) -> dict[str, object]:
    return {
        "delivery_id": str(page.delivery_id),
        "incident_id": page.incident_id,
        "channel": page.channel,
        "recipient": page.recipient,
        "attempt": page.number,
    }


def _closed_breaker() -> CircuitBreaker:
    breaker = CircuitBreaker()
    breaker.enabled = True
    return breaker
