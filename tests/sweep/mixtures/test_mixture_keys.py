"""The keys on mixtures of a sweep file: one line for each violation, with its place."""

import json
from pathlib import Path

import pytest
from sweep.mixtures.mixture_sweeps import SWEEP

from scaling.errors import InputError
from scaling.sweep.contenders.contenders_file import parse_contenders
from scaling.sweep.spec.mixtures import Mixtures
from scaling.sweep.spec.sweep_file import load_sweep, parse_sweep
from scaling.sweep.stages.chain_file import parse_chain

SWEEPS = Path(__file__).parents[3] / "sweeps"


def violations(*overrides: str) -> list[str]:
    with pytest.raises(InputError) as error:
        parse_sweep(SWEEP, "x.yaml", overrides)
    return [line.removeprefix(f"override '{overrides[-1]}': ") for line in error.value.errors]


def test_shares_are_read_as_people_write_them() -> None:
    spec = parse_sweep(SWEEP, "x.yaml")
    assert spec.mixtures == Mixtures(count=6, names={"codey": {"code": 0.6, "docs": 0.4}})
    assert [block.mixtures for block in spec.fit] == [6, ("proportional", "codey")]
    assert spec.target is not None
    assert spec.target.mixture_names == ("chosen", "proportional", "uniform")
    assert spec.objective == pytest.approx({"code": 0.3, "docs": 0.7})
    thirds = parse_sweep(SWEEP, "x.yaml", ["mixtures.names.codey={code: 33.33%, docs: .3333, speech: 3333e-4}"])
    assert thirds.mixtures is not None
    assert thirds.mixtures.names == {"codey": pytest.approx({"code": 1 / 3, "docs": 1 / 3, "speech": 1 / 3})}
    again = parse_sweep(json.dumps(spec.canonical()), "x.json")
    assert again.canonical() == spec.canonical()


def test_a_sweep_without_mixtures_says_nothing_of_them() -> None:
    plain = load_sweep(SWEEPS / "quickstart.yaml").canonical()
    assert "mixtures" not in plain
    assert not {"mixtures", "for"} & {key for block in (*plain["fit"], plain["target"]) for key in block}


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("mixtures.names.codey={code: 50%, docs: 40%}", "mixtures.names.codey: the shares sum to 0.9, not to 1"),
        ("mixtures.names.codey={code: 60, docs: 0.4}", "mixtures.names.codey.code: '60' is more than the whole; "),
        ("mixtures.names.codey.code=-60%", "mixtures.names.codey.code: '-60%' is negative"),
        ("mixtures.names.codey.code=most", "mixtures.names.codey.code: 'most' is not a number such as "),
        ("mixtures.names.codey=[code]", "mixtures.names.codey: must be a mapping of names to shares, such as "),
        ("mixtures.names.codey={law: 100%}", "mixtures.names.codey.law: no source; the corpus's sources are speech, "),
        ("mixtures.names.uniform={code: 1}", "mixtures.names.uniform: 'uniform' is there without being named"),
        ("mixtures.count=0", "mixtures.count: '0' is not positive"),
        ("mixtures.count=5000", "mixtures.count: 5000 mixtures are more than the 1000 that are allowed"),
        ("mixtures.spread=1000", "mixtures.spread: 1000 is not between 1/100 and 100"),
        ("mixtures.least=40%", "mixtures.least: 0.4 of each of 3 sources leaves nothing to vary"),
        ("mixtures.around=best", "mixtures.around: must be 'proportional', 'uniform' or shares by name, not 'best'"),
        ("mixtures.around={code: 20%}", "mixtures.around: the shares sum to 0.2, not to 1"),
        ("mixtures.around={code: 1}", "mixtures.around: a design lies around a share of every source; speech, docs "),
        ("mixtures.round=uniform", "mixtures: unknown key 'round'; did you mean 'around'?"),
        ("mixtures=6", "mixtures: must be a mapping, not '6'"),
        ("fit.0.mixtures=7", "fit.0.mixtures: 7 mixtures are wanted of a design of 6"),
        ("fit.0.mixtures=0", "fit.0.mixtures: '0' is not positive"),
        ("fit.0.mixtures=1.5", "fit.0.mixtures: '1.5' is not a whole number"),
        ("fit.0.mixtures={code: 1}", "fit.0.mixtures: must be a count, or names such as [proportional, uniform], not"),
        ("fit.0.mixtures=[]", "fit.0.mixtures: the list is empty"),
        ("fit.1.mixtures=[codey, codey]", "fit.1.mixtures: 'codey' is given twice"),
        ("fit.1.mixtures=code", "fit.1.mixtures: there is no mixture 'code'; there are proportional, uniform, codey"),
        ("fit.1.mixtures=[uniform, chosen]", "fit.1.mixtures.1: 'chosen' is decided by the fitted runs, and for the "),
        ("target.mixtures=[chosen, best]", "target.mixtures.1: there is no mixture 'best'; there are chosen, prop"),
        ("target.mixtures=uniform", "target.mixtures: 'chosen' is missing, the mixture that the fitted runs decide on"),
        ("target.for={code: 50%}", "target.for: the shares sum to 0.5, not to 1"),
        ("target.for={code: 50%, law: 50%}", "target.for.law: no domain; the corpus's sources are speech, code, docs"),
    ],
)
def test_every_violation_has_one_line(override: str, line: str) -> None:
    (found,) = violations(override)
    assert found.startswith(line)


