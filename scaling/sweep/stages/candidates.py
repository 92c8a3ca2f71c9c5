"""The models that a stage may begin from or use: those that a chain plans, and those that are there already."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scaling.errors import InputError
from scaling.posttrain.config import Source, StageConfig
from scaling.sweep.folder.file_names import PLAN
from scaling.sweep.folder.sweep_folder import RUNS, SweepFolder
from scaling.sweep.plan.configs import AnyConfig, Planned
from scaling.sweep.stages.data import tokenizer_place
from scaling.sweep.stages.sources import MODEL, run_at, source_at
from scaling.train.recipe import Rates


@dataclass(frozen=True)
class Candidate:
    """A model that a run may begin from or use.

    Attributes:
        source: where it is.
        rates: peak rates of the pre-training that it goes back to; None if nobody knows them.
        amount: tokens, examples or pairs that it was trained on, by which the best of a size is chosen.
        seed: of its run.
        role: of its run.
        pairs: that a reward model was trained on; None for others.
        place: folder of built data or of an imported model, with its tokenizer; None for bytes.
    """

    source: Source
    rates: Rates | None
    amount: float
    seed: int
    role: Literal["fit", "target"]
    pairs: int | None
    place: str | None


def of_planned(stage: str, run: Planned, rates: Rates | None, place: str | None) -> Candidate:
    """The model that a planned run of a chain's stage will be."""
    config = run.config
    source = Source(f"{stage}/{RUNS}/{config.id}", config.id, config.model)
    role: Literal["fit", "target"] = "target" if run.role == "target" else "fit"
    return Candidate(source, rates, _amount(config), config.seed, role, _pairs(config), place)


def candidates_at(place: Path) -> list[Candidate]:
    """The models of a folder: an imported model, a run, or the finished runs of a sweep or a stage.

    Raises:
        InputError: it is none of these.
    """
    if (place / PLAN).is_file():
        found = [_of_run(folder, role) for role in ("fit", "target") for folder in _done(place, role)]
        if not found:
            raise InputError(f"{place}: no run of this sweep is done")
        return found
    return [_of_run(place, "fit")]


def chosen(found: Sequence[Candidate], seed: int, pairs: int | None = None) -> Candidate:
    """The model that a run takes: of so many pairs, or else trained on the most; of its own seed if there is one.

    Raises:
        InputError: there are several sizes, or none of so many pairs.
    """
    if pairs is not None:
        known = sorted({candidate.pairs for candidate in found if candidate.pairs is not None})
        found = [candidate for candidate in found if candidate.pairs == pairs]
        if not found:
            raise InputError(
                f"no reward model of {pairs} pairs; there are some of {', '.join(map(str, known)) or 'none'}"
            )
    if len({candidate.source.model for candidate in found}) > 1:
        raise InputError("what it leads to has models of several sizes; name one")
    most = max(candidate.amount for candidate in found)
    best = sorted((candidate for candidate in found if candidate.amount == most), key=lambda each: each.seed)
    return next((candidate for candidate in best if candidate.seed == seed), best[0])


def _done(place: Path, role: str) -> list[Path]:
    sweep = SweepFolder(place)
    folders = [sweep.run(run_id) for run_id in sweep.runs(role)]
    return [folder.path for folder in folders if folder.status()["state"] == "done"]


def _of_run(place: Path, role: Literal["fit", "target"]) -> Candidate:
    source, rates = source_at(place)
    if (place / MODEL).is_file():
        return Candidate(source, rates, 0.0, 0, role, None, str(place))
    config = run_at(place).config()
    if isinstance(config, StageConfig):
        kept = config.data["tokenizer"]["place"]
        return Candidate(source, _first_rates(place, config), _amount(config), config.seed, role, _pairs(config), kept)
    return Candidate(
        source, rates, _amount(config), config.seed, role, None, tokenizer_place(config.data.corpus["path"])
    )


def _first_rates(place: Path, config: StageConfig) -> Rates | None:
    """The rates of the pre-training that a stage's run goes back to."""
    start = config.sources.get("start")
    if start is None:
        return None
    before = place.parents[2] / start.folder
    if (before / MODEL).is_file():
        return None
    earlier = run_at(before).config()
    return _first_rates(before, earlier) if isinstance(earlier, StageConfig) else earlier.adamw_rates


def _amount(config: AnyConfig) -> float:
    if not isinstance(config, StageConfig):
        return float(config.tokens)
    return float(config.steps * config.recipe.batch)


def _pairs(config: AnyConfig) -> int | None:
    return config.settings.get("pairs") if isinstance(config, StageConfig) and config.stage == "reward" else None
