"""Longest first, whoever has least to do takes the next, and nothing is lost."""

import pytest
from ordering import in_order


def test_every_part_begins_with_its_longest_unit_and_both_have_as_much_to_do() -> None:
    units = ["short"] * 6 + ["long"] + ["middle"] * 2 + ["half"]
    seconds = [0.1] * 6 + [10.0] + [3.0] * 2 + [4.0]
    order = in_order(units, seconds, 2)
    assert sorted(order) == list(range(10))
    parts = order[:5], order[5:]
    assert [units[index] for index in parts[0]] == ["long", "short", "short", "short", "short"]
    assert [units[index] for index in parts[1]] == ["middle", "middle", "half", "short", "short"]
    assert [sum(seconds[index] for index in part) for part in parts] == pytest.approx([10.4, 10.2])


def test_more_workers_than_units() -> None:
    assert sorted(in_order(["a", "a", "b"], [1.0, 1.0, 1.0], 4)) == [0, 1, 2]
