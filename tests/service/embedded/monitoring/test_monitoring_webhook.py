"""Posting alerts to a receiver that is real, and not always well."""

import asyncio
from pathlib import Path

import pytest

from embedded.free_ports import free_port
from embedded.monitoring import alertmanager
from embedded.monitoring.alertmanager import RESTORED_FOR_S, Notifier
from embedded.monitoring.alerts import Alert
from embedded.monitoring.app import new_client
from embedded.monitoring.store import labels_of
from tests.service.embedded.monitoring.conftest import Receiver, receiving

FIRED_MS = 1_700_000_000_000


def alert(state: str = "firing", *, name: str = "Bad", service: str = "payment", route: str = "") -> Alert:
    labels = labels_of({"alertname": name, "service": service, "severity": "high", "route": route})
    made = Alert(labels, {"summary": "It is bad."}, 0.5, "firing", FIRED_MS - 10_000, FIRED_MS)
    made.fired_at_ms = FIRED_MS
    if state == "resolved":
        made.state, made.resolved_at_ms = "resolved", FIRED_MS + 30_500
    return made


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def notify(receiver: Receiver, *updates: list[Alert], accepted: int, clock: Clock | None = None) -> None:
    """Give the notifier each update, and wait until the receiver has accepted so many messages."""
    asyncio.run(_notify(receiver, updates, accepted=accepted, clock=clock or Clock()))


async def _notify(
    receiver: Receiver, updates: tuple[list[Alert], ...], *, accepted: int, clock: Clock
) -> None:
    async with new_client() as client:
        notifier = Notifier(
            f"{receiver.url}/hook",
            client=client,
            external_url="http://127.0.0.1:9090/",
            expressions={"Bad": 'm{x="y"} > 0'},
            clock=clock,
            first_retry_s=0.02,
        )
        for update in updates:
            notifier.update(update)
        await _accepted(receiver, accepted)
        # What must not come would come now.
        await asyncio.sleep(0.1)
        await notifier.close()


async def _accepted(receiver: Receiver, count: int) -> None:
    async with asyncio.timeout(10):
        # The receiver lives in a thread of its own and has no event to wait for.
        while len(receiver.accepted) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def told(receiver: Receiver) -> list[list[tuple[str, str]]]:
    """Route and status of each alert, by message."""
    return [[(a["labels"]["route"], a["status"]) for a in m["alerts"]] for m in receiver.accepted]


def test_a_message_is_in_alertmanagers_format(receiver: Receiver) -> None:
    notify(receiver, [alert(route="/a"), alert("resolved", route="/b")], accepted=1)

    assert receiver.accepted == [
        {
            "version": "4",
            "groupKey": '{}:{alertname="Bad", service="payment"}',
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "alert-ingestion",
            "groupLabels": {"alertname": "Bad", "service": "payment"},
            "commonLabels": {"alertname": "Bad", "service": "payment", "severity": "high"},
            "commonAnnotations": {"summary": "It is bad."},
            "externalURL": "http://127.0.0.1:9090",
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": "Bad", "route": "/a", "service": "payment", "severity": "high"},
                    "annotations": {"summary": "It is bad."},
                    "startsAt": "2023-11-14T22:13:20.000Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://127.0.0.1:9090/graph?g0.expr=m%7Bx%3D%22y%22%7D%20%3E%200&g0.tab=1",
                    "fingerprint": alert(route="/a").fingerprint,
                },
                {
                    "status": "resolved",
                    "labels": {"alertname": "Bad", "route": "/b", "service": "payment", "severity": "high"},
                    "annotations": {"summary": "It is bad."},
                    "startsAt": "2023-11-14T22:13:20.000Z",
                    "endsAt": "2023-11-14T22:13:50.500Z",
                    "generatorURL": "http://127.0.0.1:9090/graph?g0.expr=m%7Bx%3D%22y%22%7D%20%3E%200&g0.tab=1",
                    "fingerprint": alert(route="/b").fingerprint,
                },
            ],
        }
    ]


def test_a_message_is_posted_until_it_is_accepted_and_the_next_one_after_it(receiver: Receiver) -> None:
    receiver.statuses = [503, 500, 429, 200, 502, 200]

    notify(receiver, [alert()], [alert("resolved")], accepted=2)

    assert [message["status"] for message in receiver.posts] == [*["firing"] * 4, *["resolved"] * 2]
    assert [message["status"] for message in receiver.accepted] == ["firing", "resolved"]


