"""The page about a stage, or about all stages of a chain: its content as plain data, and the HTML made of it."""

import json
from dataclasses import dataclass
from pathlib import Path

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.files import readable
from analysis.pages.table import Table
from analysis.report.figures import ReportFigure
from analysis.report.rendering import rendered
from analysis.report.stages.answers import answers
from analysis.report.stages.figures import OF_STAGE, STAGE_KINDS, stage_figures
from analysis.report.stages.findings import StageFindings, is_stage, read_stage
from analysis.report.stages.verdicts import against_actual, verdict, warnings
from analysis.report.tables import runs, sweep_file
from analysis.rewards.curves import RewardTable

_CHAIN = "chain.json"
_TITLES = {
    "sft": "Supervised fine-tuning",
    "reward": "Reward models",
    "best_of_n": "Best-of-n",
    "ppo": "PPO",
    "dpo": "DPO",
}
_COLUMNS = (
    *("run_id", "role", "status", "params", "policy_params", "reward_params", "examples", "pairs", "beta"),
    *("kl_coefficient", "seed", "flops", "loss", "loss_stderr", "accuracy", "accuracy_stderr", "kl", "reward_proxy"),
    *("reward_gold", "reward_gold_stderr", "peak_gold", "peak_kl", "peak_n", "win_rate", "length", "stopped"),
    *("distinct", "logp_chosen", "logp_rejected", "dropped", "wall_s"),
)


@dataclass(frozen=True)
class Section:
    """What the page shows of one stage.

    Attributes:
        name: of its folder.
        title: of the stage.
        verdict: the forecast and what came of it.
        warnings: of both, and where the stage has no gold reward that.
        figures: drawn, or with the reason why they are not.
        forecasts: the forecast against the actual, or None.
        answers: of one prompt, or None.
        runs: every run.
    """

    name: str
    title: str
    verdict: str
    warnings: tuple[Diagnostic, ...]
    figures: tuple[ReportFigure, ...]
    forecasts: Table | None
    answers: Table | None
    runs: Table


@dataclass(frozen=True)
class StagePage:
    """The page.

    Attributes:
        title: with the names of the folder.
        sections: of its stages in order.
        sweep_file: the text of the sweep's file, or None.
    """

    title: str
    sections: tuple[Section, ...]
    sweep_file: str | None


def stages_below(place: Path) -> list[Path]:
    """Folders of the stages of a chain, in its order; empty for a folder that is none of a chain."""
    file = place / _CHAIN
    if not file.is_file():
        return []
    with readable(file, "list of stages"):
        names = [str(name) for name in json.loads(file.read_bytes())["stages"]]
    return [place / name for name in names if is_stage(place / name)]


def stage_page(place: Path) -> StagePage:
    """The page about a stage's folder, or about the folder of a chain of stages.

    Raises:
        InputError: if a file is not what its name says.
    """
    folders = [place] if is_stage(place) else stages_below(place)
    name = place.resolve().name
    title = f"Stage {name}" if is_stage(place) else f"Stages of {name}"
    return StagePage(
        title, tuple(_section(folder, place) for place, folder in enumerate(folders, 1)), sweep_file(place)
    )


def _section(folder: Path, place: int) -> Section:
    found = read_stage(folder)
    stages = [str(stage) for stage in found.runs["stage"].dropna().unique()]
    names = [name for name in STAGE_KINDS if any(name in OF_STAGE.get(stage, STAGE_KINDS) for stage in stages)]
    table = found.runs
    return Section(
        name=folder.resolve().name,
        title=" and ".join(_TITLES.get(stage, stage) for stage in stages) or "A stage",
        verdict=verdict(found),
        warnings=tuple(dict.fromkeys([*warnings(found), *_no_gold(found)])),
        figures=tuple(stage_figures(found, names, place)),
        forecasts=against_actual(found),
        answers=answers(found),
        runs=runs(table[[name for name in _COLUMNS if name in table]], _COLUMNS),
    )


def _no_gold(found: StageFindings) -> tuple[Diagnostic, ...]:
    """The warning that over-optimisation cannot be seen, of a stage whose rewards are of proxies alone."""
    try:
        table: RewardTable = found.rewards
    except InputError:
        return ()
    return tuple(warning for warning in table.warnings() if warning.code == "no-gold")


def render(page: StagePage) -> str:
    """The page as one HTML document; everything is escaped but the figures' SVG, the style sheet and the script."""
    return rendered("stages.html.j2", page)
