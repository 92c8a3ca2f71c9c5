"""What is wrong with a row is one clear line with its place; with ``on_error: skip`` it is counted."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from posttraining import chat_tokenizers
from pydantic import ValidationError

from scaling.data.answers.examples import load_examples
from scaling.data.answers.preferences import load_pairs
from scaling.data.answers.prompts import load_prompts
from scaling.data.answers.spec import AnswersSpec
from scaling.data.tokenizer import BYTES
from scaling.errors import InputError


def turn(role: Any, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


ASKED = [turn("user", "a question")]
EXAMPLE = {"messages": [*ASKED, turn("assistant", "an answer")]}
TEXT = {"prompt": "a question", "completion": "an answer"}
PAIR = {"prompt": "a question", "chosen": "good", "rejected": "bad"}

EXAMPLES = {
    "wrong role": (
        {"messages": [turn("robot", "x"), *ASKED]},
        "messages[1]' has a role that is none of .*robot",
    ),
    "no role": ({"messages": [{"content": "x"}]}, "role that is none of .*None"),
    "turns": ({"messages": [*ASKED, *ASKED, turn("assistant", "x")]}, "template bytes: roles must alternate"),
    "tool": ({"messages": [*ASKED, turn("tool", "x"), turn("assistant", "x")]}, "roles must alternate"),
    "empty answer": ({"messages": [*ASKED, turn("assistant", " \n")]}, "'messages[2]' of the assistant is empty"),
    "empty question": ({"messages": [turn("user", ""), turn("assistant", "x")]}, "'messages[1]' of the user is empty"),
    "no answer": ({"messages": ASKED}, "does not end with a message of the assistant, and there is none"),
    "no last answer": ({"messages": [*EXAMPLE["messages"], *ASKED]}, "does not end with a message of the assistant$"),
    "no question": ({"messages": [turn("assistant", "x")]}, "has nothing before the assistant's message"),
    "content": (
        {"messages": [turn("user", ["x"]), turn("assistant", "x")]},
        "[1].content[1]' is no part of text; it is text$",
    ),
    "image": (
        {"messages": [turn("user", [{"type": "image"}]), turn("assistant", "x")]},
        "[1].content[1]' is no part of text; it is 'image'",
    ),
    "null": ({"messages": [*ASKED, turn("assistant", None)]}, "messages[2].content' is no text but null"),
    "tool call": (
        {"messages": [*ASKED, turn("assistant", "x") | {"tool_calls": [{"function": {"name": "f"}}]}]},
        "'messages[2]' has tool_calls, which nothing here is trained on",
    ),
    "no list": ({"messages": "hello"}, "'messages' is no list of messages but text"),
    "no message": ({"messages": ["hello"]}, "'messages[1]' is no message but text"),
    "null column": ({"messages": None}, "'messages' is null"),
    "no columns": ({"text": "x"}, "no messages, or completion and prompt; it has text: say which with columns"),
    "surrogate": ({"messages": [*ASKED, turn("assistant", "\ud800")]}, "half a surrogate pair"),
    "mixed": (TEXT, "a row of prompt and completion of text, and the rows began with messages"),
}
TEXTS = {
    "empty completion": ({"prompt": "x", "completion": ""}, "'completion' is empty"),
    "empty prompt": ({"prompt": "  ", "completion": "x"}, "'prompt' is empty"),
    "number": ({"prompt": "x", "completion": 7}, "'completion' is no text but a number"),
    "several": (
        {"prompt": "x", "completion": EXAMPLE["messages"]},
        "not one message of the assistant; it has user, ",
    ),
    "mixed": (EXAMPLE, "a row of messages, and the rows began with prompt and completion of text"),
}
PAIRS = {
    "equal": (PAIR | {"rejected": "good "}, "chosen and rejected are equal"),
    "empty": (PAIR | {"rejected": ""}, "'rejected' is empty"),
    "missing": ({"prompt": "x", "chosen": "y"}, "no chosen and rejected; it has chosen, prompt"),
    "no prompt": ({"chosen": "x", "rejected": "y"}, "no 'prompt', and 'chosen' and 'rejected' are no transcripts"),
    "kinds": (PAIR | {"rejected": EXAMPLE["messages"]}, "one is text, and the other is not"),
    "null": (PAIR | {"rejected": None}, "'rejected' is null"),
    "transcripts": (
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"},
        "chosen and rejected differ before their last turns",
    ),
    "human last": (
        {"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c", "rejected": "\n\nHuman: a\n\nAssistant: d"},
        "a transcript does not end with a turn of the assistant",
    ),
    "differ": (
        {
            "chosen": [turn("user", "x"), turn("assistant", "y")],
            "rejected": [turn("user", "z"), turn("assistant", "w")],
        },
        "chosen and rejected differ before their last messages",
    ),
    "scores": (
        PAIR | {"score_chosen": 1, "score_rejected": 2},
        "score_chosen is below score_rejected; .* 1 and 2",
    ),
    "no score": (PAIR | {"score_chosen": "x", "score_rejected": 2}, "'score_chosen' is no number"),
}


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def more(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Sound rows of the same format, enough of them for both sides."""
    return [json.loads(json.dumps(row).replace("question", f"question {at}")) for at in range(20)]


