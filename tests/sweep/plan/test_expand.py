"""From sweep file to runs: budgets exact to a step, every impossible one named with its place."""

from dataclasses import asdict
from pathlib import Path

import pytest

from scaling.errors import InputError
from scaling.llama.counts import count_params, flops_per_token
from scaling.sweep.plan.corpus_text import SweepText, load_text
from scaling.sweep.plan.expand import PlannedRun, expand
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.spec.sweep_spec import SweepSpec
from scaling.train.recipe import Tuned

SWEEP = """\
name: tiny
model: {seq_len: 32, head_dim: 8, width_per_layer: 8}
corpus: sotu
fit:
  - {sizes: [{width: 8, depth: 1}, {width: 16, depth: 1}], flops: [1e8, 3e8], seeds: 2}
target: {size: {width: 16, depth: 2}, flops: 1e9, seeds: 2}
"""


@pytest.fixture(scope="module")
def text() -> SweepText:
    return load_text(parse_sweep(SWEEP, "tiny.yaml").corpus)


def plan(text: SweepText, *overrides: str, source: str = SWEEP) -> list[PlannedRun]:
    spec: SweepSpec = parse_sweep(source, "tiny.yaml", overrides)
    return expand(spec, text)


def test_every_size_horizon_and_seed_once(text: SweepText) -> None:
    runs = plan(text)
    assert [run.role for run in runs] == ["fit"] * 8 + ["target"] * 2
    assert len({run.id for run in runs}) == 10


def test_budgets_are_met_within_half_a_step(text: SweepText) -> None:
    for run, wanted in zip(plan(text), [1e8] * 2 + [3e8] * 2 + [1e8] * 2 + [3e8] * 2 + [1e9] * 2, strict=True):
        step = run.config.recipe.batch_tokens * flops_per_token(run.config.model, 32)
        assert abs(run.config.flops - wanted) <= step / 2


@pytest.mark.parametrize("same", ["fit.0.flops=[100000000, 3e8]", "fit.0.seeds=[0, 1]", "fit.0.flops=[1e8, 300M]"])
def test_a_number_is_the_same_however_it_is_written(text: SweepText, same: str) -> None:
    assert [run.id for run in plan(text, same)] == [run.id for run in plan(text)]


@pytest.mark.parametrize(
    "other",
    [
        "corpus=python",
        "schedule.decay=0.5",
        "recipe.learning_rate=0.01",
        "model.rope_theta=5e5",
        "dtype=bfloat16",
    ],
)
def test_what_changes_the_result_changes_every_id(text: SweepText, other: str) -> None:
    spec = parse_sweep(SWEEP, "tiny.yaml", [other])
    ids = {run.id for run in expand(spec, load_text(spec.corpus))}
    assert not ids & {run.id for run in plan(text)}


def test_every_sweep_on_a_corpus_evaluates_on_the_same_tokens(text: SweepText) -> None:
    runs = plan(text)
    assert {run.config.data.eval_tokens for run in runs} == {2**17}
    # So a run is the same run in a sweep that is smaller at its low-compute end, and its loss compares.
    fewer = plan(text, "fit.0.flops=[3e8]")
    assert {run.id for run in fewer} < {run.id for run in runs}


@pytest.mark.parametrize(
    ("overrides", "violation"),
    [
        (["fit.0.flops=[1e8, 1e5]"], "tokens is shorter than the context, 32"),
        (["fit.0.flops=[1e8, 1e13]"], "epochs of the corpus"),
        (["target.flops=1e14"], "allow it with corpus: {..., epochs:"),
        (["recipe.batch_tokens=1M"], "less than one step of"),
        (["target={size: {width: 8, depth: 1}, flops: 1e8}"], "the target is also one of the fitted runs"),
    ],
)
def test_impossible_budgets(text: SweepText, overrides: list[str], violation: str) -> None:
    with pytest.raises(InputError) as error:
        plan(text, *overrides)
    assert any(violation in line for line in error.value.errors)
    assert all("\n" not in line for line in error.value.errors)


