"""incident-management on its own: the incident's way, who did what, and what is known about it."""


from tests.conftest import Shop


def test_smoke(shop: Shop) -> None:
    im = shop.start("incident-management")
    a = im.client.post("/api/v1/incidents", json={"title": "t", "service": "payment", "severity": "high"})
    print(a.status_code, a.text)
    i = a.json()["id"]
    print(im.client.patch(f"/api/v1/incidents/{i}", json={"status": "acknowledged", "notes": "hi"}).text)
    print(im.client.patch(f"/api/v1/incidents/{i}", json={"status": "acknowledged"}).text)
    print(im.client.patch(f"/api/v1/incidents/{i}", json={"status": "resolved"}).text)
    print(im.client.get(f"/api/v1/incidents/{i}").text)
    print(im.client.post(f"/api/v1/incidents/{i}/reopen").text)
    print(im.client.post(f"/api/v1/incidents/{i}/postmortem", json={"summary": "s"}).json()["markdown"])
    print(im.client.get("/api/v1/incidents").text, im.client.get("/api/v1/incidents/summary").text)
    print([x for x in im.client.get("/metrics").text.splitlines() if "incident" in x and "bucket" not in x])
    b = {"title": "t", "service": "payment", "severity": "high"}
    for _ in 1, 2:
        print(
            im.client.post(
                "/api/v1/incidents/batch",
                json={"incidents": [{**b, "idempotency_key": "a"}, {**b, "idempotency_key": "b"}]},
            ).text
        )
    assert 0, im.log.read_text()[-3000:]
