"""Prometheus' HTTP API, asked over HTTP: shapes, parameters, errors."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from embedded.monitoring import evaluation
from embedded.monitoring.api import Api
from embedded.monitoring.rules import RuleSet, load
from embedded.monitoring.scrape import Scraper
from embedded.monitoring.store import NAME, Store, labels_of
from embedded.monitoring.targets import Target

NOW_S = 1_700_000_100.0
RULES = """
groups:
  - name: some
    rules:
      - record: r
        expr: m * 2
      - alert: Bad
        expr: m > 1
        for: 5s
        labels: {severity: high}
        annotations: {summary: "{{ $value }} of {{ $labels.x }}"}
"""


class Asked:
    """A client for the API over a store with two series of ten samples, 10 s apart, the last one now."""

    def __init__(self, folder: Path) -> None:
        (folder / "some.yml").write_text(RULES)
        store = Store()
        rules = RuleSet(load(folder), store=store)
        for place in range(10):
            at_ms = int((NOW_S - 90 + 10 * place) * 1000)
            for x in ("1", "2"):
                store.series(labels_of({NAME: "m", "x": x})).append(at_ms, place * float(x) / 10)
            rules.evaluate(at_ms)
        client = httpx.AsyncClient()
        target = Target("payment", "http://payment:8011/metrics")
        scraper = Scraper(target, store=store, client=client, timeout_s=4.0)
        self.is_healthy = True
        api = Api(
            store,
            [scraper],
            rules,
            interval_s=5.0,
            is_healthy=lambda: self.is_healthy,
            clock=lambda: NOW_S,
        )
        self._app = Starlette(routes=api.routes())

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://prometheus") as client:
                return await client.request(method, path, **options)

        return asyncio.run(ask())

    def get(self, path: str, **parameters: Any) -> Any:
        """The ``data`` of a success."""
        answer = self.send("GET", path, params=parameters)
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "success"
        return answer.json()["data"]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    return Asked(tmp_path_factory.mktemp("rules"))


def test_an_instant_query_answers_a_vector(api: Asked) -> None:
    assert api.get("/api/v1/query", query='m{x="2"}') == {
        "resultType": "vector",
        "result": [{"metric": {"__name__": "m", "x": "2"}, "value": [NOW_S, "1.8"]}],
    }


def test_a_scalar_and_samples_have_their_own_shapes(api: Asked) -> None:
    assert api.get("/api/v1/query", query="1e300 * 1e300") == {
        "resultType": "scalar",
        "result": [NOW_S, "+Inf"],
    }
    assert api.get("/api/v1/query", query='m{x="1"}[15s]') == {
        "resultType": "matrix",
        "result": [{"metric": {"__name__": "m", "x": "1"}, "values": [[NOW_S - 10, "0.8"], [NOW_S, "0.9"]]}],
    }


@pytest.mark.parametrize("moment", ["1700000050", "1700000050.0", "2023-11-14T22:14:10Z"])
def test_a_moment_is_given_in_seconds_or_as_rfc_3339(api: Asked, moment: str) -> None:
    (one,) = api.get("/api/v1/query", query='m{x="1"}', time=moment)["result"]

    assert one["value"] == [1_700_000_050.0, "0.4"]


@pytest.mark.parametrize("step", ["20", "20s"])
def test_a_range_query_answers_a_matrix_with_both_ends(api: Asked, step: str) -> None:
    parameters = {"start": NOW_S - 40, "end": NOW_S, "step": step}

    assert api.get("/api/v1/query_range", query='m{x="1"} * 10', **parameters) == {
        "resultType": "matrix",
        "result": [
            {"metric": {"x": "1"}, "values": [[NOW_S - 40, "5"], [NOW_S - 20, "7"], [NOW_S, "9"]]},
        ],
    }


def test_a_query_may_come_as_a_form(api: Asked) -> None:
    answer = api.send("POST", "/api/v1/query", data={"query": "vector(3)", "time": "10"})

    assert answer.json()["data"]["result"] == [{"metric": {}, "value": [10.0, "3"]}]


@pytest.mark.parametrize(
    ("path", "parameters", "status", "kind", "message"),
    [
        ("query", {"query": "sum("}, 400, "bad_data", "unclosed left parenthesis"),
        ("query", {"query": "m[1m:5s]"}, 400, "bad_data", "subqueries are not supported"),
        ("query", {"query": "1" + "+1" * 6_000}, 400, "bad_data", "at most 2,000 are read"),
        ("query", {"query": "1" + "+1" * 990}, 400, "bad_data", "nested too deeply"),
        ("query", {"query": "-" * 1_500 + "m"}, 400, "bad_data", "nested too deeply"),
        ("query", {"query": 'm{x=~"(.?){1000}(.?){1000}"}'}, 400, "bad_data", "pattern too large"),
        ("query", {"query": " "}, 400, "bad_data", "no expression found"),
        ("query", {"query": "m", "time": "soon"}, 400, "bad_data", 'invalid parameter "time"'),
        ("query", {"query": "m", "time": "1e400"}, 400, "bad_data", 'invalid parameter "time"'),
        ("query", {"query": "m + on () r"}, 422, "execution", "many-to-many matching not allowed"),
        ("query", {"query": "topk(scalar(no), m)"}, 422, "execution", "Scalar value NaN overflows int64"),
        ("query", {"query": "topk(1/0, m)"}, 422, "execution", "Scalar value +Inf overflows int64"),
        ("query_range", {"start": "1", "end": "2"}, 400, "bad_data", 'parameter "step"'),
        ("query_range", {"start": "2", "end": "1", "step": "1"}, 400, "bad_data", "end timestamp"),
        ("query_range", {"start": "1", "end": "2", "step": "0"}, 400, "bad_data", "zero or negative"),
        ("query_range", {"start": "1", "end": "20000", "step": "1"}, 400, "bad_data", "11,000 points"),
        (
            "query_range",
            {"start": "1", "end": "2", "step": "1", "query": "m[1m]"},
            400,
            "bad_data",
            "range vec",
        ),
        ("series", {}, 400, "bad_data", "no match[] parameter"),
        ("series", {"match[]": "sum(m)"}, 400, "bad_data", "a series selector is needed"),
        ("rules", {"type": "other"}, 400, "bad_data", "not supported value"),
    ],
)
def test_an_error_has_prometheus_shape(
    api: Asked, path: str, parameters: dict[str, str], status: int, kind: str, message: str
) -> None:
    answer = api.send("GET", f"/api/v1/{path}", params={"query": "m", **parameters})

    assert answer.status_code == status
    assert answer.json()["status"] == "error"
    assert answer.json()["errorType"] == kind
    assert message in answer.json()["error"]


def test_a_query_that_takes_too_long_is_ended(api: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "TIMEOUT_S", 0.0)

    answer = api.send(
        "GET", "/api/v1/query_range", params={"query": "m", "start": "1", "end": "9", "step": "1"}
    )

    assert (answer.status_code, answer.json()["errorType"]) == (503, "timeout")


def test_a_form_that_is_too_big_is_refused(api: Asked) -> None:
    answer = api.send("POST", "/api/v1/query", data={"query": "m" * 100_000})

    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")


def test_series_labels_and_values(api: Asked) -> None:
    assert api.get("/api/v1/series", **{"match[]": 'm{x="1"}'}) == [{"__name__": "m", "x": "1"}]
    assert api.get("/api/v1/series", **{"match[]": "m", "end": "1000"}) == []
    assert api.get("/api/v1/labels", **{"match[]": "m"}) == ["__name__", "x"]
    assert api.get("/api/v1/label/x/values") == ["1", "2"]
    assert api.get("/api/v1/label/__name__/values") == ["ALERTS", "m", "r"]


def test_alerts_that_are_active(api: Asked) -> None:
    assert api.get("/api/v1/alerts") == {
        "alerts": [
            {
                "labels": {"alertname": "Bad", "severity": "high", "x": "2"},
                "annotations": {"summary": "1.8 of 2"},
                "state": "firing",
                "activeAt": "2023-11-14T22:14:30.000Z",
                "value": "1.8e+00",
            }
        ]
    }


def test_rules_and_how_they_go(api: Asked) -> None:
    (group,) = api.get("/api/v1/rules")["groups"]
    record, alert = group["rules"]

    assert (group["name"], group["interval"]) == ("some", 5.0)
    assert (record["type"], record["name"], record["query"], record["health"]) == (
        "recording",
        "r",
        "m * 2",
        "ok",
    )
    assert (alert["type"], alert["state"], alert["duration"]) == ("alerting", "firing", 5.0)
    assert alert["annotations"] == {"summary": "{{ $value }} of {{ $labels.x }}"}
    assert len(alert["alerts"]) == 1
    (only,) = api.get("/api/v1/rules", type="record")["groups"][0]["rules"]
    assert only["name"] == "r"


def test_targets_and_how_they_are(api: Asked) -> None:
    (target,) = api.get("/api/v1/targets")["activeTargets"]

    assert target["labels"] == {"job": "payment", "instance": "payment:8011"}
    assert (target["health"], target["scrapeUrl"]) == ("unknown", "http://payment:8011/metrics")


def test_an_alerts_link_leads_to_its_query(api: Asked) -> None:
    answer = api.send(
        "GET", "/graph", params={"g0.expr": 'm{x="1"} > 0', "g0.tab": "1"}, follow_redirects=True
    )

    assert answer.json()["data"]["result"][0]["value"] == [NOW_S, "0.9"]


def test_it_says_that_it_is_healthy(api: Asked) -> None:
    assert api.send("GET", "/-/healthy").text == "Prometheus Server is Healthy.\n"
    assert api.send("GET", "/-/ready").status_code == 200


@pytest.mark.parametrize("path", ["/-/healthy", "/-/ready"])
def test_it_says_that_its_rules_are_not_evaluated(
    api: Asked, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(api, "is_healthy", False)

    answer = api.send("GET", path)

    assert (answer.status_code, answer.text) == (503, "rules: not evaluated for too long\n")
