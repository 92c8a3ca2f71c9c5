"""What does not fit is left out and counted, never cut unseen; no prompt is on both sides, in whatever file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from posttraining import chat_tokenizers

from scaling.data.answers import examples as loading_examples
from scaling.data.answers.examples import load_examples
from scaling.data.answers.preferences import load_pairs
from scaling.data.answers.prompts import load_prompts
from scaling.data.answers.rows import ExampleSet
from scaling.data.answers.spec import AnswersSpec
from scaling.data.answers.splits import is_held_out
from scaling.data.tokenizer import BYTES
from scaling.errors import InputError

SEQ_LEN = 48


def lines(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Forty examples: answers of 1 to 40 bytes to prompts of some 12; and two whose prompt alone is too long."""
    rows = [{"prompt": f"question {at:2}", "completion": "x" * (at + 1)} for at in range(40)]
    return lines(tmp_path / "rows.jsonl", [*rows, *({"prompt": f"{at}" * 60, "completion": "y"} for at in range(2))])


def check_whole(rows: ExampleSet) -> None:
    """Bug 5: no answer is cut where nobody asked for it, and every row is accounted for."""
    kept = (*rows.train, *rows.held_out)
    assert all(len(row.ids) <= SEQ_LEN for row in kept)
    assert all(row.ids[-1] == rows.end for row in kept)
    assert len(kept) + sum(rows.dropped.values()) == 42


def test_what_does_not_fit_is_left_out_and_counted(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = load_examples(AnswersSpec(path=file, held_out=0.3), BYTES, SEQ_LEN)
    check_whole(rows)
    # 13 tokens of the prompt, the answer and its end.
    assert rows.dropped == {"longer than the context": 6, "prompt longer than the context": 2}

    monkeypatch.setattr(loading_examples.Gathered, "fits", lambda *_: True)
    add = loading_examples.Gathered.add
    monkeypatch.setattr(
        loading_examples.Gathered,
        "add",
        lambda self, row, held_out: add(self, type(row)(row.ids[:SEQ_LEN], row.counted[:SEQ_LEN]), held_out),
    )
    with pytest.raises(AssertionError):
        check_whole(load_examples(AnswersSpec(path=file, held_out=0.3), BYTES, SEQ_LEN))


def test_truncate_cuts_at_the_end_and_the_end_does_not_count(file: str) -> None:
    rows = load_examples(AnswersSpec(path=file, held_out=0.3, truncate=True), BYTES, SEQ_LEN)
    cut = [row for row in (*rows.train, *rows.held_out) if row.ids[-1] != rows.end]
    assert len(cut) == 6
    for row in cut:
        assert len(row.ids) == SEQ_LEN
        assert bytes(row.ids[row.counted].tolist()) == b"x" * (SEQ_LEN - 13)
        assert rows.end not in row.ids
    assert rows.dropped == {"longer than the context": 2}, "of a prompt alone nothing is left to learn"


def test_truncate_does_not_apply_to_pairs(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"prompt": "a", "chosen": "b", "rejected": "c"}])
    with pytest.raises(InputError, match="`truncate` does not apply to pairs"):
        load_pairs(AnswersSpec(path=path, truncate=True), BYTES, SEQ_LEN)


@pytest.mark.parametrize("load", [load_examples, load_pairs, load_prompts], ids=lambda load: load.__name__)
def test_where_nothing_is_left_it_is_an_error(load: Callable[..., Any], tmp_path: Path) -> None:
    rows = [{"prompt": f"{at}" * 60, "completion": "x", "chosen": "x", "rejected": "y"} for at in range(9)]
    path = lines(tmp_path / "a.jsonl", rows)
    said = r"a\.jsonl: no row is left; left out: 9 prompt longer than the context \(of 48 tokens\)$"
    with pytest.raises(InputError, match=said):
        load(AnswersSpec(path=path), BYTES, SEQ_LEN)


def test_a_side_without_rows_is_an_error(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"prompt": "a", "completion": "b"}])
    for share, side in ((1e-9, "to hold out"), (1 - 1e-9, "to train on")):
        with pytest.raises(InputError, match=f"no row is left {side}: choose another `held_out`"):
            load_examples(AnswersSpec(path=path, held_out=share), BYTES, SEQ_LEN)


