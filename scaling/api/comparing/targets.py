"""The targets of a comparison: the one that is requested, or each contender's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.comparing.compare import CompareRequest
from analysis.comparing.comparison import Point
from analysis.comparing.contenders import Contender
from analysis.forecasting.forecast import refuse_known
from scaling.api.targets import leaves_out_embeddings, target_of
from scaling.errors import InputError
from scaling.sweep.folder.file_names import PLAN
from scaling.sweep.folder.sweep_folder import SweepFolder


@dataclass(frozen=True)
class Requested:
    """What is requested of a comparison.

    Attributes:
        params: of the target, counted as in the tables; or
        model: a published Llama; with neither, and no ``tokens``, each contender's own target is compared.
        tokens: the target's training tokens.
        flops: its training FLOPs; by default what each contender's runs nearest in size need.
        interval: the probability that an interval shall hold.
        seeds: runs of each contender at the target; by default those of the contenders' own targets, or 1.
        bootstrap: resamples.
    """

    params: float | None = None
    model: str | None = None
    tokens: float | None = None
    flops: float | None = None
    interval: float = 0.9
    seeds: int | None = None
    bootstrap: int = 200

    def of(self, contenders: Sequence[Contender]) -> CompareRequest:
        """The request about some contenders.

        Raises:
            InputError: no target, half a target, or an impossible value.
        """
        if self.params is None and self.model is None and self.tokens is None:
            return self._own(contenders)
        sizes = {
            each.name: target_of(self.params, self.model, self.tokens, leaves_out_embeddings(each.table))
            for each in contenders
        }
        params, tokens = next(iter(sizes.values()))
        made = CompareRequest(params, tokens, self.flops, None, self.interval, self.seeds or 1, self.bootstrap)
        if len(set(sizes.values())) == 1:
            return made
        # Tables that count embeddings and tables that do not: the same model has a size in each.
        targets = {each.name: CompareRequest(*sizes[each.name], flops=self.flops).point(each) for each in contenders}
        return CompareRequest(None, None, None, targets, made.level, made.seeds, made.bootstrap)

    def _own(self, contenders: Sequence[Contender]) -> CompareRequest:
        if self.flops is not None:
            raise InputError("`flops`: is of a target that `params` and `tokens` give")
        found = {each.name: _own_target(each) for each in contenders}
        if None in found.values():
            missing = [name for name, own in found.items() if own is None]
            raise InputError(
                f"give `params` (or `model`) and `tokens` of the target: {', '.join(missing)} "
                f"{'has' if len(missing) == 1 else 'have'} none of {'its' if len(missing) == 1 else 'their'} own"
            )
        own = {name: each for name, each in found.items() if each is not None}
        seeds = self.seeds or min(runs for _, runs in own.values())
        targets = {name: point for name, (point, _) in own.items()}
        return CompareRequest(None, None, None, targets, self.interval, seeds, self.bootstrap)


def _own_target(contender: Contender) -> tuple[Point, int] | None:
    """The target that a contender's table or plan has, and its number of runs; None without exactly one."""
    rows = contender.table.targets
    cells = rows[["params", "tokens"]].drop_duplicates()
    if len(cells) == 1:
        first = rows.iloc[0]
        return Point(float(first["params"]), float(first["tokens"]), float(rows["flops"].mean())), len(rows)
    place = Path(contender.table.source)
    folder = place if place.is_dir() else place.parent
    if len(cells) or contender.part is not None or not (folder / PLAN).is_file():
        return None
    store = SweepFolder(folder)
    configs = [store.run(run_id).pretraining() for run_id in store.runs("target")]
    points = {Point(float(each.params), float(each.tokens), float(each.flops)) for each in configs}
    return (points.pop(), len(configs)) if len(points) == 1 else None


def refuse_known_targets(contenders: Sequence[Contender], request: CompareRequest) -> None:
    """Refuses a target that is among fitted runs, as a comparison to be frozen must.

    Raises:
        InputError: one line per contender whose runs have it.
    """
    errors: list[str] = []
    for each in contenders:
        point = request.point(each)
        try:
            refuse_known(each.table, point.params, point.tokens)
        except InputError as error:
            errors += [f"{each.name}: {line}" for line in error.errors]
    if errors:
        raise InputError(errors)