def test_violations_have_their_places() -> None:
    text = SWEEP.replace("code: 60%", "code: 70%").replace("codey], seeds", "cody], seeds")
    with pytest.raises(InputError) as error:
        parse_sweep(text, "x.yaml")
    assert error.value.errors == (
        "x.yaml:4:37: mixtures.names.codey: the shares sum to 1.1, not to 1",
        "x.yaml:8:97: fit.1.mixtures.1: there is no mixture 'cody'; there are proportional, uniform, codey",
    )


def test_further_domains_are_those_that_runs_are_evaluated_on() -> None:
    sets = "evaluate={old: sotu}"
    assert parse_sweep(SWEEP, "x.yaml", [sets, "target.for={code: 1%, old: 99%}"]).objective
    (line,) = violations(sets, "target.for={new: 1}")
    assert line == "target.for.new: no domain; the corpus's sources are speech, code, docs, and further domains old"


def test_mixtures_need_sources_a_target_and_blocks_that_say_which() -> None:
    (line,) = violations("corpus.names=[code]", "mixtures.names=null", "fit.1.mixtures=6", "target.for={code: 1}")
    assert line.endswith("mixtures: the corpus is one source; mixtures need two or more, such as names: [speech, code]")
    assert violations("mixtures.count=null")[0].endswith(
        "fit.0.mixtures: a count is of a design, and mixtures has no count; there are proportional, uniform, codey"
    )
    assert violations("fit.0.mixtures=null")[0].endswith(
        "fit.0: missing key 'mixtures': how many of the design, or names"
    )
    assert [line.partition(": ")[2] for line in violations("mixtures=null")] == [
        f"{key}: belongs to a sweep with the key 'mixtures', and there is none"
        for key in ("fit.0.mixtures", "fit.1.mixtures", "target.for")
    ]
    (line,) = violations("target=null", "grid={learning_rate: [1x, 2x]}")
    assert line == "grid: a sweep with mixtures tunes nothing; tune by a sweep of one mixture first"


def test_contenders_and_stages_choose_no_mixture() -> None:
    several = SWEEP + "contenders: {one: {}, two: {recipe: {optimizer: muon}}}\n"
    with pytest.raises(InputError) as error:
        parse_contenders(several, "x.yaml")
    assert error.value.errors == (
        "x.yaml:4:1: mixtures: contenders choose no mixture; choose each one's by a sweep of its own first",
    )
    own = SWEEP.replace("mixtures:", "x-mixtures:", 1)
    own += "contenders: {one: {}, two: {mixtures: {count: 3}}}\n"
    with pytest.raises(InputError, match=r"contenders\.two\.mixtures: contenders choose no mixture"):
        parse_contenders(own, "x.yaml")
    block = "{sizes: {width: 8, depth: 1}, tokens: 4k, mixtures: uniform}"
    chain = "name: a\nmodel: {seq_len: 32, heads: 1, depth: 1}\ncorpus: {names: [speech, code]}\nstages:\n"
    chain += f"  base: {{fit: {block}, mixtures: {{count: 3}}}}\n"
    with pytest.raises(InputError) as error:
        parse_chain(chain, "x.yaml")
    assert [line.partition(": ")[2] for line in error.value.errors] == [
        "stages.base.mixtures: a chain's stages choose none; choose one by a sweep of its own"
    ]
