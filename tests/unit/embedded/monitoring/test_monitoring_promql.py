"""PromQL: values that can be worked out by hand, and refusals. A real Prometheus checks the rest."""

import inspect
import math
import sys
import time

import pytest

from embedded.monitoring.evaluation import instant
from embedded.monitoring.promql import ExecutionError, Instant, InvalidQuery, Moment, Scalar, read
from embedded.monitoring.promql.histogram import bucket_quantile
from embedded.monitoring.store import NAME, Store, labels_of

NOW_MS = 1_000_000


def store(**values: list[float]) -> Store:
    """Series ``m`` by their label ``x``: a sample each 5 s, the last one now."""
    made = Store()
    for x, samples in values.items():
        series = made.series(labels_of({NAME: "m", "x": x}))
        for place, value in enumerate(samples):
            series.append(NOW_MS - 5_000 * (len(samples) - 1 - place), value)
    return made


def vector(text: str, samples: Store) -> dict[str, float]:
    """What an expression yields, by the label ``x``."""
    root = read(text).root
    assert isinstance(root, Instant)
    return {
        dict(labels).get("x", ""): value for labels, value in root.vector(Moment(samples, NOW_MS)).items()
    }


def scalar(text: str) -> float:
    root = read(text).root
    assert isinstance(root, Scalar)
    return root.value(Moment(Store(), NOW_MS))


def test_a_rate_is_extrapolated_to_its_window() -> None:
    # 10 in 10 s, and the window begins one interval before the first sample.
    assert vector("rate(m[15s])", store(a=[100, 105, 110])) == {"a": pytest.approx(1.0)}


def test_a_counter_that_starts_anew_has_lost_nothing() -> None:
    assert vector("increase(m[10s])", store(a=[10, 15, 2])) == {"a": pytest.approx(7.0)}


def test_a_rate_needs_two_samples() -> None:
    assert vector("rate(m[4s])", store(a=[1, 2, 3])) == {}


def test_irate_takes_the_last_two_samples() -> None:
    assert vector("irate(m[1m])", store(a=[0, 0, 10])) == {"a": 2.0}


def test_functions_over_time() -> None:
    samples = store(a=[1, 5, 3])

    assert vector("avg_over_time(m[1m])", samples) == {"a": 3.0}
    assert vector("max_over_time(m[1m])", samples) == {"a": 5.0}
    assert vector("min_over_time(m[1m])", samples) == {"a": 1.0}
    assert vector("sum_over_time(m[1m])", samples) == {"a": 9.0}
    assert vector("count_over_time(m[1m])", samples) == {"a": 3.0}
    assert vector("changes(m[1m])", samples) == {"a": 2.0}
    assert vector("resets(m[1m])", samples) == {"a": 1.0}
    assert vector("last_over_time(m[1m])", samples) == {"a": 3.0}


def test_an_offset_looks_back() -> None:
    assert vector("m offset 5s", store(a=[1, 5, 3])) == {"a": 5.0}
    assert vector("sum_over_time(m[5s] offset 5s)", store(a=[1, 5, 3])) == {"a": 6.0}


def test_a_comparison_keeps_what_it_holds_for_and_bool_makes_it_a_number() -> None:
    samples = store(a=[1], b=[2])

    assert vector("m > 1", samples) == {"b": 2.0}
    assert vector("1 < m", samples) == {"b": 2.0}
    assert vector("m > bool 1", samples) == {"a": 0.0, "b": 1.0}


def test_set_operators_go_by_labels() -> None:
    samples = store(a=[1], b=[2])

    assert vector("m and m > 1", samples) == {"b": 2.0}
    assert vector("m unless m > 1", samples) == {"a": 1.0}
    assert vector("(m > 1) or m * 10", samples) == {"b": 2.0, "a": 10.0}


def test_an_ambiguous_match_is_an_error_and_not_a_guess() -> None:
    samples = store(a=[1], b=[2])

    with pytest.raises(ExecutionError, match="many-to-many matching not allowed"):
        vector("m + on () m", samples)
    with pytest.raises(ExecutionError, match="must be explicit"):
        vector("m + on () sum(m)", samples)
    assert vector("m + on () group_left sum(m)", samples) == {"a": 4.0, "b": 5.0}


