"""Evaluation sets of a sweep: one text for every run, whatever it is trained on and by which tokenizer; leaks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scaling.data.build import build
from scaling.data.corpus import CorpusSpec
from scaling.data.spec import BuildSpec
from scaling.errors import InputError
from scaling.planning import plan_with_warnings
from scaling.sweep.host.machine_speed import MachineSpeed
from scaling.sweep.plan import evaluation
from scaling.sweep.plan.corpus_text import load_evaluation_set, load_text, text_of
from scaling.sweep.plan.evaluation import evaluation_leaks, load_sweep_text
from scaling.sweep.plan.expand import PlannedRun, expand
from scaling.sweep.plan.held_out import HeldOutText
from scaling.sweep.plan.probe import probe
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.spec.sweep_spec import SweepSpec

SWEEP = """\
name: tiny
model: {seq_len: 32, head_dim: 8, width_per_layer: 8}
corpus: sotu
fit: {sizes: [{width: 8, depth: 1}, {width: 16, depth: 1}], flops: [1e8, 3e8]}
target: {size: {width: 16, depth: 2}, flops: 1e9}
"""
TEXTS = [f"document {i}: {' '.join(str(i * j) for j in range(3 + i % 17))}, as it was" for i in range(200)]
FILE = "file.jsonl"


def sweep(*overrides: str) -> SweepSpec:
    return parse_sweep(SWEEP, "x.yaml", overrides)


def planned(*overrides: str) -> list[PlannedRun]:
    return plan_with_warnings(sweep(*overrides))[0]


def write(folder: Path, texts: list[str]) -> str:
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"{number:03}.txt").write_text(text)
    return str(folder)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One text, built with several tokenizers: their folders."""
    folder = tmp_path_factory.mktemp("built")
    (folder / FILE).write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    made = {}
    for tokenizer in ("bytes", "bpe:280", "bpe:300"):
        spec = {"name": "made", "tokenizer": tokenizer, "held_out": 0.2, "sources": [{"path": str(folder / FILE)}]}
        made[tokenizer] = str(folder / tokenizer.replace(":", ""))
        build(BuildSpec.model_validate(spec), Path(made[tokenizer]), 1, lambda _: None)
    return made


def held_out(path: str) -> HeldOutText:
    return load_text(CorpusSpec(path=path)).held_out_text


def test_every_run_has_its_sets_and_those_without_are_what_they_were() -> None:
    plain, evaluated = planned(), planned("evaluate={code: python, speech: sotu}")
    assert "evaluate" not in plain[0].config.to_json()
    assert not {run.id for run in plain} & {run.id for run in evaluated}
    for run in evaluated:
        sets = run.config.data.evaluation_sets
        assert {name: held_out.eval_tokens for name, held_out in sets.items()} == {"code": 2**17, "speech": 2**17}
        assert sets["speech"].fingerprint == run.config.data.fingerprint


def test_runs_on_two_corpora_are_measured_on_the_same_windows() -> None:
    texts = {}
    for corpus in ("sotu", "speech", "code"):
        config = planned(f"corpus={corpus}", "evaluate={code: code, speech: sotu}", "eval_tokens=4k")[0].config
        texts[corpus] = text_of(config).of_run(config)
    one, _, other = texts.values()
    for name in ("code", "speech"):
        sets = [text.evaluation_sets[name] for text in texts.values()]
        assert all(np.array_equal(held_out.windows, sets[0].windows) for held_out in sets)
        assert all(np.array_equal(held_out.documents, sets[0].documents) for held_out in sets)
    assert np.array_equal(one.windows, one.evaluation_sets["speech"].windows)
    assert np.array_equal(other.windows, other.evaluation_sets["code"].windows)


def test_a_text_has_one_hash_under_every_tokenizer(built: dict[str, str]) -> None:
    texts = [held_out(path) for path in built.values()]
    assert len({len(text.tokens) for text in texts}) == 3
    assert len({text.sha256(32, 10**6) for text in texts}) == 1
    whole, part, other_part = (texts[0].sha256(32, tokens) for tokens in (10**6, 320, 352))
    assert len({whole, part, other_part}) == 3
    assert texts[1].sha256(32, 320) == part
    assert len(whole) == 64


