"""The fraud check: the same question always has the same answer."""

import pytest

from tests.conftest import RunningService, Shop


@pytest.fixture(scope="module")
def fraud(standing_shop: Shop) -> RunningService:
    return standing_shop.start("fraud")


@pytest.mark.parametrize(
    ("amount", "decision", "score"),
    [
        ("0.01", "approve", 0),
        ("999.99", "approve", 0),
        ("1000", "approve", 1),
        ("50000.00", "approve", 50),
        ("99999.99", "approve", 99),
        ("100000.00", "reject", 100),
        ("9999999999.99", "reject", 100),
    ],
)
def test_the_score_follows_the_amount(fraud: RunningService, amount: str, decision: str, score: int) -> None:
    question = {"customer_id": 1, "kind": "payment", "amount": amount}

    answers = [fraud.client.post("/v1/check", json=question) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json() for answer in answers] == [{"decision": decision, "score": score}] * 2


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "-1"},
        {"amount": "0"},
        {"amount": "1.001"},
        {"kind": "gift"},
        {"customer_id": 0},
        {"more": 1},
    ],
)
def test_a_question_that_makes_no_sense_is_a_422(fraud: RunningService, change: dict[str, object]) -> None:
    answer = fraud.client.post(
        "/v1/check", json={"customer_id": 1, "kind": "payment", "amount": "5", **change}
    )

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", next(iter(change))]
