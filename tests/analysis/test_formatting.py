"""Numbers and times as people read them."""

import pytest

from analysis.formatting import format_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.42, "0.42 s"),
        (8.24, "8.2 s"),
        (44.6, "45 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (71 * 3600, "71 h 00 min"),
        (1e9, "11,574 days"),
    ],
)
def test_seconds_as_people_say_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
