"""The plan of a sweep with mixtures: every block on its mixtures, and no source more often than the file allows."""

from collections import Counter
from dataclasses import replace

import pytest
from sweep.mixtures.mixture_sweeps import SWEEP

from scaling.errors import InputError
from scaling.mixture import MixturePlan
from scaling.sweep.plan.corpus_text import SweepText, epochs_of, load_text
from scaling.sweep.plan.expand import PlannedRun, expand
from scaling.sweep.plan.mixtures import sweep_mixtures
from scaling.sweep.plan.probe import probe
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.spec.sweep_spec import SweepSpec


@pytest.fixture(scope="module")
def text() -> SweepText:
    return load_text(parse_sweep(SWEEP, "x.yaml").corpus)


def sweep(*overrides: str) -> SweepSpec:
    return parse_sweep(SWEEP, "x.yaml", overrides)


def shares(runs: list[PlannedRun]) -> Counter[tuple[float, ...]]:
    return Counter(tuple((run.config.data.mixture or {}).values()) for run in runs)


def test_every_block_is_trained_on_its_mixtures(text: SweepText) -> None:
    spec = sweep()
    known, runs = sweep_mixtures(spec, text), expand(spec, text)
    assert list(known.named) == ["proportional", "uniform", "codey"]
    assert known.named["uniform"] == {"speech": 0.333334, "code": 0.333333, "docs": 0.333333}
    assert known.named["codey"] == {"speech": 0.0, "code": 0.6, "docs": 0.4}
    sizes = {name: len(tokens) for name, tokens in text.sources.items()}
    assert known.named["proportional"] == pytest.approx(
        {name: size / sum(sizes.values()) for name, size in sizes.items()}, abs=1e-6
    )
    assert known.design[0] == known.named["proportional"]
    assert [known.name_of(mixture) for mixture in known.design[:2]] == ["proportional", "design 2"]
    for length in (4000, 6000):
        of = [run for run in runs if run.role == "fit" and run.config.tokens // 1000 * 1000 == length]
        assert shares(of) == {tuple(mixture.values()): 1 for mixture in known.design}
    longest = [run for run in runs if run.config.steps * 32 == 8000]
    assert shares(longest) == {tuple(known.named[name].values()): 4 for name in ("proportional", "codey")}
    assert shares([run for run in runs if run.role == "target"]) == {
        tuple(known.named[name].values()): 2 for name in ("proportional", "uniform")
    }
    assert len({run.id for run in runs}) == len(runs) == 12 + 8 + 4
    for run in runs:
        assert sum((run.config.data.mixture or {}).values()) == pytest.approx(1.0, abs=1e-9)


def test_runs_of_two_mixtures_are_paired(text: SweepText) -> None:
    """They begin at the same weights and draw by the same seed, so that their noise cancels."""
    runs = [run.config for run in expand(sweep(), text) if run.role == "target"]
    assert len({run.stream for run in runs}) == 2 < len({run.id for run in runs}) == 4


def test_the_chosen_mixture_is_planned_once_it_is_known(text: SweepText) -> None:
    spec = sweep("target.mixtures=[uniform, chosen]")
    before = expand(spec, text)
    mixture = {"speech": 0.1, "code": 0.2, "docs": 0.7}
    after = expand(spec, text, chosen=mixture)
    added = [run for run in after if run not in before]
    assert shares(added) == {(0.1, 0.2, 0.7): 2}
    assert {run.role for run in added} == {"target"}
    assert [run for run in after if run in before] == before
    fixed = sweep_mixtures(spec, text).named["uniform"]
    assert expand(spec, text, chosen=fixed) == before  # the same runs are trained once


def test_branches_of_a_trunk_are_of_one_mixture(text: SweepText) -> None:
    runs = expand(sweep("fit.0.trunk=true"), text)
    trunks: dict[str, set[str]] = {}
    for run in runs:
        if run.config.trunk is not None:
            trunks.setdefault(run.config.trunk_id, set()).add(str(run.config.data.mixture))
    assert len(trunks) == 6
    assert all(len(mixtures) == 1 for mixtures in trunks.values())


def test_no_source_is_repeated_more_often_than_the_file_allows(text: SweepText) -> None:
    tokens = 2 * min(len(tokens) for tokens in text.sources.values())
    spec = sweep(f"fit.1.tokens={tokens}", "target.tokens=10M", "mixtures.names.codey={code: 1}")
    with pytest.raises(InputError) as error:
        expand(spec, text)
    first, _ = error.value.errors  # one line for each size, not for each mixture and seed
    code = round(len(text.sources["code"]) / 1e6, 2)
    assert first.startswith(f"override 'fit.1.tokens={tokens}': ")
    assert f" are 2 epochs of code ({code:g}M training tokens) on the mixture 0/100/0 of speech/code/docs; " in first
    assert first.endswith("allow it with corpus: {..., epochs: 2.1}")
    allowed = sweep(
        f"fit.1.tokens={tokens}", "target.tokens=20M", "mixtures.names.codey={code: 1}", "corpus.epochs=2.1"
    )
    runs = expand(allowed, text)
    most = max(max(epochs_of(run.config.data.mixture, text, run.config.tokens, 32).values()) for run in runs)
    assert 1.9 < most <= 2.1


def test_mixtures_that_do_not_suit_the_text_have_their_place(text: SweepText) -> None:
    """As of data that is built, whose sources are known only when it is read."""
    other = replace(text.by_source, train={name: text.sources[name] for name in ("speech", "code")})
    with pytest.raises(InputError) as error:
        expand(sweep(), replace(text, by_source=other))
    assert error.value.errors == (
        "x.yaml:4:55: mixtures.names.codey.docs: no source; the corpus's sources are speech, code",
        "x.yaml:9:75: target.for.docs: no domain; the corpus's sources are speech, code",
    )
    none = replace(text.by_source, train={})
    with pytest.raises(InputError, match=r"^x\.yaml:4:11: mixtures: the corpus is one source; mixtures need two"):
        expand(sweep(), replace(text, by_source=none))


def test_a_recipe_is_checked_on_one_mixture(text: SweepText) -> None:
    spec = sweep()
    runs = expand(probe(spec, expand(spec, text)), text)
    assert set(shares(runs)) == {tuple(text.by_source.proportional.values())}


def test_a_sweep_without_mixtures_has_none_in_its_configs(text: SweepText) -> None:
    plain = SWEEP.replace(", mixtures: 6", "").replace(", mixtures: [proportional, codey]", "")
    plain = plain.replace(", for: {code: 30%, docs: 70%}", "").replace("mixtures: ", "x-mixtures: ")
    runs = expand(parse_sweep(plain, "x.yaml"), text)
    assert all("mixture" not in run.config.to_json() for run in runs)


def codes(text: SweepText, *overrides: str) -> list[str]:
    return [warning.code for warning in MixturePlan(sweep(*overrides), text).warnings()]


def test_what_the_runs_cannot_tell_is_warned_of_before_they_are_trained(text: SweepText) -> None:
    assert codes(text, "fit.0.sizes=[{width: 8, depth: 1}, {width: 24, depth: 1}]") == []
    assert codes(text, "fit.0.tokens=4k", "fit.1.mixtures=uniform") == ["one-scale"]
    assert codes(text, "fit.0.mixtures=2") == ["few-runs"]
    long = ["fit.0.tokens=[4k, 12M]", "mixtures.names.codey={code: 1}", "corpus.epochs=2", "fit.1.tokens=11M"]
    (warning,) = MixturePlan(sweep(*long), text).warnings()
    assert warning.code == "repeated-data"
    assert "repeat a source (up to about 1.3 epochs)" in warning.message


def test_the_choice_is_asked_for_the_target_within_the_epochs_allowed(text: SweepText) -> None:
    plan = MixturePlan(sweep("corpus.epochs=1.5", "target.for={code: 1, docs: 0}"), text)
    request, config = plan.request(), plan.on_chosen()[0].config
    assert (request.params, request.tokens, request.flops) == (config.params, config.tokens, config.flops)
    assert (request.objective, request.seeds) == ({"code": 1.0}, 2)
    assert request.unique == pytest.approx({name: len(tokens) for name, tokens in text.sources.items()}, rel=1e-4)
    assert request.most == dict.fromkeys(text.sources, pytest.approx(1.5, rel=2e-3))
    assert max(request.most.values()) < 1.5  # shares in millionths stay within it
    everything = MixturePlan(sweep("target.for=null"), text).request()
    assert everything.objective == dict.fromkeys(text.sources, 1.0)


def test_until_it_is_chosen_its_runs_take_as_much_as_those_beside_them(text: SweepText) -> None:
    plan = MixturePlan(sweep(), text)
    waiting, others = plan.on_chosen(), [run for run in plan.runs() if run.role == "target"]
    assert {run.config.flops for run in waiting} == {run.config.flops for run in others}
    assert [run.config.seed for run in waiting] == [0, 1]
    chosen = {"code": 0.25, "docs": 0.75}
    assert {run.id for run in plan.on_chosen(chosen)} < {run.id for run in plan.runs(chosen)}
    assert shares(plan.on_chosen(chosen)) == {(0.0, 0.25, 0.75): 2}
