"""The language of many texts at once: the library's own judgement, faster, and what a document's step makes of it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from curation.curating import curated, write_jsonl

from analysis.curation.reading import read_funnel
from scaling.data.curate.engine.batch import Batch
from scaling.data.curate.spec import LanguageSpec
from scaling.data.curate.steps import language as step
from scaling.data.curate.text import language
from scaling.data.curate.text.language import ByLibrary, Judged, Model, judge, model
from scaling.data.curate.text.language_codes import CODES, check_code
from scaling.errors import InputError

py3langid = pytest.importorskip("py3langid.langid")

LINES = Path(__file__).with_name("languages.txt").read_text(encoding="utf8").splitlines()
TEXTS = dict(line.split("\t") for line in LINES)
EN, DE = TEXTS["en"], TEXTS["de"]


@pytest.fixture(scope="module")
def library() -> ByLibrary:
    return ByLibrary(py3langid.LanguageIdentifier.from_model_file(py3langid.MODEL_FILE, norm_probs=True))


def pieces(seed: int, count: int) -> list[str]:
    """Texts of one or two languages, of a few to some thousand characters, some cut within a word."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        parts = [TEXTS[code] for code in random.choice(sorted(TEXTS), 2)]
        joined = " ".join(parts) if random.random() < 0.3 else parts[0]
        begin = int(random.integers(len(joined)))
        made.append(joined[begin : begin + int(random.integers(1, 200))] * int(random.integers(1, 6)))
    return made


ODD = [
    "!",
    "\U0001f600" * 9,
    "A" * 300,
    "1 2 3",
    "e\u0301te\u0301 " * 20,
    "\uff21\uff22\uff23",
    "\u01c5" * 50,
    "ᏣᎳᎩ ᎦᏬᏂ",
    "ÄÖÜ ÉÈ",
    "",
]


def test_is_what_the_library_says(library: ByLibrary) -> None:
    made = model()
    assert isinstance(made, Model)
    texts = pieces(1, 300) + ODD
    found, expected = made.probabilities(texts), library.probabilities(texts)
    assert made.labels == library.labels
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()
    # The library adds up float32, which is off by 1e-4 in long texts.
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-4)


def test_does_not_depend_on_the_batch() -> None:
    texts = pieces(2, 60) + ODD[:-1]
    together = judge(texts, ["en"], 1000, 1)
    alone = [judge([text], ["en"], 1000, 1) for text in texts]
    assert [codes.tolist() for codes in together.codes[:, None]] == [each.codes.tolist() for each in alone]
    assert together.probabilities.tolist() == [each.probabilities[0] for each in alone]
    backwards = judge(texts[::-1], ["en"], 1000, 1)
    assert backwards.kept[::-1].tolist() == together.kept.tolist()


@pytest.mark.parametrize(
    "form", ["as it is", "capitals", "capitals but for a few", "headings", "small letters", "normal form D"]
)
def test_languages_are_told_apart(form: str) -> None:
    import unicodedata

    change = {
        "as it is": str,
        "capitals": str.upper,
        "capitals but for a few": lambda text: text[:5].lower() + text[5:].upper(),
        "headings": str.title,
        "small letters": str.lower,
        "normal form D": lambda text: unicodedata.normalize("NFD", text),
    }[form]
    found = judge([change(text) for text in TEXTS.values()], ["en"], 1000, 10)
    assert found.codes.tolist() == [code.encode() for code in TEXTS]
    assert (found.probabilities > 0.65).mean() >= 0.95


def test_short_texts_are_not_judged() -> None:
    texts = ["a" * 99, "a" * 100, "ä" * 50, " \n" * 200 + EN[:40] + "\n" * 500, EN, "", "\n" * 300, "字" * 34]
    found = judge(texts, ["en"], 1000, 100)
    short = [True, False, False, True, False, True, True, False]
    assert (found.codes == b"short").tolist() == short
    assert np.isnan(found.probabilities).tolist() == np.isnan(found.kept).tolist() == short


def test_only_the_beginning_counts() -> None:
    text = EN[:150] + " " + DE * 50
    assert judge([text], ["en"], 150, 100).codes.tolist() == [b"en"]
    assert judge([text], ["en"], 1000, 100).codes.tolist() == [b"de"]
    assert judge([" " * 2000 + EN], ["en"], 150, 100).codes.tolist() == [b"en"]
    assert judge([EN], ["en"], 50, 100).codes.tolist() == [b"en"]


def test_probabilities_of_kept_languages_add_up() -> None:
    both = judge([EN + " " + DE], ["en", "de"], 1000, 100)
    one, other = (judge([EN + " " + DE], [code], 1000, 100) for code in ("en", "de"))
    assert both.kept[0] == pytest.approx(one.kept[0] + other.kept[0])
    assert one.kept[0] < 0.999
    assert both.kept[0] > 0.99
    assert (judge(list(TEXTS.values()), CODES, 1000, 10).kept <= 1).all()


