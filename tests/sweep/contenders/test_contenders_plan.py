"""Plans of contenders: paired runs, what they are compared by, and which do not compare."""

import json
from pathlib import Path

import pytest

from scaling.cli import main
from scaling.comparison import plan_contenders
from scaling.errors import InputError
from scaling.sweep.contenders.comparable import loss_column
from scaling.sweep.contenders.contenders_file import Contenders, load_contenders, parse_contenders
from scaling.sweep.folder.parts import Parts, all_states, write_parts
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.held_out import HeldOutText

SWEEPS = Path(__file__).parents[3] / "sweeps"
FILE = """\
name: both
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
fit: {sizes: [{width: 8, depth: 1}, {width: 12, depth: 1}], flops: [1e8, 3e8], seeds: 2}
target: {size: {width: 12, depth: 1}, flops: 3e9, seeds: 3}
contenders:
  plain: {}
  other: {recipe: {weight_decay: 0}}
"""


def parse(*overrides: str) -> Contenders:
    return parse_contenders(FILE, "x.yaml", overrides)


def refused(*overrides: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        plan_contenders(parse(*overrides))
    return list(caught.value.errors)


def test_runs_that_differ_in_hyperparameters_alone_see_the_same_data() -> None:
    plans, warnings = plan_contenders(parse())
    streams = [[run.config.stream for run in plans[name]] for name in ("plain", "other")]
    assert streams[0] == streams[1]
    assert {run.id for run in plans["plain"]}.isdisjoint(run.id for run in plans["other"])
    assert warnings == ()


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("contenders.other.recipe.batch_tokens=64", "batches"),
        ("contenders.other.fit.seeds=[7, 8]", "seeds"),
        ("contenders.other.model.qk_norm=true", "models"),
        ("contenders.other.fit.flops=[1e8, 2e8]", "tokens"),
    ],
)
def test_other_orders_of_the_data_are_warned_of(override: str, reason: str) -> None:
    _, (warning,) = plan_contenders(parse(override))
    assert warning.code == "other-order"
    assert "runs of other begin at other weights and see the text in another order than those of plain" in (
        warning.message
    )
    assert f"as their {reason} differ" in warning.message


def test_another_corpus_has_another_order_and_is_not_warned_of() -> None:
    given = ("contenders.other.corpus=python", "evaluate={speech: sotu}", "compare_on=speech")
    contenders = parse(*given)
    plans, warnings = plan_contenders(contenders)
    assert [warning.code for warning in warnings] == []
    assert loss_column(contenders, plans) == "loss_speech"
    assert loss_column(parse(), plan_contenders(parse())[0]) == "loss"


def test_contenders_of_the_same_runs_are_refused_at_their_place() -> None:
    assert refused("contenders.third={}") == [
        "override 'contenders.third={}': contenders.third: comes to the same runs as plain; contenders differ in "
        "something that changes a run, its seeds for example"
    ]


def test_losses_on_different_texts_are_refused_at_the_corpus() -> None:
    (line,) = refused("contenders.other.corpus=python")
    assert line.startswith("override 'contenders.other.corpus=python': contenders.other: its loss is on another ")
    assert line.endswith("measure all on one: evaluate: {NAME: CORPUS} and compare_on: NAME")
    given = ("evaluate={speech: sotu}", "compare_on=speech", "contenders.other.evaluate.speech=python")
    (line,) = refused(*given)
    assert "contenders.other.evaluate.speech: is another text than that of plain" in line


def test_corpora_with_the_same_held_out_text_compare_by_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeldOutText, "sha256", lambda *_: "the same")
    _, warnings = plan_contenders(parse("contenders.other.corpus=python"))
    assert warnings == ()


def test_errors_of_all_are_reported_once_and_those_of_one_with_its_name() -> None:
    (line,) = refused("target.flops=1e20")
    assert "(of " not in line
    (line,) = refused("contenders.other.target.flops=1e20")
    assert line.endswith("(of other)")


def test_the_plan_lists_runs_by_contender_and_sums_their_flops(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.yaml").write_text(FILE)
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(tmp_path / "x.yaml"), "--no-calibrate", "--json"])
    assert ended.value.code == 0
    content = json.loads(capsys.readouterr().out)
    assert [run["contender"] for run in content["runs"]] == ["plain"] * 11 + ["other"] * 11
    assert content["total_flops"] == sum(run["added_flops"] for run in content["runs"])
    assert content["target_flops"] == sum(each["target_flops"] for each in content["contenders"].values())


@pytest.mark.parametrize("option", ["--noise"])
def test_options_that_do_not_apply_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    (tmp_path / "x.yaml").write_text(FILE)
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(tmp_path / "x.yaml"), option, "x"])
    assert ended.value.code == 2
    assert "which is a comparison of contenders" in capsys.readouterr().err


def test_status_shows_the_runs_of_every_contender_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    contenders = parse()
    plans, _ = plan_contenders(contenders)
    for name, spec in contenders.contenders.items():
        SweepFolder(tmp_path / name).prepare(spec.canonical(), FILE, plans[name])
    write_parts(tmp_path, "both", Parts("contender", tuple(plans)))
    with pytest.raises(SystemExit) as ended:
        main(["status", str(tmp_path)])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["contender", "run", "role"]
    assert [line.split()[0] for line in lines[1:23]] == ["plain"] * 11 + ["other"] * 11
    assert lines[23] == "0 of 22 runs ended"
    (tmp_path / "contenders.json").write_text("{")
    with pytest.raises(InputError, match=r"contenders\.json: damaged; `scaling run` writes it again"):
        all_states(tmp_path)


def test_the_comparison_here_is_valid_and_paired() -> None:
    path = SWEEPS / "compare.yaml"
    assert path.read_text().startswith("# ")
    contenders = load_contenders(path)
    assert contenders.name == "compare"
    plans, warnings = plan_contenders(contenders)
    assert warnings == ()
    assert {run.config.recipe.optimizer for run in plans["muon"]} == {"muon"}
    reach = [max(run.config.flops for run in plans["muon"] if run.role == role) for role in ("fit", "target")]
    assert reach[1] / reach[0] == pytest.approx(10, rel=0.02)