def test_a_receiver_that_says_when_it_takes_more_is_not_asked_before(receiver: Receiver) -> None:
    receiver.statuses = [503]
    receiver.headers = {"retry-after": "0.5"}

    notify(receiver, [alert()], accepted=1)

    first_s, second_s = receiver.posted_at_s
    assert second_s - first_s >= 0.5


def test_a_receiver_that_is_not_there_yet_gets_it_when_it_is() -> None:
    port = free_port()

    async def played() -> Receiver:
        async with new_client() as client:
            url = f"http://127.0.0.1:{port}"
            notifier = Notifier(url, client=client, external_url="", expressions={}, first_retry_s=0.02)
            notifier.update([alert()])
            await asyncio.sleep(0.2)
            with receiving(port) as late:
                await _accepted(late, 1)
                await notifier.close()
                return late

    assert len(asyncio.run(played()).posts) == 1


def test_a_message_that_is_refused_is_not_repeated(receiver: Receiver) -> None:
    receiver.statuses = [422]

    notify(receiver, [alert()], [alert("resolved")], accepted=1)

    assert [message["status"] for message in receiver.posts] == ["firing", "resolved"]


def test_what_fires_on_is_posted_again_after_some_minutes_and_not_before(receiver: Receiver) -> None:
    clock = Clock()

    async def played() -> None:
        async with new_client() as client:
            notifier = Notifier(receiver.url, client=client, external_url="", expressions={}, clock=clock)
            for now_s in (
                0.0,
                5.0,
                alertmanager.REPEAT_S - 1,
                alertmanager.REPEAT_S,
                alertmanager.REPEAT_S + 5,
            ):
                clock.now_s = now_s
                notifier.update([alert()])
                await asyncio.sleep(0.1)
            await notifier.close()

    asyncio.run(played())

    assert [message["status"] for message in receiver.accepted] == ["firing", "firing"]


def test_groups_do_not_wait_for_each_other(receiver: Receiver) -> None:
    receiver.statuses = [503]
    receiver.headers = {"retry-after": "9"}

    notify(receiver, [alert(service="payment"), alert(service="profile")], accepted=1)

    assert receiver.accepted[0]["groupLabels"]["service"] != receiver.posts[0]["groupLabels"]["service"]


def test_alerts_of_one_group_come_together_and_news_of_it_with_all_that_fire(receiver: Receiver) -> None:
    first, second = alert(route="/a"), alert(route="/b")

    notify(receiver, [first], [first, second], [alert("resolved", route="/a"), second], accepted=3)

    assert told(receiver) == [
        [("/a", "firing")],
        [("/a", "firing"), ("/b", "firing")],
        [("/a", "resolved"), ("/b", "firing")],
    ]


def test_a_receiver_that_stays_away_does_not_fill_the_memory(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alertmanager, "MAX_UNSENT", 3)
    changes = [[alert()], [alert("resolved")]] * 4

    notify(receiver, *changes, accepted=3)

    assert [message["status"] for message in receiver.accepted] == ["resolved", "firing", "resolved"]


def test_a_message_that_is_given_up_while_it_is_posted_does_not_take_the_next_one_with_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alertmanager, "MAX_UNSENT", 1)

    async def played() -> None:
        async with new_client() as client:
            notifier = Notifier(receiver.url, client=client, external_url="", expressions={})
            notifier.update([alert()])
            # From here on it is being posted.
            await asyncio.sleep(0)
            notifier.update([alert("resolved")])
            await _accepted(receiver, 2)
            await notifier.close()

    asyncio.run(played())

    assert [message["status"] for message in receiver.accepted] == ["firing", "resolved"]


class Monitoring:
    """A notifier that is killed and started again, with the same file and the same receiver.

    A lab's first life does not resume; its others do.
    """

    def __init__(self, receiver: Receiver, path: Path) -> None:
        self.clock = Clock()
        self._receiver = receiver
        self._path = path

    def life(self, *updates: tuple[float, list[Alert]], accepted: int, resumes: bool = True) -> None:
        """Start, take in the updates, each so many seconds after the start, and die without a goodbye."""
        asyncio.run(self._life(updates, accepted=accepted, resumes=resumes))

    async def _life(
        self, updates: tuple[tuple[float, list[Alert]], ...], *, accepted: int, resumes: bool
    ) -> None:
        began_s = self.clock.now_s
        async with new_client() as client:
            notifier = Notifier(
                self._receiver.url,
                client=client,
                external_url="",
                expressions={},
                path=self._path,
                resumes=resumes,
                clock=self.clock,
                first_retry_s=0.02,
            )
            for after_s, alerts in updates:
                self.clock.now_s = began_s + after_s
                notifier.update(alerts)
            await _accepted(self._receiver, accepted)
            await asyncio.sleep(0.1)
            await notifier.close()


