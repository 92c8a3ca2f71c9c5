"""Every format of examples, pairs and prompts gives the same ids; ratings, safety; files of each kind."""

import bz2
import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scaling.data.answers.examples import load_examples
from scaling.data.answers.preferences import load_pairs
from scaling.data.answers.prompts import load_prompts
from scaling.data.answers.rows import Example, Pair
from scaling.data.answers.spec import AnswersSpec
from scaling.data.tokenizer import BYTES

COUNT, SHARE = 24, 0.3


def jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


EXAMPLES = {
    "messages": lambda at: {"messages": [user(f"question {at}"), assistant(f"answer {at}")]},
    "messages and more": lambda at: {"prompt": "p", "messages": [user(f"question {at}"), assistant(f"answer {at}")]},
    "sharegpt": lambda at: {
        "conversations": [{"from": "human", "value": f"question {at}"}, {"from": "gpt", "value": f"answer {at}"}]
    },
    "text": lambda at: {"prompt": f"question {at}", "completion": f"answer {at}"},
    "turns": lambda at: {"prompt": [user(f"question {at}")], "completion": [assistant(f"answer {at}")]},
    "parts": lambda at: {
        "messages": [user([{"type": "text", "text": "question "}, {"text": f"{at}"}]), assistant(f"answer {at}")]
    },
    "named": lambda at: {"instruction": f"question {at}", "output": f"answer {at}"},
}
COLUMNS = {"sharegpt": {"messages": "conversations"}, "named": {"prompt": "instruction", "completion": "output"}}
WANTED = {f"\x01question {at}\x02answer {at}\0".encode() for at in range(COUNT)}


def texts(rows: Iterable[Example]) -> set[bytes]:
    return {bytes(row.ids.tolist()) for row in rows}


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_examples(name: str, tmp_path: Path) -> None:
    file = jsonl(tmp_path / "rows.jsonl", map(EXAMPLES[name], range(COUNT)))
    spec = AnswersSpec(path=str(file), columns=COLUMNS.get(name, {}), held_out=SHARE)
    rows = load_examples(spec, BYTES, 64)
    assert texts(rows.train) | texts(rows.held_out) == WANTED
    assert rows.dropped == {}
    for row in rows.train:
        assert bytes(row.ids[row.counted].tolist()).startswith(b"answer ")
    prompts = load_prompts(spec, BYTES, 64)
    found = {bytes(ids.tolist()) for ids in (*prompts.train, *prompts.held_out)}
    assert found == {text[: text.index(2) + 1] for text in WANTED}


def test_turns_of_a_dialogue_count_each(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "be brief"}, user("a"), assistant("b"), user("c"), assistant("d")]
    rows = [{"messages": [*turns[:-1], assistant(f"d{at}")]} for at in range(3)] + [
        {"messages": [user("x"), *turns[2:]]}
    ]
    spec = AnswersSpec(path=str(jsonl(tmp_path / "a.jsonl", rows)), held_out=0.5)
    found = load_examples(spec, BYTES, 64)
    example = next(row for row in (*found.train, *found.held_out) if b"d1" in bytes(row.ids.tolist()))
    assert bytes(example.ids.tolist()) == b"\x01be brief\x01a\x02b\0\x01c\x02d1\0"
    assert bytes(example.ids[example.counted].tolist()) == b"b\0d1\0"


def hh(at: int) -> dict[str, Any]:
    before = f"\n\nHuman: hello\n\nAssistant: hi!\n\nHuman: question {at}\n\nAssistant:"
    return {"chosen": f"{before} good {at}", "rejected": f"{before} bad {at}"}


def dialogue(at: int) -> list[dict[str, str]]:
    return [user("hello"), assistant("hi!"), user(f"question {at}")]


PAIRS = {
    "explicit text": lambda at: {"prompt": f"question {at}", "chosen": f"good {at}", "rejected": f"bad {at}"},
    "explicit turns": lambda at: {
        "prompt": dialogue(at), "chosen": [assistant(f"good {at}")], "rejected": [assistant(f"bad {at}")]
    },
    "implicit": lambda at: {
        "chosen": [*dialogue(at), assistant(f"good {at}")], "rejected": [*dialogue(at), assistant(f"bad {at}")]
    },
    "ultrafeedback": lambda at: {
        "prompt": "hello", "chosen": [*dialogue(at), assistant(f"good {at}")],
        "rejected": [*dialogue(at), assistant(f"bad {at}")], "score_chosen": 8.0, "score_rejected": 8.0 - at % 5,
    },
    "hh": hh,
    "hh of Windows, stripped": lambda at: {
        name: text.strip().replace("\n", "\r\n") for name, text in hh(at).items()
    },
}  # fmt: skip


def pairs_of(spec: AnswersSpec) -> list[Pair]:
    found = load_pairs(spec, BYTES, 96)
    return sorted((*found.train, *found.held_out), key=lambda pair: pair.chosen.tobytes())