def test_a_group_takes_labels_over_from_its_partner() -> None:
    samples = store(a=[1])
    samples.series(labels_of({NAME: "info", "x": "a", "release": "7d3"})).append(NOW_MS, 1.0)
    root = read("m * on (x) group_left (release) info").root
    assert isinstance(root, Instant)

    assert root.vector(Moment(samples, NOW_MS)) == {(("release", "7d3"), ("x", "a")): 1.0}


def test_two_series_that_differ_only_in_their_names_cannot_both_lose_them() -> None:
    samples = store(a=[1])
    samples.series(labels_of({NAME: "n", "x": "a"})).append(NOW_MS, 1.0)

    with pytest.raises(ExecutionError, match="same labelset"):
        vector('abs({__name__=~"m|n"})', samples)


def test_aggregations_group_by_and_without() -> None:
    samples = store(a=[1], b=[2])

    assert vector("sum(m)", samples) == {"": 3.0}
    assert vector("avg without (x) (m)", samples) == {"": 1.5}
    assert vector("max by (x) (m)", samples) == {"a": 1.0, "b": 2.0}
    assert vector("count(m)", samples) == {"": 2.0}
    assert vector("topk(1, m)", samples) == {"b": 2.0}
    assert vector("bottomk(1, m)", samples) == {"a": 1.0}


def test_what_is_not_a_number_is_neither_smallest_nor_topmost() -> None:
    samples = store(a=[math.nan], b=[2])

    assert vector("min(m)", samples) == {"": 2.0}
    assert vector("topk(1, m)", samples) == {"b": 2.0}


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        ("scalar(nothing)", "NaN"),
        ("1 / 0", "+Inf"),
        ("-1 / 0", "-Inf"),
        ("-1e19", "-1e+19"),
        ("2 ^ 63", "9.223372036854776e+18"),
    ],
)
@pytest.mark.parametrize("operator", ["topk", "bottomk"])
def test_so_many_is_an_int64_or_an_error(operator: str, count: str, shown: str) -> None:
    with pytest.raises(ExecutionError) as refused:
        vector(f"{operator}({count}, m)", store(a=[1], b=[2]))

    assert str(refused.value) == f"Scalar value {shown} overflows int64"


def test_so_many_loses_its_fraction_and_may_be_more_than_there_are() -> None:
    samples = store(a=[1], b=[2])

    assert vector("topk(1.9, m)", samples) == {"b": 2.0}
    assert vector("topk(-0.5, m)", samples) == {}
    assert vector("topk(9223372036854774784, m)", samples) == {"b": 2.0, "a": 1.0}
    assert vector("topk(-(2 ^ 63), m)", samples) == {}


def test_absent_says_what_is_missing() -> None:
    root = read('absent(nothing{job="x",env=~"a|b"})').root
    assert isinstance(root, Instant)

    assert root.vector(Moment(Store(), NOW_MS)) == {(("job", "x"),): 1.0}
    assert vector("absent(m)", store(a=[1])) == {}


def test_labels_are_replaced_where_the_pattern_matches_all() -> None:
    samples = store(ab=[1], c=[2])

    assert vector('label_replace(m, "x", "$2-$1", "x", "(a)(b)")', samples) == {"b-a": 1.0, "c": 2.0}


@pytest.mark.parametrize(
    ("value", "pattern", "replaced"),
    [
        ("${first}", "(?P<first>a).*", "a"),
        ("$2x-$1", "(a)(b)", "-a"),
        ("${2}x-$0", "(a)(b)", "bx-ab"),
        ("$$1-$3-$01", "(a)(b)", "$1--"),
        ("$1$2", "(?i)(A)b(c)?", "a"),
    ],
)
def test_what_a_replacement_says_of_groups(value: str, pattern: str, replaced: str) -> None:
    assert vector(f'label_replace(m, "x", "{value}", "x", "{pattern}")', store(ab=[1])) == {replaced: 1.0}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("query", ['m{x=~"(.+)+0"}', 'label_replace(m, "y", "z", "x", "(.+)+0")'])