def test_an_alert_that_ends_while_the_monitoring_is_away_is_resolved_after_a_while(
    receiver: Receiver, tmp_path: Path
) -> None:
    monitoring = Monitoring(receiver, tmp_path / "told.json")
    monitoring.life((0, [alert(route="/a"), alert(route="/b")]), accepted=1)
    monitoring.life((5, []), (RESTORED_FOR_S - 1, [alert(route="/b")]), accepted=2)
    monitoring.life((5, [alert(route="/b")]), (RESTORED_FOR_S, [alert(route="/b")]), accepted=4)

    assert told(receiver) == [
        [("/a", "firing"), ("/b", "firing")],
        [("/b", "firing")],
        [("/b", "firing")],
        [("/a", "resolved"), ("/b", "firing")],
    ]
    assert all(
        a["endsAt"] > a["startsAt"] for a in receiver.accepted[-1]["alerts"] if a["status"] == "resolved"
    )


def test_a_message_that_was_not_accepted_is_posted_by_the_monitoring_that_comes_back(tmp_path: Path) -> None:
    port = free_port()
    away = Receiver(f"http://127.0.0.1:{port}")
    Monitoring(away, tmp_path / "told.json").life((0, [alert()]), (5, [alert("resolved")]), accepted=0)

    with receiving(port) as receiver:
        Monitoring(receiver, tmp_path / "told.json").life((5, []), accepted=2)

    assert [message["status"] for message in receiver.accepted] == ["firing", "resolved"]


def test_what_fired_in_the_lab_before_is_over_when_a_lab_starts_and_fires_anew(
    receiver: Receiver, tmp_path: Path
) -> None:
    monitoring = Monitoring(receiver, tmp_path / "told.json")
    monitoring.life((0, [alert(route="/a"), alert(route="/b")]), accepted=1, resumes=False)
    monitoring.life((5, []), (50, [alert(route="/a")]), accepted=3, resumes=False)

    assert told(receiver) == [
        [("/a", "firing"), ("/b", "firing")],
        [("/a", "resolved"), ("/b", "resolved")],
        [("/a", "firing")],
    ]
    assert all(a["endsAt"] > a["startsAt"] for a in receiver.accepted[1]["alerts"])


def test_an_alert_that_fires_at_a_labs_first_update_is_a_new_one(receiver: Receiver, tmp_path: Path) -> None:
    monitoring = Monitoring(receiver, tmp_path / "told.json")
    monitoring.life((0, [alert(route="/a")]), accepted=1, resumes=False)
    monitoring.life((5, [alert(route="/a")]), accepted=3, resumes=False)

    assert told(receiver) == [[("/a", "firing")], [("/a", "resolved")], [("/a", "firing")]]


def test_a_monitoring_that_dies_before_its_first_update_ends_what_fired_in_the_lab_before(
    receiver: Receiver, tmp_path: Path
) -> None:
    monitoring = Monitoring(receiver, tmp_path / "told.json")
    monitoring.life((0, [alert(route="/a")]), accepted=1, resumes=False)
    monitoring.life(accepted=1, resumes=False)
    monitoring.life((5, []), accepted=2)

    assert told(receiver) == [[("/a", "firing")], [("/a", "resolved")]]


def test_what_the_lab_before_had_still_to_tell_comes_first(tmp_path: Path) -> None:
    port = free_port()
    away = Receiver(f"http://127.0.0.1:{port}")
    Monitoring(away, tmp_path / "told.json").life((0, [alert(route="/a")]), accepted=0, resumes=False)

    with receiving(port) as receiver:
        monitoring = Monitoring(receiver, tmp_path / "told.json")
        monitoring.life((5, []), (50, [alert(route="/a")]), accepted=3, resumes=False)

    assert told(receiver) == [[("/a", "firing")], [("/a", "resolved")], [("/a", "firing")]]


def test_a_file_that_cannot_be_understood_is_as_good_as_none(receiver: Receiver, tmp_path: Path) -> None:
    path = tmp_path / "told.json"
    path.write_text('{"groups": 3')

    Monitoring(receiver, path).life((0, [alert()]), accepted=1)

    assert [message["status"] for message in receiver.accepted] == ["firing"]
