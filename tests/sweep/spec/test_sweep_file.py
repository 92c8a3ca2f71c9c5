"""Valid sweep files: their values, their canonical form, overrides and the places of keys."""

import json
from pathlib import Path

import pytest
from sweep.spec.sweep_texts import GOOD, GRID

from scaling.errors import InputError
from scaling.sweep.spec.sweep_file import load_sweep, parse_sweep
from scaling.sweep.spec.sweep_spec import SweepSpec

SWEEPS = Path(__file__).parents[3] / "sweeps"


def parse(*overrides: str, text: str = GOOD) -> SweepSpec:
    return parse_sweep(text, "x.yaml", overrides)


SEVERAL = ("chat", "chat-seeds", "compare")  # files of several sweeps


def test_a_chain_is_no_sweep() -> None:
    with pytest.raises(InputError, match=r"^x\.yaml:2:1: stages: this is a chain of stages, "):
        parse_sweep("name: x\nstages: {}\n", "x.yaml", ())


def test_contenders_are_no_single_sweep() -> None:
    with pytest.raises(InputError, match=r"^x\.yaml:2:1: contenders: these are several sweeps, "):
        parse_sweep("name: x\ncontenders: {}\n", "x.yaml", ())


@pytest.mark.parametrize(
    "path", sorted(path for path in SWEEPS.glob("*.yaml") if path.stem not in SEVERAL), ids=lambda path: path.stem
)
def test_the_sweeps_here_are_valid(path: Path) -> None:
    spec = load_sweep(path)
    assert spec.name == path.stem
    assert path.read_text().startswith("# ")
    for block in spec.fit:
        assert block.horizon[1]
        for size in block.sizes:
            assert spec.shape(size).seq_len == spec.model.seq_len


def test_values_are_read() -> None:
    spec = parse()
    assert [block.seeds for block in spec.fit] == [(0, 1), (3, 5)]
    assert [block.horizon for block in spec.fit] == [("flops", (1e10, 3e10)), ("tokens_per_param", (20.0,))]
    assert spec.target.horizon == ("flops", 3e12)
    assert spec.corpus.name == "sotu"
    assert spec.corpus.epochs == 1
    assert (spec.recipe.name, spec.schedule.kind, spec.schedule.decay) == ("transfer", "wsd", 0.3)
    assert spec.shape(spec.fit[1].sizes[0]).depth == 3


def test_quantities_are_accepted_wherever_a_number_is() -> None:
    spec = parse(
        "eval_tokens=64k",
        "schedule={kind: wsd, decay: 15%}",
        "fit.0.flops=[10B, 3e10]",
        "recipe={learning_rate: 2e-3, batch_tokens: 1_024, warmup: 25%}",
    )
    assert spec.eval_tokens == 64_000
    assert spec.schedule.decay == 0.15
    assert spec.fit[0].flops == (1e10, 3e10)
    assert (spec.recipe.learning_rate, spec.recipe.batch_tokens, spec.recipe.warmup) == (2e-3, 1024, 0.25)


@pytest.mark.parametrize("flops", ["10000000000000000", "1e16", "1.0e+16", "10P", "'1e16'", "10_000T"])
def test_canonical_is_the_same_however_it_is_written(flops: str) -> None:
    canonical = parse(f"target.flops={flops}", "fit.1.seeds=[3, 5]", "recipe={name: transfer}").canonical()
    expected = parse("target.flops=1e16", "schedule={kind: wsd, decay: 30%}", "corpus={name: sotu}").canonical()
    assert json.dumps(canonical, sort_keys=True) == json.dumps(expected, sort_keys=True)
    assert canonical != parse("target.flops=2e16").canonical()


def test_canonical_can_be_read_again() -> None:
    canonical = parse("corpus={name: python, tests: true, epochs: 2}").canonical()
    text = json.dumps(canonical)
    assert parse(text=text).canonical() == canonical


def test_overrides() -> None:
    spec = parse(
        "target.seeds=4",
        "fit.0.flops=[1e9,3e9]",
        "corpus=python",
        "corpus.tests=true",
        "recipe.learning_rate=2e-3",
        "schedule.decay=30%",
        "fit.1.sizes=16k",
    )
    assert spec.target.seeds == (0, 1, 2, 3)
    assert spec.fit[0].flops == (1e9, 3e9)
    assert (spec.corpus.name, spec.corpus.tests) == ("python", True)
    assert (spec.recipe.name, spec.recipe.learning_rate) == ("transfer", 2e-3)
    assert (spec.schedule.kind, spec.schedule.decay) == ("wsd", 0.3)
    assert spec.where("fit", 0, "flops", 1) == "override 'fit.0.flops=[1e9,3e9]'"


def test_where() -> None:
    spec = parse()
    assert spec.where("fit", 0, "flops", 1) == "x.yaml:5:40"
    assert spec.where("fit", 1, "sizes", 0) == "x.yaml:6:13"
    assert spec.where("fit", 1, "tokens_per_param", 0) == "x.yaml:6:54"
    assert spec.where("target", "tokens") == "x.yaml:7:9"
    assert spec.where("corpus", "epochs") == "x.yaml:3:9"
    assert spec.where("recipe") == "x.yaml:1:1"


def test_load_reads_what_editors_write(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_sweep(file).canonical() == parse().canonical()
    assert load_sweep(file, ["name=b"]).name == "b"


def test_a_grid_takes_numbers_and_multiples_of_the_recipes() -> None:
    spec = parse(text=GRID)
    assert spec.grid is not None
    assert [point["learning_rate"].of(2.0) for point in spec.grid.points()] == [1.0, 2.0, 0.003]
    assert [point["warmup"].of(0.1) for point in spec.grid.points()] == [0.05] * 3
    again = SweepSpec.model_validate_json(json.dumps(spec.canonical()))
    assert again.canonical() == spec.canonical()


def test_a_grid_may_go_without_weight_decay() -> None:
    spec = parse(text=GRID.replace("warmup: 5%", "weight_decay: [0, 1x]"))
    assert spec.grid is not None
    assert [point["weight_decay"].of(0.3) for point in spec.grid.points()] == [0.0, 0.3] * 3
    again = SweepSpec.model_validate_json(json.dumps(spec.canonical()))
    assert again.canonical() == spec.canonical()


def test_adamw_is_not_named_in_what_a_folder_keeps() -> None:
    """Folders of before there was Muon know their sweep again."""
    assert parse().canonical() == parse("recipe.optimizer=adamw").canonical()
    assert "optimizer" not in parse().canonical()["recipe"]
    muon = parse("recipe={optimizer: muon}")
    assert (muon.recipe.name, muon.schedule.kind) == ("transfer", "wsd")
    assert muon.canonical()["recipe"]["optimizer"] == "muon"


def test_a_recipe_brings_its_schedule() -> None:
    assert (parse("recipe=llama").schedule.kind, parse("recipe=llama").schedule.decay) == ("cosine", None)
    assert parse("recipe=llama", "schedule=wsd").schedule.kind == "wsd"
