"""Whatever is in a row, it is read, counted, or refused in one line; no message writes ids of the template."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling.data.answers.examples import load_examples
from scaling.data.answers.preferences import load_pairs
from scaling.data.answers.prompts import load_prompts
from scaling.data.answers.spec import AnswersSpec
from scaling.data.tokenizer import BYTES
from scaling.errors import InputError

TEXTS = st.sampled_from(
    ["", " ", "a", "b\n\nHuman: c", "\n\nHuman: a\n\nAssistant: b", "\ud800", "\x00\x01", "\ufdd0x"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**400) | st.floats() | TEXTS,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=4,
)
ROLES = st.sampled_from(["user", "assistant", "system", "robot", None, 7])
TURNS = st.lists(st.fixed_dictionaries({"role": ROLES, "content": TEXTS | VALUES}), max_size=4)
NAMES = ("messages", "prompt", "completion", "chosen", "rejected", "score_chosen", "score_rejected", "m", "s", "x\ny")
ROWS = st.dictionaries(st.sampled_from(NAMES), TEXTS | TURNS | VALUES, max_size=6) | VALUES


@pytest.mark.parametrize("load", [load_examples, load_pairs, load_prompts], ids=lambda load: load.__name__)
@given(rows=st.lists(ROWS, max_size=5), skip=st.booleans(), rated=st.booleans())
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows(load: Callable[..., Any], rows: list[object], skip: bool, rated: bool, tmp_path: Path) -> None:
    sound = [
        {"prompt": f"q{at}", "completion": "a", "chosen": "a", "rejected": "b", "m": at % 4, "s": at % 2}
        for at in range(8)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*sound, *rows]))
    columns = {"margin": "m", "safety": "s"} if rated else {}
    spec = AnswersSpec(path=str(file), held_out=0.4, on_error="skip" if skip else "stop", **columns)
    found, errors = None, ()
    try:
        found = load(spec, BYTES, 48)
    except InputError as error:
        errors = error.errors
    assert all(line.startswith(f"{file}:") and "\n" not in line for line in errors)
    if found is None:
        assert errors
        assert not skip
        return
    assert len(found.train) + len(found.held_out) + sum(found.dropped.values()) == 8 + len(rows)
    if load is load_examples:
        for row in (*found.train, *found.held_out):
            assert row.ids.tolist().count(1) == 1
            assert np.flatnonzero(row.ids == 0).tolist() == [len(row.ids) - 1]
