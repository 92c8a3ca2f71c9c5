"""Evaluation files of every format: what of their rows is looked for."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scaling.data.curate.text.evaluations import EvaluationIndex, evaluation_files, read_evaluations, write_index
from scaling.data.curate.text.words import words_of
from scaling.errors import InputError

QUESTION = "Which of the following is a reason that the tides are higher when the moon is full or new?"
PASSAGE = "The tides are caused by the moon and the sun, whose pulls add up when both stand in one line with us."
ROW = {"id": 7, "question": QUESTION, "passage": PASSAGE, "choices": {"text": ["yes", "no"], "label": [0, 1]}}
TEXTS = [QUESTION, PASSAGE, "yes", "no"]


def texts_of(path: Path) -> list[list[str]]:
    [evaluation] = read_evaluations([str(path)])
    return evaluation.documents


def test_rows_without_text_give_every_string(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(ROW) + "\n\n" + json.dumps({"text": PASSAGE, "note": QUESTION}) + "\n")
    assert texts_of(tmp_path / "a.jsonl") == [TEXTS, [PASSAGE]]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    assert texts_of(tmp_path / "a.jsonl.gz") == [TEXTS, [PASSAGE]]


@pytest.mark.parametrize("content", [json.dumps([ROW, ROW]), json.dumps(ROW, indent=1) + "\n \n" + json.dumps(ROW)])
def test_json(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content + "\n")
    assert texts_of(tmp_path / "a.json") == [TEXTS, TEXTS]


def test_an_object_around_the_rows(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"version": "1.0", "data": [ROW, {"text": "a"}]}, indent=2))
    assert texts_of(tmp_path / "a.json") == [["1.0", *TEXTS, "a"]]


def test_tables(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([ROW, {**ROW, "question": None}])
    pq.write_table(table, tmp_path / "a.parquet")
    assert texts_of(tmp_path / "a.parquet") == [TEXTS, TEXTS[1:]]
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as file:
        file.write_table(table)
    assert texts_of(tmp_path / "a.arrow") == [TEXTS, TEXTS[1:]]
    with pa.ipc.new_stream(str(tmp_path / "b.arrow"), table.schema) as stream:
        stream.write_table(table)
    assert texts_of(tmp_path / "b.arrow") == [TEXTS, TEXTS[1:]]
    (tmp_path / "a.csv").write_text(f'id,question,passage\n1,{QUESTION},"{PASSAGE}"\n')
    assert texts_of(tmp_path / "a.csv") == [["1", QUESTION, PASSAGE]]
    pq.write_table(pa.table({"text": [PASSAGE], "question": [QUESTION]}), tmp_path / "b.parquet")
    assert texts_of(tmp_path / "b.parquet") == [[PASSAGE]]


def test_a_file_of_text_is_a_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"{QUESTION}\n\n{PASSAGE}\n")
    (tmp_path / "b.txt").write_text(PASSAGE)
    (tmp_path / "c.txt").write_text("")
    made = read_evaluations([str(tmp_path), str(tmp_path / "a*")])
    assert [Path(each.file).name for each in made] == ["a.txt", "b.txt"]
    assert [each.documents for each in made] == [[[f"{QUESTION}\n\n{PASSAGE}\n"]], [[PASSAGE]]]
    assert evaluation_files([str(tmp_path)]) == [each.file for each in made]


def test_templates_and_links_are_left_out(tmp_path: Path) -> None:
    template = "Read the following passage and answer the question by one of the words true and false."
    rows = [
        {"ask": template, "question": f"{QUESTION} {number}", "from": f"https://x.org/{number}"} for number in range(12)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert texts_of(tmp_path / "a.jsonl") == [[f"{QUESTION} {number}"] for number in range(12)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:9]))
    assert texts_of(tmp_path / "a.jsonl")[0] == [template, f"{QUESTION} 0"]


def test_odd_strings_can_be_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": "a\\u0000b \\ud800 c"}\n')
    [[text]] = texts_of(tmp_path / "a.jsonl")
    assert text == "a b ? c"


def test_faults_are_told_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(ROW) + "\n{broken\n" + json.dumps(ROW) + "\n")
    (tmp_path / "b.json").write_text('[{"a": "b"},\n')
    with pytest.raises(InputError) as error:
        read_evaluations([str(tmp_path)])
    lines = error.value.errors
    assert [line.split(": ")[1] for line in lines] == [f"{tmp_path}/a.jsonl:2", f"{tmp_path}/b.json"]
    assert all(line.startswith("contamination: ") for line in lines)
    (tmp_path / "c.npy").write_bytes(b"\x93NUMPY" + bytes(99))
    with pytest.raises(InputError, match=r"c\.npy: token ids; an evaluation is text"):
        read_evaluations([str(tmp_path / "c.npy")])


def test_missing_files_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(InputError) as error:
        evaluation_files([str(tmp_path / "no.jsonl"), str(tmp_path / "no" / "*.json"), str(tmp_path / "empty.jsonl")])
    assert len(error.value.errors) == 3
    assert "no documents" in error.value.errors[2]


def test_what_is_too_short_is_counted(tmp_path: Path) -> None:
    rows = [
        {"question": QUESTION, "answer": "B"},
        {"question": "Which is it?", "answer": "B"},
        {"question": "a b c d e f g h i j"},  # ten words of a letter each
        {"question": "How many legs do six spiders have together?"},
        {"question": "\u5929\u7a7a\u4e3a\u4ec0\u4e48\u662f\u84dd\u8272\u7684\u5462"},
        {},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": PASSAGE}) + "\n")
    (tmp_path / "index").mkdir()
    write_index(tmp_path / "index", [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")], 13)
    index = EvaluationIndex(tmp_path / "index")
    assert [(file["documents"], file["too_short"]) for file in index.about] == [(6, 4), (1, 0)]
    page = ["Six spiders: how many legs do six spiders have together?", f"It is said: {PASSAGE.upper()} And so on."]
    repeated = index.grams.repeated(words_of(page), 0.8)
    assert repeated.documents.tolist() == [0, 1]
    assert index.documents[repeated.texts].tolist() == [3, 6]
