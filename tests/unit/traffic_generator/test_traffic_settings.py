"""The traffic generator's settings: defaults, and errors that name the variable."""

from pathlib import Path

import pytest
from deck import DEFAULT_SEED
from traffic_settings import SettingError, read_settings

from scenarios.settings import ScheduleSettings


def test_without_any_variable_the_defaults_hold() -> None:
    settings = read_settings({})

    assert (settings.seed, settings.rate_per_s, settings.journal) == (DEFAULT_SEED, 8.0, None)
    assert settings.lanes == 100


def test_the_schedule_records_the_seed_that_the_traffic_uses_by_default() -> None:
    assert ScheduleSettings.model_fields["traffic_seed"].default == DEFAULT_SEED


def test_variables_are_read() -> None:
    settings = read_settings({"TRAFFIC_SEED": "-5", "TRAFFIC_RATE": "0.5", "TRAFFIC_JOURNAL": "a/b"})

    assert (settings.seed, settings.rate_per_s, settings.journal) == (-5, 0.5, Path("a/b"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRAFFIC_SEED", "one"),
        ("TRAFFIC_RATE", "fast"),
        ("TRAFFIC_RATE", "0"),
        ("TRAFFIC_RATE", "nan"),
        ("TRAFFIC_RATE", "inf"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"{name}='{value}'"):
        read_settings({name: value})