def test_held_out_text_must_hold_a_window(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("long enough to train on " * 4000)
    (tmp_path / "b.txt").write_text("short")
    spec = parse_sweep(SWEEP, "tiny.yaml", [f"corpus={{path: {tmp_path}, epochs: 100}}"])
    with pytest.raises(InputError, match=r"tiny.yaml:2:18: the held-out text has 6 tokens"):
        expand(spec, load_text(spec.corpus))


def test_eval_tokens_are_those_there_are(text: SweepText) -> None:
    many = plan(text, "eval_tokens=100M")[0].config.data.eval_tokens
    assert 0.03 * len(text.train) < many < 0.12 * len(text.train)


def test_a_violation_names_its_place(text: SweepText) -> None:
    column = SWEEP.splitlines()[4].index("3e8") + 1
    with pytest.raises(InputError) as error:
        plan(text, source=SWEEP.replace("[1e8, 3e8]", "[1e8, 1e5]"))
    assert {line.split(": ")[0] for line in error.value.errors} == {f"tiny.yaml:5:{column}"}


def test_epochs_allow_repetition(text: SweepText) -> None:
    runs = plan(text, "target.flops=1e12", "corpus={name: sotu, epochs: 20}")
    assert runs[-1].config.tokens > len(text.train)


GRID = """\
name: tiny
model: {seq_len: 32, head_dim: 8, width_per_layer: 8}
corpus: sotu
grid: {learning_rate: [0.5x, 1x, 0.5], batch_tokens: [1x, 2x]}
fit: {sizes: {width: 8, depth: 1}, tokens: 100k, seeds: 2}
"""


def test_a_grid_is_every_combination_with_every_seed_paired(text: SweepText) -> None:
    runs = plan(text, source=GRID)
    usual = plan(text, "grid={learning_rate: 1x}", source=GRID)
    assert len(runs) == len({run.id for run in runs}) == 3 * 2 * 2
    assert [run.id for run in usual] == [run.id for run in runs if run.id in {u.id for u in usual}]
    recipe = usual[0].config.recipe
    batches = {run.config.recipe.batch_tokens for run in runs}
    assert batches == {recipe.batch_tokens, 2 * recipe.batch_tokens}
    for batch in batches:
        same = [run.config for run in runs if run.config.recipe.batch_tokens == batch]
        assert len({config.stream for config in same}) == 2  # one for each seed
        half, one, fixed = sorted({config.recipe.rates.matrix for config in same})
        assert half == pytest.approx(one / 2)
        assert fixed == pytest.approx(0.5)
    # A larger batch brings a larger rate of its own, of which the multiples are.
    assert len({config.recipe.rates.matrix for config in (run.config for run in runs)}) == 5


def test_all_groups_follow_the_learning_rate(text: SweepText) -> None:
    half, one = (plan(text, f"grid={{learning_rate: {x}}}", source=GRID)[0].config.recipe for x in ("0.5x", "1x"))
    assert [a / b for a, b in zip(asdict(half.rates).values(), asdict(one.rates).values(), strict=True)] == (
        pytest.approx([0.5] * 8)
    )
    assert half.weight_decay == pytest.approx(2 * one.weight_decay)  # its time scale is the run's


def test_the_optimizer_is_the_files_and_its_runs_are_paired_with_adamws(text: SweepText) -> None:
    adamw, muon = (plan(text, f"recipe.optimizer={name}") for name in ("adamw", "muon"))
    assert [run.id for run in adamw] == [run.id for run in plan(text)]
    assert {run.config.recipe.optimizer for run in muon} == {"muon"}
    assert not {run.id for run in adamw} & {run.id for run in muon}
    for one, other in zip(adamw, muon, strict=True):
        assert one.config.recipe.batch_tokens == other.config.recipe.batch_tokens
        assert (one.config.stream, one.config.flops) == (other.config.stream, other.config.flops)


def test_an_impossible_warmup_is_reported(text: SweepText) -> None:
    with pytest.raises(InputError, match=r"tiny.yaml:4:\d+: a warm-up of 2 of the run"):
        plan(text, source=GRID.replace("batch_tokens: [1x, 2x]", "warmup: 20x"))


@pytest.mark.parametrize(
    ("batches", "violations"),
    [
        ("[10, 40, 60, 90]", ["4:59: grid.batch_tokens: 10 and 40 both come to 32, in whole sequences of 32, at 2.9k"]),
        ("[0.25x, 0.5x, 1x]", ["4:62: grid.batch_tokens: 0.25x and 0.5x both come to 32"]),
        ("[64, 2x, 1x]", ["4:63: grid.batch_tokens: 64 and 1x both come to 64"]),
    ],
)
def test_values_of_a_grid_that_come_to_the_same_are_reported_once(
    text: SweepText, batches: str, violations: list[str]
) -> None:
    # At each of three rates and two budgets.
    with pytest.raises(InputError) as error:
        plan(text, "fit.tokens=[100k, 101k]", source=GRID.replace("[1x, 2x]", batches))
    assert len(error.value.errors) == len(violations)
    for line, violation in zip(error.value.errors, violations, strict=True):
        assert line.startswith(f"tiny.yaml:{violation}")


TUNED = Tuned(lambda model, _: 1.5 / count_params(model).total, lambda *_: 64.2)


def test_tuned_laws_go_before_the_recipe_but_not_before_the_file(text: SweepText) -> None:
    spec = parse_sweep(SWEEP, "tiny.yaml")
    for run in expand(spec, text, TUNED):
        assert run.config.recipe.rates.matrix == pytest.approx(1.5 / run.config.params)
        assert run.config.recipe.batch_tokens == 64
    by_hand = parse_sweep(SWEEP, "tiny.yaml", ["recipe={learning_rate: 0.01, batch_tokens: 96}"])
    recipe = expand(by_hand, text, TUNED)[0].config.recipe
    assert (recipe.rates.matrix, recipe.batch_tokens) == (pytest.approx(0.01), 96)


def test_a_tuned_rate_is_that_of_its_batch(text: SweepText) -> None:
    def rates(tuned: Tuned, *overrides: str) -> dict[int, set[float]]:
        found: dict[int, set[float]] = {}
        for run in expand(parse_sweep(GRID, "tiny.yaml", overrides), text, tuned):
            found.setdefault(run.config.recipe.batch_tokens, set()).add(
                run.config.recipe.rates.matrix * run.config.params
            )
        return {batch: {round(rate, 6) for rate in each} for batch, each in found.items()}

    batches = "batch_tokens: [1x, 4x, 32]"
    assert rates(TUNED, f"grid={{learning_rate: 1x, {batches}}}") == {
        64: {1.5},
        256: {3.0},
        32: {round(1.5 / 2**0.5, 6)},
    }
    assert rates(TUNED, f"grid={{{batches}}}") == rates(TUNED, f"grid={{learning_rate: 1x, {batches}}}")
    assert rates(TUNED, "recipe.batch_tokens=256", "grid={learning_rate: [1x, 2x]}") == {256: {3.0, 6.0}}
    # Without a law of the batch, the rate belongs to the recipe's own.
    own = plan(text, "grid={learning_rate: 1x}", source=GRID)[0].config.recipe.batch_tokens
    alone = Tuned(TUNED.learning_rate, None)
    assert rates(alone, "grid={batch_tokens: [1x, 4x]}") == {own: {1.5}, 4 * own: {3.0}}


TRUNK = """\
name: tiny
model: {seq_len: 32, head_dim: 8, width_per_layer: 8}
corpus: sotu
fit:
  - {sizes: [{width: 8, depth: 1}, {width: 16, depth: 1}], flops: [1e8, 4e8, 2e8], seeds: 2, trunk: true}
  - {sizes: [{width: 8, depth: 1}], flops: [3e8]}
target: {size: {width: 16, depth: 2}, flops: 1e9}
"""


def test_horizons_of_a_size_and_seed_are_branches_of_one_trunk(text: SweepText) -> None:
    runs = [run.config for run in plan(text, source=TRUNK) if run.role == "fit"]
    by_itself, branches = runs[-1], runs[:-1]
    assert by_itself.trunk is None
    assert len(branches) == 12
    trunks = {config.trunk_id for config in branches}
    assert len(trunks) == 4
    for trunk in trunks:
        mine = [config for config in branches if config.trunk_id == trunk]
        assert len({config.stream for config in mine}) == 1
        assert {config.trunk for config in mine} == {max(config.steps for config in mine)}
        warmups = {round(config.recipe.schedule.warmup * config.steps, 6) for config in mine}
        assert len(warmups) == 1
        # As long as the shortest by itself would warm up, and for the rest as the longest by itself.
        shortest, longest = (pick(mine, key=lambda config: config.steps) for pick in (min, max))
        assert warmups.pop() == pytest.approx(0.1 * shortest.steps, rel=0.02)
        (alone,) = [
            run.config
            for run in plan(text, "fit.0.trunk=false", source=TRUNK)
            if (run.config.model, run.config.seed, run.config.tokens) == (longest.model, longest.seed, longest.tokens)
        ]
        assert {(config.recipe.rates, config.batch, config.recipe.weight_decay) for config in mine} == {
            (alone.recipe.rates, alone.batch, alone.recipe.weight_decay)
        }


def test_only_wsd_shares_a_trunk() -> None:
    with pytest.raises(InputError, match="only runs of schedule wsd share a trunk"):
        parse_sweep(TRUNK, "tiny.yaml", ["schedule=cosine"])
