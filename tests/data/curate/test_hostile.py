"""Curations of careless users on unlucky machines: one line a fault, nothing lost, nothing silently wrong."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from curation.curating import Counted, contents, curated, here, paragraphs, write_jsonl

from scaling.cli import main
from scaling.data.curate.curated import held_out_of
from scaling.data.curate.engine import tasks
from scaling.data.shards import read_manifest
from scaling.errors import InputError
from scaling.sweep.executors import registry
from scaling.sweep.spec.data_file import load_build

CHAIN = {"private": "mask", "rules": [{"gopher.words": [20, None]}], "near_duplicates": {}}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    texts = [f"Write to reader{number}@news.org. {text}" for number, text in enumerate(paragraphs(30))]
    return write_jsonl(tmp_path / "a.jsonl", [*texts, "short"])


@pytest.fixture
def scaling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """A function that runs a command in this process; returns its exit status and what it printed."""
    monkeypatch.chdir(tmp_path)
    for module in (registry, tasks):
        monkeypatch.setattr(module, "local_tasks", lambda _: here())

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(arguments)
        return int(str(end.value.code)), *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ("{language: {keep: []}}", "curate.language.keep: the list is empty"),
        ("{quality: {like: []}}", "curate.quality.like: the list is empty"),
        ("{perplexity: {like: a, keep: []}}", "curate.perplexity.keep: the list is empty"),
        ("{near_duplicates: {alike: 0.3}}", "curate.near_duplicates.alike: must be a share of 0.5 at least"),
        ("{near_duplicates: {words: 65}}", "curate.near_duplicates.words: must be at most 64 words"),
        ("{contamination: {held_out: maybe}}", "curate.contamination.held_out: must be true or false"),
        ("{contamination: {held_out: off}}", "curate.contamination: has nothing to look for"),
        ("{rules: [{c4.x: 1, gopher.words: 2}]}", "curate.rules.0: no rule is called 'c4.x'; gopher.words: must be"),
        ("{rules: [{gopher.words: [1, 2]}, {gopher.words: [3, 4]}]}", "the limits of gopher.words are given twice"),
    ],
)
def test_options_without_effect_are_refused(tmp_path: Path, steps: str, line: str) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(f"sources: [{{path: a.jsonl, name: a}}, b.jsonl]\ncurate: {steps}\n")
    with pytest.raises(InputError, match=r"^[^\n]*t.yaml:2:[0-9]+: ") as found:
        load_build(file)
    assert line in str(found.value)
    assert len(found.value.errors) == 1


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_results_are_done_again(tmp_path: Path, corpus: Path, damage: str) -> None:
    spec: dict[str, Any] = {"sources": [str(corpus)], "curate": CHAIN}
    curated(tmp_path / "out", **spec)
    whole = contents(tmp_path / "out")
    work = tmp_path / ".out.steps"
    for pattern in ("read/texts/*/read.json", "private-*/left/*/texts.arrow", "rules-*/left/*/kept.npy"):
        (file,) = work.glob(pattern)
        file.write_bytes(file.read_bytes()[:50]) if damage == "cut" else file.unlink()
        shutil.rmtree(tmp_path / "out")
        again = Counted()
        curated(tmp_path / "out", again, **spec)
        assert contents(tmp_path / "out") == whole
        assert again.steps() == {pattern.split("/")[0].rstrip("-*"), "written"}


@pytest.mark.parametrize("name", ["funnel.json", "dropped.parquet", "00-x/00000.parquet"])
def test_a_damaged_folder_is_written_again(tmp_path: Path, corpus: Path, name: str) -> None:
    spec: dict[str, Any] = {"sources": [{"path": str(corpus), "name": "x"}], "curate": CHAIN}
    curated(tmp_path / "out", **spec)
    whole = contents(tmp_path / "out")
    (tmp_path / "out" / name).unlink()
    curated(tmp_path / "out", **spec)
    assert contents(tmp_path / "out") == whole


def test_what_no_curation_wrote_stays(tmp_path: Path, corpus: Path) -> None:
    out = tmp_path / "out"
    curated(out, sources=[str(corpus)], curate=CHAIN)
    (out / "notes.txt").write_text("mine")
    (out / "funnel.html").write_text("an old page")
    curated(out, sources=[str(corpus)], curate={"private": "mask"})
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "funnel.html").exists()
    os.replace(out, tmp_path / ".out.steps" / "old")  # as a kill within the exchange leaves it
    curated(out, sources=[str(corpus)], curate={"private": "mask"})
    assert (out / "notes.txt").read_text() == "mine"
    assert not (tmp_path / ".out.steps" / "old").exists()


def test_a_curation_neither_reads_nor_replaces_its_own(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "data").mkdir()
    shutil.copy(corpus, tmp_path / "data")
    with pytest.raises(InputError, match=r"data/out: is in the source .*data; choose another `out`"):
        curated(tmp_path / "data" / "out", sources=[str(tmp_path / "data")], curate=CHAIN)
    assert os.listdir(tmp_path / "data") == ["a.jsonl"]
    spec: dict[str, Any] = {"sources": [str(tmp_path / "data" / "*.jsonl")], "curate": CHAIN}
    curated(tmp_path / "data" / "out", **spec)
    assert curated(tmp_path / "data" / "out", **spec).funnel["documents"] == {"read": 31, "kept": 30}
    whole = contents(tmp_path / "data" / "out")
    with pytest.raises(InputError, match=r"00000.parquet: is in `out` .*out, which is replaced; choose another `out`"):
        curated(tmp_path / "data" / "out", sources=[str(tmp_path / "data" / "out" / "*" / "*.parquet")], curate=CHAIN)
    assert contents(tmp_path / "data" / "out") == whole


def test_a_link_is_followed(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk/out")
    curated(tmp_path / "out", sources=[str(corpus)], curate=CHAIN)
    curated(tmp_path / "out", sources=[str(corpus)], curate={"private": "mask"})
    assert (tmp_path / "out").is_symlink()
    assert sorted(os.listdir(tmp_path / "disk")) == [".out.steps", "out"]


def test_white_space_of_any_script_is_no_document(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", ["\u3000\n\u2003", "a word"])
    assert curated(tmp_path / "out", sources=[str(file)], curate={"private": "mask"}).funnel["documents"]["kept"] == 1


def test_curated_data_as_a_source_is_told(tmp_path: Path, corpus: Path) -> None:
    curated(tmp_path / "out", sources=[str(corpus)], curate=CHAIN)
    (tmp_path / "mix.yaml").write_text(f"sources: ['{tmp_path}/out']\n")
    with pytest.raises(InputError, match=r"mix.yaml:1:11: sources.0.path: is curated data, .* in .*/out/\*/\*.parquet"):
        load_build(tmp_path / "mix.yaml")


def test_a_build_of_curated_data(tmp_path: Path, corpus: Path, scaling: Callable[..., tuple[int, str, str]]) -> None:
    for name, share in (("one", 0.2), ("two", 0.1)):
        curated(tmp_path / name, sources=[{"path": str(corpus), "name": name}], curate=CHAIN, held_out=share)
        assert held_out_of(tmp_path / name) == share
    assert scaling("data", "build", "one", "--out", "built")[0] == 0
    assert scaling("data", "build", "one", "--held-out", "20%", "--out", "same")[0] == 0
    assert contents(tmp_path / "built" / "shards") == contents(tmp_path / "same" / "shards")
    assert scaling("data", "build", "one", "--held-out", "5%", "--out", "other")[0] == 0
    assert contents(tmp_path / "built" / "shards") != contents(tmp_path / "other" / "shards")
    status, _, errors = scaling("data", "build", "one", "two", "--out", "both")
    assert (status, errors) == (
        2, "error: --held-out: curated folders were made for different shares, one 0.2, two 0.1: give one\n"
    )  # fmt: skip
    status, _, errors = scaling("data", "build", "one", "--text", "body", "--out", "both")
    assert (status, errors) == (2, "error: --text: does not apply to curated data\n")
    assert scaling("data", "build", "two", str(corpus), "one", "--held-out", "5%", "--out", "all")[0] == 0
    assert [source.name for source in read_manifest(tmp_path / "all").sources] == ["two", str(corpus), "one"]


def test_a_build_is_checked_before_its_steps_are_done(
    tmp_path: Path, corpus: Path, scaling: Callable[..., tuple[int, str, str]]
) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    (tmp_path / "mix.yaml").write_text(f"sources: ['{corpus}']\ncurate: {{rules: [{{gopher.words: [400, 500]}}]}}\n")
    status, _, errors = scaling("data", "build", "mix.yaml", "--out", "taken")
    assert (status, errors) == (
        2, "error: taken: is there already, and is no built data; remove it, or choose another --out\n"
    )  # fmt: skip
    (tmp_path / "bad.yaml").write_text((tmp_path / "mix.yaml").read_text() + "tokenizer: none.json\n")
    assert scaling("data", "build", "bad.yaml", "--out", "built")[0] == 2
    assert not [name for name in os.listdir(tmp_path) if "curated" in name or "built" in name]
    status, _, errors = scaling("data", "build", "mix.yaml", "--out", "built")
    assert status == 0
    assert "warning: rules.gopher.words drops" in errors


def test_the_table_is_fit_for_a_terminal(
    tmp_path: Path, corpus: Path, scaling: Callable[..., tuple[int, str, str]]
) -> None:
    shutil.copy(corpus, tmp_path / "b.jsonl")
    names = '[{path: a.jsonl, name: "red\\e[31m\\nline"}, {path: b.jsonl, name: ' + "x" * 300 + "}]"
    (tmp_path / "t.yaml").write_text(f"sources: {names}\ncurate: {{private: mask}}\n")
    status, text, _ = scaling("data", "curate", "t.yaml", "--out", "out")
    assert status == 0
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "t: 31 of 62 documents stay (50.0%)" in text
    assert "  red[U+001B][31m line" in text
    assert "masked e-mail: 30\n" in text
    write_jsonl(tmp_path / "one.jsonl", ["one text"])
    (tmp_path / "one.yaml").write_text("sources: [one.jsonl]\ncurate: {private: mask}\n")
    assert scaling("data", "curate", "one.yaml", "--out", "one")[1].startswith("one: 1 of 1 document stays (100.0%)")


def test_what_is_skipped_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "fine"}\n{"text": 3}\n{"text": "\\ud800"}\n')
    funnel = curated(tmp_path / "out", sources=[str(file)], curate={"private": "mask"}, run={"on_error": "skip"}).funnel
    said = f"documents that cannot be read are skipped: 2, the first: {file}:2: 'text' is no text but a number"
    assert funnel["warnings"][0] == {"code": "skipped-documents", "message": said}


@pytest.mark.parametrize("command", [("report",), ("inspect",), ("build", "--out", "built")])
def test_a_home_that_is_not_there(scaling: Callable[..., tuple[int, str, str]], command: tuple[str, ...]) -> None:
    status, _, errors = scaling("data", *command, "~nobody-is-called-so/data")
    assert status == 2
    assert errors.count("\n") == 1