def test_no_regex_takes_long(query: str) -> None:
    samples = store(**{"/api/v1/escalation-policies/{team}": [1]})

    began_s = time.perf_counter()
    vector(query, samples)

    assert time.perf_counter() - began_s < 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 / 0", math.inf),
        ("-1 / 0", -math.inf),
        ("2 ^ 3 ^ 0", 2.0),
        ("-2 ^ 2", -4.0),
        ("7 % 4", 3.0),
        ("0 ^ -1", math.inf),
        ("1 > bool 2", 0.0),
        ("time()", NOW_MS / 1000),
        ("scalar(vector(3)) + 1", 4.0),
        ("10 ^ 400", math.inf),
    ],
)
def test_numbers_follow_ieee_754(text: str, value: float) -> None:
    assert scalar(text) == value


@pytest.mark.parametrize("text", ["0 / 0", "1 % 0", "scalar(nothing)", "(-8) ^ (1 / 3)"])
def test_what_has_no_value_is_not_a_number(text: str) -> None:
    assert math.isnan(scalar(text))


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    buckets = {0.1: 50.0, 0.5: 90.0, math.inf: 100.0}

    assert bucket_quantile(0.5, dict(buckets)) == pytest.approx(0.1)
    assert bucket_quantile(0.7, dict(buckets)) == pytest.approx(0.3)
    assert bucket_quantile(0.95, dict(buckets)) == 0.5
    assert bucket_quantile(1.5, dict(buckets)) == math.inf
    assert math.isnan(bucket_quantile(0.5, {0.1: 0.0, math.inf: 0.0}))
    assert math.isnan(bucket_quantile(0.5, {0.1: 1.0, 0.5: 2.0}))


def test_a_histogram_without_traffic_has_no_quantile() -> None:
    samples = Store()
    for bound in ("0.1", "+Inf"):
        series = samples.series(labels_of({NAME: "b", "le": bound, "x": "a"}))
        series.append(NOW_MS - 5_000, 4.0)
        series.append(NOW_MS, 4.0)

    assert math.isnan(vector("histogram_quantile(0.95, rate(b[1m]))", samples)["a"])
    assert vector("histogram_quantile(0.95, rate(b[1m])) >= 0", samples) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("max_over_time(rate(m[30s])[5m:10s])", "subqueries are not supported"),
        ("m @ 1700000000", "the @ modifier is not supported"),
        ("quantile(0.9, m)", r"the aggregation quantile\(\) is not supported"),
        ('count_values("v", m)', r"the aggregation count_values\(\) is not supported"),
        ("deriv(m[5m])", r"the function deriv\(\) is not supported"),
        ("m atan2 m", "the operator atan2 is not supported"),
        ('m{a="x" or b="y"}', "or between matchers is not supported"),
        ("rate(m)", "expected type matrix"),
        ("sum(", "unclosed left parenthesis"),
        ('"text"', "StringLiteral is not supported here"),
        ("no_such_function(m)", "unknown function"),
        (
            'label_replace(m, "y", "", "x", "(?=a)")',
            r"the regex '\(\?=a\)' is not supported: invalid perl op",
        ),
        ('label_replace(m, "y", "", "x", "(")', r"the regex '\(' is not supported: missing \)"),
        ('m{x=~"(.?){1000}(.?){1000}"}', "the regex .* is not supported: pattern too large"),
        ("(" * 999 + "m" + ")" * 999, "nested too deeply"),
        ("1" + "+1" * 990, "nested too deeply"),
    ],
)
def test_what_is_not_supported_is_refused_with_the_expression(text: str, reason: str) -> None:
    with pytest.raises(InvalidQuery, match=reason) as refused:
        read(text)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize("text", ["1" + "+1" * 6_000, "(" * 30_000 + "m" + ")" * 30_000, "-" * 20_000 + "m"])
def test_what_would_end_the_parsers_process_is_refused_before_it(text: str) -> None:
    with pytest.raises(InvalidQuery, match=r"of \d+,\d+ characters, and at most 2,000 are read"):
        read(text)


def test_what_goes_too_deep_only_when_it_is_evaluated_is_refused_then() -> None:
    expression = read("-" * 300 + "m")
    deep = sys.getrecursionlimit() - 200

    def at(depth: int) -> object:
        return at(depth - 1) if depth else instant(expression, store(a=[1]), NOW_MS)

    with pytest.raises(InvalidQuery, match="nested too deeply"):
        at(deep - len(inspect.stack()))
