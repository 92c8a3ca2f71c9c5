"""No sentence about a mixture's choice is false, whatever its numbers; and were one, its check would see it."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from mixing.choices import choice, landscape, scored

from analysis.mixing.choice import Choice
from analysis.mixing.score import ChoiceScore
from analysis.report.mixtures import captions
from analysis.report.mixtures.sentences import outcome, same, verdict, worth

SEEDS = range(60)
OTHERS = {
    "the proportional mixture": "proportional",
    "the uniform mixture": "uniform",
    "the best one tried": "best_run",
}


def number(text: str) -> float:
    """A number, or a share in percent."""
    return float(text.rstrip("%")) / (100 if text.endswith("%") else 1)


def made(seed: int) -> tuple[Choice, ChoiceScore]:
    random = np.random.default_rng(seed)
    found = choice(seed, int(random.integers(2, 8)), int(random.integers(1, 6)))
    return found, scored(found, seed)


def check_verdict(text: str, found: Choice) -> None:
    parts = re.search(r"is expected to be ([\d.]+) \(([\d.]+)% interval ([\d.]+) to ([\d.]+)\)", text)
    assert parts is not None
    span = found.candidates["chosen"].objective
    assert [float(each) for each in parts.groups()] == pytest.approx(
        [span.value, 100 * found.level, span.low, span.high], abs=6e-5
    )
    far = re.search(r"([\d.]+) times the FLOPs of the largest", text)
    assert (far is None) == (found.extrapolation <= 1)
    assert far is None or float(far[1]) == pytest.approx(found.extrapolation, rel=0.01)


def check_worth(text: str, found: Choice) -> None:
    """A sentence on a candidate."""
    parts = re.fullmatch(
        r"It is better than (.*) with probability (\S+): the objective of that one is expected to be (\S+) "
        r"(higher|lower) \((\S+)% interval (\S+) to (\S+)\)\.",
        text,
    )
    assert parts is not None
    name = OTHERS[parts[1]]
    assert not same(found.shares, found.candidates[name].shares)
    better, gain = found.p_better[name], found.gain[name]
    if parts[2] in (">99%", "<1%"):
        assert better > 0.99 if parts[2] == ">99%" else better < 0.01
    else:
        assert number(parts[2]) == pytest.approx(better, abs=0.005)
    sign = 1 if parts[4] == "higher" else -1
    assert sign * number(parts[3]) == pytest.approx(gain.value, abs=6e-4)
    assert number(parts[6]) == pytest.approx(gain.low, abs=6e-4)
    assert number(parts[7]) == pytest.approx(gain.high, abs=6e-4)


def check_ranges(text: str, found: Choice) -> None:
    if text == "Every other mixture can be told from it.":
        assert all(high - low < 0.005 for low, high in found.ranges.values())
        return
    for name, low, high in re.findall(r"(source_\d+) (\d+) to (\d+)%", text):
        assert found.ranges[name] == pytest.approx((int(low) / 100, int(high) / 100), abs=0.005)


def check_outcome(text: str, score: ChoiceScore) -> None:
    if parts := re.search(r"(\d+) of (\d+) decisions? (was|were) right", text):
        right = [each.right for each in score.decisions]
        assert (int(parts[1]), int(parts[2])) == (sum(right), len(right))
        assert (parts[3] == "was") == (sum(right) == 1)
    else:
        assert not score.decisions
    came = re.search(r"came to ([\d.]+), (inside|outside) its interval; the forecast missed by (\S+%)", text)
    assert (came is None) == ("chosen" not in score.candidates)
    if came is not None:
        actual = score.candidates["chosen"].objective
        assert float(came[1]) == pytest.approx(actual.actual, abs=6e-5)
        assert (came[2] == "inside") == (actual.interval[0] <= actual.actual <= actual.interval[1])
        assert number(came[3]) == pytest.approx(actual.predicted / actual.actual - 1, abs=6e-5)
    every = [loss for each in score.candidates.values() for loss in each.losses.values()]
    rest = re.search(r"missed by ([\d.]+%) on average, and (\d+)% of the intervals", text)
    assert rest is not None
    assert number(rest[1]) == pytest.approx(np.mean([abs(loss.error) for loss in every]), abs=6e-5)
    assert int(rest[2]) == round(100 * np.mean([loss.covered for loss in every]))
    if best := re.search(r"at the target the? ?(.*?) came out best", text):
        lowest = min(score.candidates, key=lambda name: score.candidates[name].objective.actual)
        assert OTHERS.get(f"the {best[1]}", "chosen") == lowest
    else:
        assert len(score.candidates) == 1


def check_losses(text: str, found: Choice, score: ChoiceScore) -> None:
    chosen, other = found.candidates["chosen"], found.candidates["proportional"]
    parts = re.search(r"lower on (\d+) of (\d+) domains?: (\S+) on ", text)
    assert (parts is None) == same(chosen.shares, other.shares)
    if parts is not None:
        moved = [span.value / other.losses[name].value - 1 for name, span in chosen.losses.items()]
        assert (int(parts[1]), int(parts[2])) == (sum(each < 0 for each in moved), len(moved))
        assert number(parts[3]) == pytest.approx(min(moved), abs=6e-4)
    held = re.search(r"(\d+) of (\d+) intervals? held the actual loss", text)
    assert held is not None
    every = [loss.covered for each in score.candidates.values() for loss in each.losses.values()]
    assert (int(held[1]), int(held[2])) == (sum(every), len(every))


def check_laws(text: str, found: Choice) -> None:
    first = text.split(" ", 1)[0]
    assert found.weights[first] == max(found.weights.values())
    if share := re.search(r"largest weight, (\d+)%", text):
        assert int(share[1]) == round(100 * found.weights[first])
    missed = re.search(r"and missed ([\d.]+%)", text)
    value = found.misses[first]
    assert (missed is None) == (value is None)
    if missed is not None and value is not None:
        assert number(missed[1]) == pytest.approx(value, abs=6e-5)
    if worst := re.search(r"; (\S+) missed most, ([\d.]+%)", text):
        known = [each for each in found.misses.values() if each is not None]
        assert found.misses[worst[1]] == max(known)
        assert number(worst[2]) == pytest.approx(max(known), abs=6e-5)


def check_landscape(text: str, found: Choice) -> None:
    made = landscape(found)
    ends = re.search(r"goes from ([\d.]+) to ([\d.]+) over (\d+) mixtures", text)
    assert ends is not None
    assert (float(ends[1]), float(ends[2])) == pytest.approx((made.objective.min(), made.objective.max()), rel=1e-3)
    assert int(ends[3]) == len(made.tried)
    alike = re.search(r"(\d+) of them cannot be told", text)
    assert (0 if alike is None else int(alike[1])) == made.alike
    assert (made.grid is None) == ("Of all that may be chosen" not in text)


def sentences(found: Choice, score: ChoiceScore) -> list[tuple[str, Callable[[str], None]]]:
    """Each sentence with its check."""
    said = list(worth(found))
    about = [text for text in said if text.startswith("It is better than")]
    ranges = [text for text in said if text.startswith(("What cannot", "Every other"))]
    assert len(ranges) == 1
    assert len(about) + sum(text.startswith("It is the") for text in said) == 3
    assert ("hardly matters" in " ".join(said)) == bool(found.flat)
    return [
        (verdict(found), lambda text: check_verdict(text, found)),
        *((text, lambda text: check_worth(text, found)) for text in about),
        (ranges[0], lambda text: check_ranges(text, found)),
        (outcome(score), lambda text: check_outcome(text, score)),
        (captions.of_losses(found, score), lambda text: check_losses(text, found, score)),
        (captions.of_laws(found), lambda text: check_laws(text, found)),
        (captions.of_landscape(landscape(found)), lambda text: check_landscape(text, found)),
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_sentence_holds(seed: int) -> None:
    for text, check in sentences(*made(seed)):
        check(text)
        assert "nan" not in text
        assert not re.search(r"\b1 (domain|decision|interval|mixture)s\b", text)


def test_a_false_sentence_is_seen() -> None:
    """The sentences of one choice do not pass the checks of another."""
    passed = total = 0
    for seed in SEEDS:
        own, other = sentences(*made(seed)), sentences(*made(seed + 1))
        for place in (0, 1, -4, -3, -2, -1):
            total += 1
            try:
                other[place][1](own[place][0])
                passed += 1
            except (AssertionError, KeyError):
                pass
    assert passed < 0.05 * total


def test_a_choice_that_is_another_candidate_says_so() -> None:
    found = choice(1)
    candidates = {**found.candidates, "best_run": replace(found.candidates["best_run"], shares=dict(found.shares))}
    said = list(worth(replace(found, candidates=candidates)))
    assert "It is the best one tried." in said
    assert not any("better than the best one tried" in text for text in said)


def test_before_the_target_is_trained() -> None:
    assert outcome(None) == "The target has not been trained and scored yet."
    assert "held" not in captions.of_losses(choice(2), None)
