"""Prometheus' text format."""

import math

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from embedded.monitoring.exposition import ExpositionError, samples, series_labels


def test_samples_are_read_with_or_without_labels_and_timestamps() -> None:
    text = '# HELP m What.\n# TYPE m counter\nm 1\nm{a="b"} 2.5e3 1700000000000\n\nn{} NaN\nn_inf +Inf\r\n'

    read = list(samples(text))

    assert read[0] == ("m", 1.0)
    assert read[1] == ('m{a="b"}', 2500.0)
    assert math.isnan(read[2][1])
    assert read[3] == ("n_inf", math.inf)


def test_a_label_may_hold_anything() -> None:
    name, labels = series_labels(r'm{route="/a/{b}", text="say \"hi\"\\\n", last="x,y",}')

    assert name == "m"
    assert labels == {"route": "/a/{b}", "text": 'say "hi"\\\n', "last": "x,y"}


@pytest.mark.parametrize("line", ["m", "m one", 'm{a="b"}', "{} 1"])
def test_a_line_that_is_no_sample_is_refused(line: str) -> None:
    with pytest.raises(ExpositionError):
        [series_labels(series) for series, _ in samples(line)]


@pytest.mark.parametrize("series", ['m{a="b"', "m{a=b}", 'm{a="b"c="d"}', 'm{a="b",a="c"}', "1m", "m a"])
def test_labels_that_are_none_are_refused(series: str) -> None:
    with pytest.raises(ExpositionError):
        series_labels(series)


def test_what_our_services_expose_is_read_as_the_reference_parser_reads_it() -> None:
    registry = CollectorRegistry()
    Counter("hits", "Hits.", ["route"], registry=registry).labels('/a "b" {c}\\\n').inc(3)
    Gauge("load", "Load.", registry=registry).set(-0.25)
    Histogram("took_seconds", "Time.", ["x"], registry=registry).labels("").observe(0.3)
    text = generate_latest(registry).decode()

    read = {
        (series_labels(series)[0], *sorted(series_labels(series)[1].items())): v
        for series, v in samples(text)
    }
    reference = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }

    assert read == reference