@pytest.mark.parametrize("name", list(PAIRS))
def test_pairs(name: str, tmp_path: Path) -> None:
    opening = [{"chosen": [user("other"), assistant("a")], "rejected": [user("other"), assistant("b")]}]
    rows = [PAIRS[name](at) for at in range(COUNT)]
    if name == "implicit":  # dialogues with one opening are on one side of the split, so that there must be another
        rows += opening
    elif name != "explicit text":
        rows = [json.loads(json.dumps(row).replace("hello", f"hello {at % 8}")) for at, row in enumerate(rows)]
    pairs = pairs_of(AnswersSpec(path=str(jsonl(tmp_path / "rows.jsonl", rows)), held_out=0.4))
    assert len(pairs) == len(rows)
    for pair in pairs:
        chosen = bytes(pair.chosen.tolist())
        if chosen == b"a\0":
            continue
        number = chosen.removeprefix(b"good ").removesuffix(b"\0")
        assert bytes(pair.rejected.tolist()) == b"bad " + number + b"\0"
        prompt = bytes(pair.prompt.tolist())
        assert prompt.endswith(b"\x01question " + number + b"\x02")
        assert prompt.count(b"hi!") == (name != "explicit text")
        assert pair.rating == (min(int(number) % 5, 3) if name == "ultrafeedback" else None)
        assert not pair.safety


def test_the_implicit_prompt_is_of_messages_never_of_characters(tmp_path: Path) -> None:
    """Answers that begin alike: their common characters belong to them."""
    sides = {"chosen": "the same, good", "rejected": "the same, bad"}
    rows = [{side: [user(f"q{at}"), assistant(text)] for side, text in sides.items()} for at in range(COUNT)]
    pairs = pairs_of(AnswersSpec(path=str(jsonl(tmp_path / "rows.jsonl", rows)), held_out=SHARE))
    for pair in pairs:
        assert bytes(pair.chosen.tolist()) == b"the same, good\0"
        assert bytes(pair.prompt.tolist()).endswith(b"\x02")


@pytest.mark.parametrize(
    ("value", "rating"),
    [
        ("significantly better", 3.0),
        ("Slightly_Better", 1.0),
        ("better", 2.0),
        ("negligibly better / unsure", 0.0),
        (2, 2.0),
        ("1.5", 1.5),
    ],
    ids=str,
)
def test_ratings(value: object, rating: float, tmp_path: Path) -> None:
    row = {"chosen": "a", "rejected": "b", "strength": value}
    rows = [{"prompt": f"q{at}", "safe": at % 2, **row} for at in range(COUNT)]
    spec = AnswersSpec(path=str(jsonl(tmp_path / "a.jsonl", rows)), held_out=SHARE, margin="strength", safety="safe")
    pairs = pairs_of(spec)
    assert {pair.rating for pair in pairs} == {rating}
    assert sum(pair.safety for pair in pairs) == COUNT // 2


@pytest.mark.parametrize("kind", ["gz", "bz2", "json", "parquet", "hf", "folder"])
def test_files_of_each_kind(kind: str, tmp_path: Path) -> None:
    rows = [EXAMPLES["messages"](at) for at in range(COUNT)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    place = {"path": str(tmp_path / f"rows.{kind}")}
    if kind == "gz":
        (tmp_path / "rows.gz").write_bytes(gzip.compress(lines))
    elif kind == "bz2":
        (tmp_path / "rows.bz2").write_bytes(bz2.compress(lines))
    elif kind == "json":
        (tmp_path / "rows.json").write_text(json.dumps(rows, indent=1))
    elif kind == "parquet":
        pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    elif kind == "hf":
        datasets = pytest.importorskip("datasets", reason='needs pip install -e ".[hf]"')
        datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
        place = {"hf": str(tmp_path / "saved")}
    else:
        (tmp_path / "rows").mkdir()
        for at in (0, 1):
            jsonl(tmp_path / "rows" / f"{at}.jsonl", rows[at::2])
        place = {"path": str(tmp_path / "rows")}
    found = load_examples(AnswersSpec(**place, held_out=SHARE), BYTES, 64)
    assert texts(found.train) | texts(found.held_out) == WANTED


def test_the_order_does_not_depend_on_files(tmp_path: Path) -> None:
    rows = [EXAMPLES["text"](at) for at in range(COUNT)]
    one = jsonl(tmp_path / "a.jsonl", rows)
    other = jsonl(tmp_path / "b.jsonl", reversed(rows))
    found = [load_examples(AnswersSpec(path=str(file), held_out=SHARE), BYTES, 64) for file in (one, other)]
    assert found[0].sha256 == found[1].sha256
    assert [row.ids.tolist() for row in found[0].train] == [row.ids.tolist() for row in found[1].train]
