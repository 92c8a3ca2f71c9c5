"""Words that differ are marked, in any script, and hostile texts take no time."""

from random import Random

import pytest

from analysis.curation.funnel import Group, Member
from analysis.curation.pairs import Run, differences, pair
from analysis.pages.signs import finalized, visible


@pytest.mark.parametrize(
    ("one", "other", "marked"),
    [
        ("a b c", "a b c", ((), ())),
        ("a b c", "a x c", (("b ",), ("x ",))),
        ("a  b\nc", "a b c", ((), ())),
        ("end, of it.", "end of it!", ((", ", "."), ("!",))),
        ("", "new", ((), ("new",))),
        ("中文字", "中國字", (("文",), ("國",))),
        ("abc中文", "abd中文", (("abc",), ("abd",))),
        ("שלום לכם", "שלום לך", (("לכם",), ("לך",))),
    ],
    ids=["same", "a word", "white space", "signs", "empty", "cjk", "both", "hebrew"],
)
def test_words_that_differ(one: str, other: str, marked: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    runs = differences(one, other)
    assert tuple(tuple(run.text for run in side if not run.same) for side in runs) == marked
    assert tuple("".join(run.text for run in side) for side in runs) == (one.rstrip() or one, other)


def test_runs_make_up_the_texts_whatever_they_are() -> None:
    draw = Random(0)
    for _ in range(200):
        one, other = ("".join(draw.choices("ab .,\n中文é\u0301\u202e", k=draw.randrange(60))) for _ in range(2))
        runs = differences(one, other)
        assert ["".join(run.text for run in side) for side in runs] == [one, other]
        same = [" ".join("".join(run.text for run in side if run.same).split()).replace(" ", "") for side in runs]
        assert same[0] == same[1]


def test_long_texts_are_cut_and_take_no_time() -> None:
    for one, other in (("文" * 10**4, "文字" * 10**4), ("x " * 10**4, "x y " * 10**4), ("z" * 10**5, "z" * 10**5)):
        for side in differences(one, other):
            assert side[-1] == Run("…", True)
            assert sum(len(run.text) for run in side) <= 2001


def test_a_group_without_a_known_duplicate_shows_the_one_that_is_kept() -> None:
    kept = Member("a", "web", "some text")
    made = pair(Group(1, kept))
    assert (made.title, made.one, made.other) == (
        "1 document; the one that is kept is of web",
        (Run("some text", True),),
        (),
    )
    made = pair(Group(3, kept, (Member("b", "wiki", "some test", 0.8), Member("c", "web", "x", None))))
    assert (made.kept, made.dropped, made.more) == ("a", "b of wiki, similarity 0.800", ("c of web",))


def test_signs_that_nobody_sees_are_shown_and_letters_of_all_scripts_stay() -> None:
    for text in (
        "plain\n\ttext",
        "naïve café",
        "中文",
        "שלום",
        "\u0645\u06cc\u200c\u062e\u0648",
        "👨\u200d👩\u200d👧",
        "a\u00a0b\u3000c",
    ):
        assert visible(text) == text
    for sign in (
        "\u202e",
        "\u2066",
        "\u200e",
        "\u200b",
        "\ufeff",
        "\x00",
        "\x1b",
        "\x85",
        "\u2028",
        "\ue000",
        "\U000e0041",
    ):
        assert visible(f"a{sign}b") == f"a[U+{ord(sign):04X}]b"
    assert visible("a\r\nb\rc") == "a\nb[U+000D]c"
    assert visible("\ud800") == "[U+D800]"
    assert finalized(7) == 7
