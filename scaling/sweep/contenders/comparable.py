"""Whether planned contenders compare: on which loss, on one text, and by runs that see the same data."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scaling.errors import InputError
from scaling.sweep.contenders.contenders_file import Contenders
from scaling.sweep.plan.evaluation import load_sweep_text
from scaling.sweep.plan.expand import PlannedRun
from scaling.train.config import RunConfig

Plans = Mapping[str, Sequence[PlannedRun]]


def loss_column(contenders: Contenders, plans: Plans) -> str:
    """The column of the tables of runs that contenders are compared by.

    Bits per byte where their tokenizers differ, as a loss per token then means something else for each.
    """
    tokenizers = {_first(runs).data.tokenizer["hash"] for runs in plans.values()}
    column = "loss" if len(tokenizers) == 1 else "bits_per_byte"
    return column if contenders.compare_on is None else f"{column}_{contenders.compare_on}"


def check_comparable(contenders: Contenders, plans: Plans) -> None:
    """Refuses contenders that come to the same runs, or whose losses are measured on different texts.

    Raises:
        InputError: one line for each, with its location.
    """
    violations = [*_same_runs(contenders, plans), *_other_texts(contenders, plans)]
    if violations:
        raise InputError(violations)


def order_warnings(plans: Plans) -> Iterator[str]:
    """A warning for each contender of which runs do not begin and go on like the first one's of the same corpus."""
    first: dict[tuple[str, str], str] = {}
    for name, runs in plans.items():
        data = _first(runs).data
        other = first.setdefault((data.fingerprint["sha256"], data.tokenizer["hash"]), name)
        streams = {run.config.stream for run in plans[other]}
        alone = [run for run in runs if run.config.stream not in streams]
        if alone:
            yield (
                f"{len(alone)} of {len(runs)} runs of {name} begin at other weights and see the text in another order "
                f"than those of {other}, as {_reason(plans[other], runs)}: these are not paired, and their differences "
                "are noisier"
            )


def _reason(first: Sequence[PlannedRun], second: Sequence[PlannedRun]) -> str:
    """What keeps the runs of two contenders of one corpus from being paired."""
    for what, values in (
        ("models", lambda config: config.model),
        ("seeds", lambda config: config.seed),
        ("batches", lambda config: config.batch),
        ("tokens", lambda config: config.tokens),
    ):
        if {values(run.config) for run in first} != {values(run.config) for run in second}:
            return f"their {what} differ"
    return "their combinations of models, tokens and seeds differ"


def _same_runs(contenders: Contenders, plans: Plans) -> Iterator[str]:
    known: dict[frozenset[str], str] = {}
    for name, runs in plans.items():
        other = known.setdefault(frozenset(run.id for run in runs), name)
        if other != name:
            yield (
                f"{contenders.where_of(name)}: contenders.{name}: comes to the same runs as {other}; "
                "contenders differ in something that changes a run, its seeds for example"
            )


def _other_texts(contenders: Contenders, plans: Plans) -> Iterator[str]:
    """A line for each contender whose loss is on another text than that of the first one."""
    on = contenders.compare_on
    measured = {name: _measured(_first(runs), on) for name, runs in plans.items()}
    first, *others = plans
    if all(measured[name] == measured[first] for name in others):
        return
    if on is not None:
        for name in others:
            if measured[name] != measured[first]:
                where = contenders.where_of(name, "evaluate", on)
                yield f"{where}: contenders.{name}.evaluate.{on}: is another text than that of {first}"
        return
    hashes = {name: _held_out(contenders, name, runs) for name, runs in plans.items()}
    for name in others:
        if hashes[name] != hashes[first]:
            yield (
                f"{contenders.where_of(name, 'corpus')}: contenders.{name}: its loss is on another held-out text than "
                f"that of {first}; measure all on one: evaluate: {{NAME: CORPUS}} and compare_on: NAME"
            )


def _measured(config: RunConfig, on: str | None) -> tuple[Any, ...]:
    """What a loss is measured on, so far as the config says it: equal ones are of the same text."""
    if on is not None:
        return (config.data.evaluation_sets[on].fingerprint,)
    return config.data.fingerprint, config.data.eval_tokens, config.model.seq_len


def _held_out(contenders: Contenders, name: str, runs: Sequence[PlannedRun]) -> str:
    """The hash of a contender's held-out text, which corpora with other training text may share."""
    config = _first(runs)
    text = load_sweep_text(contenders.contenders[name]).held_out_text
    return text.sha256(config.model.seq_len, config.data.eval_tokens)


def _first(runs: Sequence[PlannedRun]) -> RunConfig:
    """The config of a contender's first run: data and context are the same for all of them."""
    return runs[0].config