def test_another_version_of_the_library_judges_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = judge([EN, DE], ["en"], 1000, 100)
    model.cache_clear()

    def other(_: object) -> Model:
        raise AttributeError("no tk_row")

    monkeypatch.setattr(language.Model, "of", other)
    try:
        assert isinstance(model(), ByLibrary)
        found = judge([EN, DE], ["en"], 1000, 100)
    finally:
        model.cache_clear()
    assert found.codes.tolist() == expected.codes.tolist()
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)


def test_a_model_that_disagrees_with_the_library_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model.cache_clear()
    monkeypatch.setattr(language, "_encoded", lambda text: text.encode()[::-1])
    try:
        assert isinstance(model(), ByLibrary)
    finally:
        model.cache_clear()


def test_missing_library_is_named_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r'^language needs: pip install "scaling-law-toolkit\[curate\]"$'):
        step.check([None])


def test_codes_are_the_labels_of_the_model() -> None:
    assert sorted(CODES) == sorted(model().labels)


@pytest.mark.parametrize("code", ["en", "de", "zh", "zxx", "yue"])
def test_codes_that_are_known(code: str) -> None:
    assert check_code(code) is None


@pytest.mark.parametrize(
    ("code", "meant"),
    [("eng", "en"), ("english", "en"), ("EN-us", "en"), ("EN", "en"), ("zh_CN", "zh"), ("nb", "no"), ("ger", "de"),
     ("Scottish  Gaelic", "gd"), ("cmn", "zh"), ("deu-AT", "de"), ("Volapük", "vo")],
)  # fmt: skip
def test_codes_that_mean_another(code: str, meant: str) -> None:
    assert check_code(code) == f"'{code}' is no code of a language: write {meant}"


@pytest.mark.parametrize("code", ["englisch", "frensh", "xx", "", "-", "klingon"])
def test_codes_that_mean_none(code: str) -> None:
    message = check_code(code)
    assert message is not None
    assert message.startswith(f"'{code}' is none of the 140 codes of languages")
    assert ("did you mean" in message) == (code in ("englisch", "frensh"))


def batch(texts: list[str]) -> Batch:
    sizes = np.array([len(text.encode()) for text in texts], np.int64)
    ids = np.array([f"{number:016}" for number in range(len(texts))], "S16")
    return Batch(texts, ids, np.zeros(len(texts), np.int64), sizes)


def test_step_keeps_a_language_and_what_is_short() -> None:
    texts = [EN, DE, "short", TEXTS["zh"], EN.upper(), "12,5; " * 60]
    options = LanguageSpec(keep=("en",))
    decision = step.decide(batch(texts), options, None)
    assert decision.reasons.tolist() == [-1, 0, -1, 0, -1, 0]
    assert decision.scores["language"].tolist()[:5] == [b"en", b"de", b"short", b"zh", b"en"]
    assert decision.scores["language_score"][0] > 0.99
    values = decision.values["language"]
    assert ((values < options.least) == (decision.reasons == 0)).all()
    assert np.isnan(values[2])
    size = len(EN.encode())
    assert {name: count for name, count in decision.notes.items() if "en" in name or "short" in name} == {
        "language:en": 2, "language bytes:en": 2 * size, "language:short": 1, "language bytes:short": 5,
    }  # fmt: skip
    assert sum(count for name, count in decision.notes.items() if name.startswith("language:")) == len(texts)


def test_step_counts_what_it_does_not_believe_as_unsure() -> None:
    urls = " ".join(f"https://www.example.com/path/{number}/index.html?x={number}" for number in range(9))
    decision = step.decide(batch([urls]), LanguageSpec(keep=("en",)), None)
    assert decision.reasons.tolist() == [0]
    assert decision.notes == {"language:unsure": 1, "language bytes:unsure": len(urls)}


def test_nothing_to_judge() -> None:
    found = judge([], ["en"], 1000, 100)
    assert isinstance(found, Judged)
    assert len(found.codes) == len(found.kept) == 0
    assert model().probabilities([]).shape == (0, len(CODES))


def test_languages_are_counted_by_source(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [EN, EN + " Again.", DE, "short"])
    write_jsonl(tmp_path / "b.jsonl", [DE + " Wieder.", DE + " Noch einmal.", TEXTS["fr"]])
    spec = [str(tmp_path / "a.jsonl"), {"path": str(tmp_path / "b.jsonl"), "curate": {"language": {"keep": ["de"]}}}]
    funnel = curated(tmp_path / "out", sources=spec, curate={"language": {"keep": ["en"]}}).funnel
    counts = {each["code"]: [source["documents"] for source in each["by_source"]] for each in funnel["languages"]}
    assert list(counts) == ["de", "en", "fr", "short"]
    assert counts == {"de": [1, 2], "en": [2, 0], "fr": [0, 1], "short": [1, 0]}
    assert [source["kept"]["documents"] for source in funnel["sources"]] == [3, 2]
    step_of = next(each for each in funnel["steps"] if each["name"] == "language")
    assert step_of["notes"] == {}
    total = sum(source["read"]["bytes"] for source in funnel["sources"])
    assert sum(each["bytes"] for each in funnel["languages"]) == total
    read_funnel(tmp_path / "out")