def check(load: Callable[..., Any], sound: dict[str, Any], row: dict[str, Any], said: str, folder: Path) -> None:
    file = lines(folder / "rows.jsonl", *more(sound), row)
    with pytest.raises(InputError) as raised:
        load(AnswersSpec(path=str(file), held_out=0.3), BYTES, 64)
    assert len(raised.value.errors) == 1
    line = raised.value.errors[0]
    assert line.startswith(f"{file}:21: ")
    assert "\n" not in line
    assert re.search(said.replace("[", r"\["), line)
    found = load(AnswersSpec(path=str(file), held_out=0.3, on_error="skip"), BYTES, 64)
    assert list(found.dropped.values()) == [1]
    assert len(found.train) + len(found.held_out) == 20


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_messages(name: str, tmp_path: Path) -> None:
    check(load_examples, EXAMPLE, *EXAMPLES[name], tmp_path)


@pytest.mark.parametrize("name", list(TEXTS))
def test_prompts_and_completions(name: str, tmp_path: Path) -> None:
    check(load_examples, TEXT, *TEXTS[name], tmp_path)


@pytest.mark.parametrize("name", list(PAIRS))
def test_pairs(name: str, tmp_path: Path) -> None:
    check(load_pairs, PAIR, *PAIRS[name], tmp_path)


def test_a_margin_and_a_safety_column(tmp_path: Path) -> None:
    rows = more(PAIR | {"strength": 1, "safe": 0})
    for column, value, said in (
        ("strength", 4, "'strength' is not between 0 and 3; it is 4"),
        ("strength", "bad", "'strength' is no number and no rating such as 'slightly better'; it is 'bad'"),
        ("strength", True, "'strength' is no number"),
        ("strength", float("nan"), "'strength' is no number"),
        ("strength", 10**400, "'strength' is no number"),
        ("safe", "maybe", "'safe' is not true or false; it is 'maybe'"),
        ("safe", None, "'safe' is null, which safety names"),
    ):
        file = lines(tmp_path / "rows.jsonl", *rows, {**rows[0], column: value})
        with pytest.raises(InputError, match=f"rows.jsonl:21: {said}"):
            load_pairs(AnswersSpec(path=str(file), margin="strength", safety="safe"), BYTES, 64)


def test_a_dialogue_of_the_assistant_alone_is_no_prompt(tmp_path: Path) -> None:
    check(load_prompts, EXAMPLE, {"messages": [turn("assistant", "x")]}, "nothing before the assistant's", tmp_path)


def test_a_column_that_is_named_must_be_there(tmp_path: Path) -> None:
    file = lines(tmp_path / "rows.jsonl", *more(PAIR))
    spec = AnswersSpec(path=str(file), columns={"score_chosen": "points"})
    with pytest.raises(InputError, match="no 'points', which columns names for score_chosen; it has chosen") as raised:
        load_pairs(spec, BYTES, 64)
    assert len(raised.value.errors) == 1