def test_another_text_has_another_hash(built: dict[str, str], tmp_path: Path) -> None:
    found = held_out(built["bytes"])
    texts = list(found.documents())
    for changed in (texts[:-1], texts[::-1], [*texts[:-1], texts[-1].swapcase()]):
        assert replace(found, documents=lambda changed=changed: iter(changed)).sha256(32, 10**6) != found.sha256(
            32, 10**6
        )
    one, other = (write(tmp_path / name, texts) for name, texts in (("a", TEXTS[:50]), ("b", TEXTS[50:100])))
    assert held_out(one).sha256(32, 10**6) != held_out(other).sha256(32, 10**6)


def test_text_is_tokenized_as_the_runs_own_and_bits_per_byte_compare(built: dict[str, str]) -> None:
    speech = CorpusSpec(name="sotu")
    by_bytes, by_bpe = (
        load_evaluation_set(speech, load_text(CorpusSpec(path=built[key]))) for key in built if key != "bpe:300"
    )
    assert len(by_bpe.tokens) < len(by_bytes.tokens)
    assert by_bpe.sha256(32, 10**9) == by_bytes.sha256(32, 10**9)
    # The same nats for the whole text are the same bits per byte of it.
    nats = 1000.0
    assert by_bpe.bits_per_byte(nats / len(by_bpe.tokens)) == pytest.approx(
        by_bytes.bits_per_byte(nats / len(by_bytes.tokens))
    )


def test_built_data_of_another_tokenizer_is_refused_at_its_place(built: dict[str, str]) -> None:
    spec = parse_sweep(SWEEP + f"evaluate:\n  ok: sotu\n  other: {{path: {built['bpe:300']}}}\n", "x.yaml")
    with pytest.raises(InputError) as error:
        load_sweep_text(spec)
    assert error.value.errors == (
        f"x.yaml:8:10: evaluate.other: {built['bpe:300']} is built with the tokenizer bpe300, and the runs' is bytes; "
        "name the text itself, or data built with the runs' own",
    )
    assert load_sweep_text(sweep(f"evaluate.own={{path: {built['bytes']}}}")).evaluation_sets["own"].tokens


def test_a_set_that_is_missing_or_shorter_than_the_context_is_refused_at_its_place(tmp_path: Path) -> None:
    short = write(tmp_path / "short", ["one", "two"])
    for wrong, line in (
        (short, "a context of 32 needs 33 at least"),
        (str(tmp_path / "none"), "no such file or folder"),
    ):
        spec = parse_sweep(SWEEP + f"evaluate: {{a: {{path: {wrong}}}}}\n", "x.yaml")
        with pytest.raises(InputError, match=rf"^x.yaml:6:15: evaluate.a: .*{line}") as error:
            plan_with_warnings(spec)
        assert len(error.value.errors) == 1


def test_ids_without_a_tokenizer_take_no_other_text(built: dict[str, str]) -> None:
    text = replace(load_text(CorpusSpec(path=built["bytes"])), encoder=None)
    with pytest.raises(InputError, match="without a tokenizer"):
        load_evaluation_set(CorpusSpec(name="sotu"), text)


def test_text_that_changes_after_the_plan_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "own", TEXTS[:50])
    config = planned(f"evaluate.own={{path: {folder}}}")[0].config
    text_of(config)
    (tmp_path / "own" / "more.txt").write_text("more")
    with pytest.raises(InputError, match=r"^evaluation set own: its text has changed since the sweep was planned$"):
        text_of(config)


def leaks(*overrides: str) -> list[str]:
    return list(evaluation_leaks(load_sweep_text(sweep(*overrides))))


