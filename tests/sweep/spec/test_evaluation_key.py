"""The key ``evaluate`` of a sweep file: names of columns, and corpora as ``corpus`` has them."""

import pandas as pd
import pytest

from analysis.runs.schema import NATS
from analysis.runs.table import table_of
from scaling.errors import InputError
from scaling.sweep.spec.sweep_file import parse_sweep

SWEEP = """\
name: tiny
model: {seq_len: 32, head_dim: 8, width_per_layer: 8}
corpus: sotu
fit: {sizes: [{width: 8, depth: 1}], flops: [1e8, 3e8]}
target: {size: {width: 16, depth: 2}, flops: 1e9}
"""


def violations(evaluate: str) -> list[str]:
    with pytest.raises(InputError) as error:
        parse_sweep(SWEEP + evaluate, "x.yaml")
    return list(error.value.errors)


def test_corpora_are_written_as_the_sweeps_own() -> None:
    written = "evaluate:\n  speech: sotu\n  a_1: {name: python, tests: true}\n  two: {names: [speech, code]}\n"
    spec = parse_sweep(SWEEP + written, "x.yaml")
    assert spec.evaluate is not None
    assert {name: (corpus.name, corpus.names) for name, corpus in spec.evaluate.items()} == {
        "speech": ("sotu", None),
        "a_1": ("python", None),
        "two": (None, ("speech", "code")),
    }
    assert "evaluate" not in parse_sweep(SWEEP, "x.yaml").canonical()
    one_by_one = parse_sweep(SWEEP, "x.yaml", ["evaluate.speech=sotu"])
    assert one_by_one.canonical()["evaluate"] == {"speech": spec.canonical()["evaluate"]["speech"]}


def test_every_violation_has_its_place() -> None:
    assert violations("evaluate:\n  Speech: sotu\n  a: {nme: sotu}\n  b: nix\n  c_stderr: sotu\n") == [
        "x.yaml:7:3: evaluate.Speech: the name makes a column: use up to 32 of a-z, 0-9 and '_', beginning with a "
        "letter or digit",
        "x.yaml:8:7: evaluate.a: unknown key 'nme'; did you mean 'name'?",
        "x.yaml:9:6: evaluate.b.name: must be 'sotu', 'python', 'speech', 'code', 'docs', 'law' or 'scripture', "
        "not 'nix'",
        "x.yaml:10:3: evaluate.c_stderr: the name is taken: loss_c_stderr is another column",
    ]


@pytest.mark.parametrize("name", ["stderr", "stderr_documents", "spikes", "gold"])
def test_names_of_other_columns_are_taken(name: str) -> None:
    assert violations(f"evaluate: {{{name}: sotu}}\n") == [
        f"x.yaml:6:12: evaluate.{name}: the name is taken: loss_{name} is another column"
    ]


@pytest.mark.parametrize("name", ["val", "code_test", "per_byte", "bpb", "ppl", "reward"])
def test_names_of_another_kind_of_loss_are_refused(name: str) -> None:
    (line,) = violations(f"evaluate: {{{name}: sotu}}\n")
    assert line.startswith(f"x.yaml:6:12: evaluate.{name}: the name is misleading: by '")
    frame = pd.DataFrame({"params": [1e6], "tokens": [1e7], "loss": [3.0], f"loss_{name}": [2.0]})
    try:
        asks = bool(table_of(frame).notes)
    except InputError:
        asks = True
    mapped = table_of(frame, columns={"loss": f"loss_{name}"})
    assert asks or mapped.unit != NATS or mapped.notes


@pytest.mark.parametrize("name", ["speech", "code", "common_crawl", "c4", "byte_text", "law2"])
def test_a_loss_by_name_is_in_nats_per_token(name: str) -> None:
    assert parse_sweep(SWEEP, "x.yaml", [f"evaluate.{name}=sotu"]).evaluate
    frame = pd.DataFrame({"params": [1e6], "tokens": [1e7], "loss": [3.0], f"loss_{name}": [2.0]})
    assert not table_of(frame).notes
    table = table_of(frame, columns={"loss": f"loss_{name}"})
    assert (table.unit, table.frame.loss.tolist()) == (NATS, [2.0])


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("sotu", "must be a mapping of names to corpora, such as {speech: sotu, code: python}, not 'sotu'"),
        ("[sotu]", "must be a mapping of names to corpora, such as {speech: sotu, code: python}, not a list"),
        ("{}", "names no corpus"),
    ],
)
def test_what_is_no_mapping_of_names(wrong: str, line: str) -> None:
    assert violations(f"evaluate: {wrong}\n") == [f"x.yaml:6:11: evaluate: {line}"]


def test_epochs_are_of_what_is_trained_on() -> None:
    assert violations("evaluate: {a: {name: sotu, epochs: 2}}\n") == [
        "x.yaml:6:28: evaluate.a: unknown key 'epochs'; it belongs under 'corpus'"
    ]