def test_nothing_but_rows_that_are_skipped(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": \n\n{"prompt": 1x}\n' + json.dumps({"text": "x"}))
    spec = AnswersSpec(path=str(file), on_error="skip")
    with pytest.raises(InputError, match="no row of examples; left out: 2 not JSON, 1 no messages"):
        load_examples(spec, BYTES, 64)


def test_lines_that_are_no_rows(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(TEXT) + '\n{"prompt": \n[1]\n\n' + json.dumps(TEXT))
    with pytest.raises(InputError) as raised:
        load_examples(AnswersSpec(path=str(file)), BYTES, 64)
    assert [line.partition(": ")[0] for line in raised.value.errors] == [f"{file}:2", f"{file}:3"]
    assert "not JSON" in raised.value.errors[0]
    assert "not a JSON object but a list" in raised.value.errors[1]


def test_many_bad_rows_are_ten_lines_and_their_number(tmp_path: Path) -> None:
    file = lines(tmp_path / "rows.jsonl", *more(TEXT), *[{"prompt": "x", "completion": ""}] * 15)
    with pytest.raises(InputError) as raised:
        load_examples(AnswersSpec(path=str(file)), BYTES, 64)
    assert len(raised.value.errors) == 11
    assert raised.value.errors[-1] == f"{file}: and 5 more rows; `on_error` skip leaves them out"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "hello\nthere\n", "a.txt: plain text; give JSON lines, JSON or Parquet"),
        ("a.csv", "prompt,completion\nx,y\n", "a.csv: CSV; give JSON lines"),
        ("a.jsonl", "", "a.jsonl: no row of examples"),
        ("a.json", "[{]", "a.json:1: not JSON"),
        ("b.jsonl", "version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (None, "", "nothing.jsonl: no such file or folder"),
    ],
    ids=["text", "csv", "empty", "json", "lfs", "missing"],
)
def test_files_that_have_no_rows(name: str | None, content: str, said: str, tmp_path: Path) -> None:
    if name is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        load_examples(AnswersSpec(path=str(tmp_path / (name or "nothing.jsonl"))), BYTES, 64)


def test_a_damaged_file_of_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes([7, 200, 9]) * 40)
    with pytest.raises(InputError, match=r"a\.parquet: no Parquet file"):
        load_examples(AnswersSpec(path=str(tmp_path / "a.parquet")), BYTES, 64)


def test_a_dataset_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason='needs pip install -e ".[hf]"')
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="hf: "):
        load_prompts(AnswersSpec(hf=str(tmp_path / "empty")), BYTES, 64)


def test_a_folder_of_rows_of_two_kinds(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", *more(EXAMPLE))
    lines(tmp_path / "b.jsonl", TEXT)
    with pytest.raises(
        InputError, match=r"b\.jsonl:1: a row of prompt and completion of text, and the rows began with"
    ):
        load_examples(AnswersSpec(path=str(tmp_path)), BYTES, 64)


def test_messages_of_a_base_model_need_a_template(tmp_path: Path) -> None:
    folder = chat_tokenizers.byte_level(tmp_path / "base", template=None)
    file = lines(tmp_path / "rows.jsonl", *more(EXAMPLE))
    with pytest.raises(InputError, match=r"`template`: the tokenizer .*base has none for messages") as raised:
        load_examples(AnswersSpec(path=str(file)), chat_tokenizers.opened(folder), 64, folder)
    assert len(raised.value.errors) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "needs exactly one of name, path and hf"),
        ({"name": "sentences", "path": "x"}, "needs exactly one of"),
        ({"name": "sentences", "template": "plain"}, "template does not apply to name"),
        ({"path": "x", "split": "test"}, "split does not apply to path"),
        ({"path": "x", "truncate": "yes"}, "valid boolean"),
        ({"path": "x", "held_out": 1}, "a fraction between 0 and 1"),
        ({"path": "x", "columns": {"text": "y"}}, "columns.text"),
        ({"path": "x", "colums": {}}, "Extra inputs"),
        ({"name": "poems"}, "sentences"),
    ],
    ids=lambda value: "-".join(value) or "nothing" if isinstance(value, dict) else "",
)
def test_specs(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        AnswersSpec.model_validate(options)


def test_a_spec_is_written_with_every_option_that_applies() -> None:
    assert AnswersSpec(name="sentences").model_dump(mode="json") == {"name": "sentences"}
    assert set(AnswersSpec(path="x").model_dump()) == {
        *("path", "columns", "template", "truncate", "margin", "safety", "held_out", "on_error")
    }
    spec = AnswersSpec(hf="x", split="test")
    assert AnswersSpec.model_validate(spec.model_dump(mode="json")) == spec