def test_documents_that_are_trained_on_are_counted(tmp_path: Path, built: dict[str, str]) -> None:
    own, other = write(tmp_path / "own", TEXTS[:100]), write(tmp_path / "other", TEXTS[100:])
    text = load_text(CorpusSpec(path=own))
    texts = [document.decode() for document in load_text(CorpusSpec(path=other)).held_out_text.documents()]
    # Seven of the others' held-out documents, among many that are trained on here, and all of them as built data.
    mixed = write(tmp_path / "mixed", [*TEXTS[:100], *texts[:7]])
    trained = {bytes(part) for part in _documents(load_text(CorpusSpec(path=mixed)).train)}
    expected = sum(text.encode() in trained for text in texts)
    assert 0 < expected <= 7
    assert leaks(f"corpus={{path: {own}}}", f"evaluate={{own: {{path: {own}}}, other: {{path: {other}}}}}") == []
    assert leaks(f"corpus={{path: {own}}}") == []
    (message,) = leaks(f"corpus={{path: {mixed}}}", f"evaluate.other.path={other}")
    assert message == (
        f"evaluate.other: {expected} of {len(texts)} held-out documents are also in the training text of mixed: "
        "loss_other is lower than on text that is new to the runs"
    )
    (message,) = leaks(f"corpus={{path: {built['bpe:280']}}}", f"evaluate.own.path={own}", "model.vocab=280")
    train = set(_built_train(built["bytes"]))
    leaked = sum(document in train for document in text.held_out_text.documents())
    assert leaked > 0
    assert message.startswith(f"evaluate.own: {leaked} of {len(text.held_out_text.tokens.ends)} held-out documents")


def _documents(tokens: object) -> list[np.ndarray]:
    return [ids[:-1].astype(np.uint8) for ids in evaluation.documents_of(tokens)]  # type: ignore[arg-type]


def _built_train(path: str) -> list[bytes]:
    return [bytes(part) for part in _documents(load_text(CorpusSpec(path=path)).train_documents())]


def test_the_check_finds_a_leak_that_is_not_counted(tmp_path: Path) -> None:
    """Were the parts of built data taken for its documents, as the training text has them, no leak would be found."""
    both = write(tmp_path / "both", TEXTS[:60])
    spec = {"name": "made", "tokenizer": "bytes", "held_out": 0.1, "sources": [{"path": both}]}
    build(BuildSpec.model_validate(spec), tmp_path / "built", 1, lambda _: None)
    overrides = (f"corpus={{path: {tmp_path / 'built'}}}", f"evaluate.both.path={both}")
    text = load_sweep_text(sweep(*overrides))
    assert len(list(evaluation_leaks(text))) == 1
    assert list(evaluation_leaks(replace(text, train_documents=lambda: text.train))) == []


def test_a_plan_warns_of_a_leak(tmp_path: Path, built: dict[str, str]) -> None:
    own = write(tmp_path / "own", TEXTS[:100])
    _, warnings = plan_with_warnings(
        sweep(f"corpus={{path: {built['bytes']}, epochs: 1000}}", f"evaluate.own.path={own}")
    )
    assert [warning.code for warning in warnings] == ["evaluation-leak"]


def test_the_time_of_every_set_is_counted() -> None:
    speed = MachineSpeed("a", "b", (1e-3, 1e-2, 1e-3, 1e-3, 1e-3, 1e-3), (1.0, 1.0), 1.0, 0.1)
    sets = ["evaluate.a=sotu", "evaluate.b=speech"]
    none, one, two = (speed.run_s(planned(*sets[:count])[0].config, 10) for count in range(3))
    assert two - one == pytest.approx(one - none)
    assert one - none > 10 * speed.step_s(planned()[0].config.model, 1)


def test_a_check_of_the_recipe_has_the_sweeps_own_runs() -> None:
    spec = sweep("target.flops=5e11", "evaluate.speech=sotu")
    text = load_sweep_text(spec)
    plan = expand(spec, text)
    assert {run.id for run in plan} & {run.id for run in expand(probe(spec, plan), text)}


def test_a_check_of_a_recipe_on_little_text_has_the_same_sets(tmp_path: Path) -> None:
    """What the run's own text has of held-out tokens is no limit to what is measured of the others."""
    own = write(tmp_path / "own", [f"{text} " * 20 for text in TEXTS[:100]])
    spec = sweep(f"corpus={{path: {own}, epochs: 1000}}", "target.flops=5e11", "evaluate.speech=sotu")
    text = load_sweep_text(spec)
    plan = expand(spec, text)
    around = expand(probe(spec, plan), text)
    assert {run.id for run in plan} & {run.id for run in around}
    for run in (*plan, *around):
        data = run.config.data
        assert data.eval_tokens < data.evaluation_sets["speech"].eval_tokens == 2**17