def test_pairs_that_do_not_fit_by_either_answer_are_left_out(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{at}", "chosen": "x" * (at + 1), "rejected": "y" * (40 - at)} for at in range(40)]
    found = load_pairs(AnswersSpec(path=lines(tmp_path / "a.jsonl", rows), held_out=0.3), BYTES, 30)
    for pair in (*found.train, *found.held_out):
        assert len(pair.prompt) + max(len(pair.chosen), len(pair.rejected)) <= 30
    assert len(found.train) + len(found.held_out) + found.dropped["longer than the context"] == 40


def sides(tmp_path: Path) -> list[tuple[set[bytes], set[bytes]]]:
    """The prompts of examples, pairs and prompts on both sides, of three files with common questions."""
    questions = [f"What is {at} and {at % 7}?" for at in range(60)]
    examples = [{"prompt": text, "completion": "x"} for text in questions[:40]]
    pairs = [
        {
            side: [{"role": "user", "content": text}, {"role": "assistant", "content": side}]
            for side in ("chosen", "rejected")
        }
        for text in questions[20:]
    ]
    prompts = [{"prompt": text} for text in reversed(questions)]
    found: list[tuple[set[bytes], set[bytes]]] = []
    rows: Any
    for name, content, load in (
        ("sft", examples, load_examples), ("pairs", pairs, load_pairs), ("prompts", prompts, load_prompts)
    ):  # fmt: skip
        rows = load(AnswersSpec(path=lines(tmp_path / f"{name}.jsonl", content), held_out=0.3), BYTES, SEQ_LEN)
        of_row = {
            "sft": lambda row: row.ids[~row.counted], "pairs": lambda row: row.prompt, "prompts": lambda row: row
        }[name]  # fmt: skip
        found.append(tuple({bytes(of_row(row).tolist()) for row in side} for side in (rows.train, rows.held_out)))  # type: ignore[arg-type]
    return found


def check_apart(found: list[tuple[set[bytes], set[bytes]]]) -> None:
    train, held_out = (set().union(*(side[at] for side in found)) for at in (0, 1))
    assert train
    assert held_out
    assert train.isdisjoint(held_out)


def test_no_prompt_is_on_both_sides_whatever_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug 21."""
    found = sides(tmp_path)
    check_apart(found)
    assert found[0][0] & found[1][0], "the files have questions in common"
    assert found[0][1] & found[1][1]
    # A split by the place in the file, as most are.
    for module in ("examples", "preferences", "prompts"):
        turns = iter(range(1000))
        monkeypatch.setattr(f"scaling.data.answers.{module}.is_held_out", lambda *_, turns=turns: next(turns) % 3 == 0)
    with pytest.raises(AssertionError):
        check_apart(sides(tmp_path))


def test_a_dialogue_is_on_the_side_of_its_opening() -> None:
    assert [at for at in range(40) if is_held_out(f"question {at}", 0.2)] == [
        at for at in range(40) if is_held_out(f" question  {at}\n", 0.2)
    ]
    assert 0.17 < np.mean([is_held_out(f"question {at}", 0.2) for at in range(4000)]) < 0.23


def test_a_larger_share_holds_out_more_and_the_same() -> None:
    small, large = ({at for at in range(500) if is_held_out(f"{at}", share)} for share in (0.05, 0.2))
    assert small < large


def test_rows_of_a_models_own_template(tmp_path: Path) -> None:
    """Of an imported folder: messages through its template, and where that cannot be kept apart, counted."""
    folder = chat_tokenizers.metaspace(tmp_path / "llama")
    rows = [
        {"messages": [{"role": "user", "content": f"fox {at}"}, {"role": "assistant", "content": answer}]}
        for at in range(30)
        for answer in ("the dog", "the </s> dog")
    ]
    tokenizer = chat_tokenizers.opened(folder)
    spec = AnswersSpec(path=lines(tmp_path / "a.jsonl", rows), held_out=0.3)
    found = load_examples(spec, tokenizer, SEQ_LEN, folder)
    assert found.dropped == {"control token in the text": 30}
    assert found.end == tokenizer.controls["</s>"]
    for row in found.train:
        assert tokenizer.decode(row.ids).strip().startswith("[INST] fox")
        assert (row.ids == found.end).sum() == 1
        assert (row.ids == tokenizer.controls["<s>"]).sum() == 1
