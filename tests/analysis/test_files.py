"""Files that cannot be read are named in one line."""

import json
from pathlib import Path

import pytest

from analysis.errors import InputError
from analysis.files import readable


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), ("{", "Expecting property name"), ("[" * 100_000, "recursion"), ("{}", "'loss'")],
    ids=["missing", "broken", "nested", "incomplete"],
)
def test_whatever_fails_within_is_one_line(tmp_path: Path, content: str | None, reason: str) -> None:
    path = tmp_path / "score.json"
    if content is not None:
        path.write_text(content)
    with (
        pytest.raises(InputError, match=r"score\.json: not a readable score \(.*\)$") as error,
        readable(path, "score"),
    ):
        json.loads(path.read_text())["loss"]
    assert reason in str(error.value)
    assert len(error.value.errors) == 1


def test_an_input_error_within_passes_as_it_is() -> None:
    with pytest.raises(InputError, match=r"^line 3: no object$"), readable("t.jsonl", ".jsonl file"):
        raise InputError("line 3: no object")
