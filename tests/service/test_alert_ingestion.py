import time
import collections
from tests.conftest import Shop


def test_smoke(shop: Shop) -> None:
    shop.start("incident-management")
    ai = shop.start("alert-ingestion")
    body = {"service": "payment", "severity": "high", "message": "boom", "labels": {"a": "b"}}
    for _ in range(3):
        t = time.time()
        a = ai.client.post("/api/v1/alerts", json=body)
        print(a.status_code, a.text, time.time() - t)
    print(ai.client.post("/api/v1/alerts", json={**body, "severity": "x"}).text)
    for _ in range(2):
        print(ai.client.post("/api/v1/alerts", json=body, headers={"idempotency-key": "1"}).text)
    print(ai.client.post("/api/v1/alerts", json={**body, "message": "o"}, headers={"idempotency-key": "1"}).text)
    print(ai.client.get("/api/v1/alerts").text)
    am = {
        "version": "4",
        "alerts": [
            {"status": "firing", "fingerprint": "f1", "startsAt": "2026-01-01T00:00:00Z",
             "labels": {"alertname": "X", "service": "fraud", "severity": "critical"}},
            {"status": "firing", "fingerprint": "f2", "startsAt": "2026-01-01T00:00:00Z",
             "labels": {"alertname": "X", "service": "fraud", "severity": "critical"}},
        ],
    }
    print(ai.client.post("/api/v1/webhooks/alertmanager", json=am).text)
    print(ai.client.post("/api/v1/webhooks/alertmanager", json=am).text)
    am["alerts"][0] |= {"status": "resolved", "endsAt": "2026-01-01T00:05:00Z"}
    print(ai.client.post("/api/v1/webhooks/alertmanager", json=am).text)
    print([x for x in ai.client.get("/metrics").text.splitlines() if x.startswith("alert") and "bucket" not in x])
    assert 0, ai.log.read_text()[-5000:]
