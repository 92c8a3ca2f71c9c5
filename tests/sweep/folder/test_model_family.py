"""The sizes and runs that a family has, and the file of a sweep grown by some: the old runs stay what they were."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scaling.errors import InputError
from scaling.llama.counts import count_params, flops_per_token
from scaling.sweep.folder.model_family import Family, NewRuns
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.plan.expand import expand
from scaling.sweep.spec.shapes import Size
from scaling.sweep.spec.sweep_file import load_sweep, parse_sweep
from scaling.sweep.spec.sweep_spec import SweepSpec

SWEEPS = Path(__file__).parents[3] / "sweeps"
SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: {name: sotu, epochs: 2}
fit:
  - {sizes: [{width: 8, depth: 1}, 5k], flops: [1e8, 3e8], seeds: [0, 2]}
  - {sizes: 8k, tokens: 50k, seeds: 2}
target: {size: {width: 20, depth: 1}, flops: 1e10}
recipe: {learning_rate: 0.01}
"""


def planned(spec: SweepSpec, folder: SweepFolder) -> None:
    folder.prepare(spec.canonical(), "", expand(spec, load_text(spec.corpus)), may_grow=True)


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    made = SweepFolder(tmp_path / "out")
    planned(parse_sweep(SWEEP, "tiny.yaml"), made)
    return made


@pytest.mark.parametrize(
    "file",
    sorted(
        file.name
        for file in SWEEPS.glob("*.yaml")
        if file.name not in ("tune.yaml", "chat.yaml", "chat-seeds.yaml", "compare.yaml", "mixture.yaml")
    ),
)
def test_what_every_family_offers_is_what_it_counts(file: str) -> None:
    family = Family.like(str(SWEEPS / file))
    sizes = family.sizes
    assert len(sizes) > 20
    for params, size in sizes.items():
        shape = family.rule.resolve(size)
        assert count_params(shape).total == params
    ordered = sorted(sizes)
    assert all(b / a > 1.15 for a, b in itertools.pairwise(ordered))
    flops = 1e17
    for params, tokens in family.cells(flops, 1e7, 1e9):
        shape = family.rule.resolve(sizes[params])
        assert tokens * flops_per_token(shape, shape.seq_len) == pytest.approx(flops)
        assert 1e7 <= params <= 1e9
    assert family.cells(1e3, 1e7, 1e9) == []


def test_no_run_has_a_size_or_length_that_says_nothing() -> None:
    ladder = Family.like(str(SWEEPS / "llama3-ladder.yaml"))
    assert min(ladder.sizes) >= 104991360
    usual = Family.usual()
    for size in usual.sizes.values():
        shape = usual.rule.resolve(size)
        counts = count_params(shape)
        assert shape.depth > 1
        assert counts.embedding <= counts.total / 2
    assert all(tokens >= 2 * params for params, tokens in usual.cells(1e15, 1e4, 1e8))
    assert max(params for params, _ in usual.cells(1e15, 1e4, 1e8)) > 5e6


def test_no_family_has_a_shape_everywhere() -> None:
    with pytest.raises(InputError, match="no shape of this family is near"):
        Family.usual().flops(100, 1e6)


def grow(family: Family, *new: NewRuns, target: tuple[float, float] = (8e9, 15e12)) -> SweepSpec:
    return parse_sweep(family.grown(new, *target), "next.yaml")


def test_a_file_from_nothing() -> None:
    family = Family.usual()
    (small, _), (large, _) = family.cells(1e15, 1e6, 1e7)[0], family.cells(1e16, 1e6, 1e7)[-1]
    spec = grow(family, NewRuns(large, 1e16, 1), NewRuns(small, 1e15, 3))
    assert [(block.flops, block.seeds) for block in spec.fit] == [((1e15,), (0, 1, 2)), ((1e16,), (0,))]
    assert count_params(spec.shape(spec.fit[1].sizes[0])).total == large
    assert spec.target is not None
    assert spec.target.horizon == ("tokens", 15e12)


def test_like_a_file_but_for_its_runs() -> None:
    like = load_sweep(SWEEPS / "llama3-ladder.yaml")
    family = Family.like(str(SWEEPS / "llama3-ladder.yaml"))
    spec = grow(family, NewRuns(family.cells(1e19, 1e8, 1e9)[0][0], 1e19, 1))
    assert (spec.model, spec.corpus, spec.recipe, spec.dtype) == (like.model, like.corpus, like.recipe, like.dtype)
    assert len(spec.fit) == 1
    assert spec.name == "llama3-ladder-design"


def runs(folder: SweepFolder) -> list[Mapping[str, Any]]:
    return [{"id": run, "config": folder.run(run).config()} for run in folder.runs()]


def test_a_grown_sweep_keeps_its_runs(folder: SweepFolder) -> None:
    before = runs(folder)
    family = Family.of_folder(folder.path)
    assert family.budgets == [1e8, 3e8]
    old = count_params(parse_sweep(SWEEP, "").shape(parse_sweep(SWEEP, "").fit[0].sizes[0])).total
    new = next(params for params, _ in family.cells(1e9, 1e3, 1e4) if params != old)
    own = family.rule.resolve(Size(width=20, depth=1))
    target = (count_params(own).total, 1e10 / flops_per_token(own, own.seq_len))
    spec = grow(family, NewRuns(old, 1e8, 2), NewRuns(new, 1e9, 1), NewRuns(old, 1e9, 1), target=target)
    assert [block.seeds for block in spec.fit] == [(0, 2), (0, 1), (1, 3), (0,)]
    planned(spec, folder)
    after = runs(folder)
    assert [run for run in after if run in before] == before
    assert len(after) == len(before) + 4
    assert 1e9 in Family.of_folder(folder.path).budgets


def test_the_requested_target_is_the_one_written(folder: SweepFolder) -> None:
    family = Family.of_folder(folder.path)
    own = parse_sweep(SWEEP, "").target
    assert own is not None
    shape = family.rule.resolve(own.size)
    params, tokens = count_params(shape).total, 1e10 / flops_per_token(shape, shape.seq_len)
    new = NewRuns(max(family.sizes), 1e15, 1)
    assert grow(family, new, target=(params, round(tokens, -3))).target == own
    for requested in ((params, 1.2 * tokens), (2 * params, tokens)):
        spec = grow(family, new, target=requested)
        assert spec.target is not None
        assert spec.target.horizon == ("tokens", requested[1])
        assert count_params(spec.shape(spec.target.size)).total == pytest.approx(requested[0], rel=0.1)


def test_folders_that_are_no_sweeps_to_grow(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sweep's folder"):
        Family.of_folder(tmp_path)
    grid = SWEEP.replace("target: {size: {width: 20, depth: 1}, flops: 1e10}", "grid: {warmup: [5%, 10%]}")
    planned(parse_sweep(grid, "grid.yaml"), SweepFolder(tmp_path / "grid"))
    with pytest.raises(InputError, match="a sweep with a grid tunes its recipe and forecasts nothing"):
        Family.of_folder(tmp_path / "grid")
