"""Rejection sampling from the command line: the best answers to the prompts of a file, as rows to fine-tune on."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.result import Result
from scaling.api.answers.samples import scorer_for
from scaling.data.answers.formats.messages import Message, Prompt, RowParser
from scaling.data.answers.formats.reading import read_rows
from scaling.data.answers.rows import Ids
from scaling.data.answers.spec import AnswersSpec
from scaling.data.answers.templates import LeftOut, Template
from scaling.data.corpus import own_files
from scaling.errors import InputError
from scaling.files import write_text
from scaling.hf.trained import Trained, open_trained
from scaling.posttrain import sampling
from scaling.posttrain.best_of_n import best_rows
from scaling.posttrain.measure import seed_of
from scaling.posttrain.training.logprob import policy_parameters

_ANSWERS = 1024  # sampled and scored together
_MOST_ERRORS = 10


@dataclass(frozen=True, eq=False)
class BestAnswers(Result):
    """The best of several answers to each of many prompts.

    Attributes:
        run: who answers.
        best_of: answers to a prompt.
        output: the file that was written.
        written: rows in it.
        unfinished: prompts none of whose answers has ended; they have no row.
        dropped: prompts that were left out, by reason.
        mean_reward: of all finished answers; None without any.
        chosen_reward: of those written.
    """

    run: str
    best_of: int
    output: str
    written: int
    unfinished: int
    dropped: dict[str, int]
    mean_reward: float | None
    chosen_reward: float | None
    warnings: tuple[Diagnostic, ...] = field(default=())

    def __str__(self) -> str:
        lines = [f"wrote    {self.written} answers, each the best of {self.best_of}, to {self.output}"]
        if self.chosen_reward is not None and self.mean_reward is not None:
            lines.append(f"reward   {self.chosen_reward:.3f}; of all finished answers {self.mean_reward:.3f}")
        left = {"no answer has ended": self.unfinished, **self.dropped}
        lines += [f"left out {count} prompts: {reason}" for reason, count in left.items() if count]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling sample --prompts``."""
        content = {name: value for name, value in vars(self).items() if name != "warnings"}
        return {**content, "warnings": [warning.to_dict() for warning in self.warnings]}

    def to_frame(self) -> pd.DataFrame:
        """One row of the numbers."""
        return pd.DataFrame([{name: value for name, value in self.to_dict().items() if np.isscalar(value)}])


def write_best(
    run: str | Path,
    prompts: str | Path,
    output: str | Path,
    *,
    reward: str | Path,
    best_of: int = 16,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_tokens: int | None = None,
    seed: int = 0,
    template: str | None = None,
) -> BestAnswers:
    """Answers every prompt of a file several times, and writes the best finished answer of each as JSON lines.

    A row has ``prompt`` and ``completion``, or ``messages``, as ``data: {path: ...}`` of the stage sft reads them.

    Args:
        run, reward, temperature, top_p, seed, template: as for :func:`scaling.sample`.
        prompts: a file of rows with ``prompt`` or ``messages``, or of examples or preferences, whose prompts are taken.
        output: the file to write.
        best_of: answers to a prompt.
        max_tokens: of an answer; by default what the context has room for.

    Raises:
        InputError: one line per error, with row and column of those of the file.
    """
    _check_output(Path(output), str(prompts))
    trained = _writing(run)
    scorer = scorer_for(trained, open_trained(Path(reward)))
    rows = _prompts(str(prompts))
    writer = trained.writes(not isinstance(rows[0], str), template)
    context = trained.model.config.seq_len
    asked, dropped = _rendered(rows, writer, context)
    if not asked:
        raise InputError(f"{prompts}: no prompt leaves room for an answer: {json.dumps(dropped)}")
    parameters, longest = policy_parameters(trained.model), context if max_tokens is None else max_tokens
    lines, chosen, finished, together = [], [], [], max(1, _ANSWERS // best_of)
    for first in range(0, len(asked), together):
        own = asked[first : first + together]
        answers = sampling.sample(
            trained.model.config,
            parameters,
            [ids for _, ids in own for _ in range(best_of)],
            seed_of(seed, first),
            most=min(longest, context - min(len(ids) for _, ids in own)),
            end=writer.end,
            temperature=temperature,
            top_p=top_p,
        )
        scores = scorer.score(answers.tokens, answers.lengths)
        finished += scores[answers.stopped].tolist()
        # An answer that was cut off is no example: it would teach to end where it was cut.
        for row in best_rows(answers, np.where(answers.stopped, scores, -np.inf)):
            if answers.stopped[row]:
                chosen.append(float(scores[row]))
                lines.append(_row(own[row // best_of][0], trained.tokenizer.decode(answers.answer(row))))
    _write(Path(output), lines)
    counts = (len(lines), len(asked) - len(lines))
    return BestAnswers(str(run), best_of, str(output), *counts, dropped, _mean(finished), _mean(chosen))


def _write(output: Path, lines: Sequence[str]) -> None:
    """Writes the rows, whole or not at all."""
    try:
        write_text(output, "".join(f"{line}\n" for line in lines))
    except OSError as error:
        raise InputError(f"`output` {output}: cannot be written: {error.strerror or error}") from None


def _check_output(output: Path, prompts: str) -> None:
    """Refuses a file that holds the prompts themselves, or that has no folder, before anything is sampled.

    Raises:
        InputError: as said.
    """
    if output.exists() and any(output.samefile(file) for _, file in own_files(prompts)[1]):
        raise InputError(f"`output` {output}: holds the prompts; choose another file")
    if not output.parent.is_dir():
        raise InputError(f"`output` {output}: there is no folder {output.parent}")


def _writing(run: str | Path) -> Trained:
    """A model that writes answers."""
    trained = open_trained(Path(run))
    if trained.scores:
        raise InputError(f"{run}: is a reward model; it scores answers and writes none")
    return trained


def _mean(rewards: list[float]) -> float | None:
    return float(np.mean(rewards)) if rewards else None


def _prompts(file: str) -> list[Prompt]:
    """The prompts of a file, each once."""
    spec = AnswersSpec(path=file)
    parser, found, wrong = RowParser(spec, "prompts"), dict[Prompt | str, Prompt](), list[str]()
    for row in read_rows(spec):
        try:
            if isinstance(row.values, str):
                raise ValueError(row.values)
            prompt = parser.prompt(row.values)
            found.setdefault(json.dumps(prompt), prompt)
        except ValueError as error:
            wrong.append(f"{row.where}: {error}")
    if wrong:
        raise InputError(wrong[:_MOST_ERRORS])
    if not found:
        raise InputError(f"{file}: no row of prompts")
    return list(found.values())


def _rendered(
    prompts: list[Prompt], template: Template, context: int
) -> tuple[list[tuple[Prompt, Ids]], dict[str, int]]:
    """The prompts with their ids, and how many were left out, by reason."""
    kept, dropped = [], dict[str, int]()
    for prompt in prompts:
        try:
            ids = template.prompt(prompt)
        except LeftOut as error:
            dropped[str(error)] = dropped.get(str(error), 0) + 1
            continue
        if 0 < len(ids) < context:
            kept.append((prompt, ids))
        else:
            reason = "too long" if len(ids) else "empty"
            dropped[reason] = dropped.get(reason, 0) + 1
    return kept, dropped


def _row(prompt: Prompt, answer: str) -> str:
    if isinstance(prompt, str):
        return json.dumps({"prompt": prompt, "completion": answer}, ensure_ascii=False)
    messages = [*prompt, Message(role="assistant", content=answer)]
    return json.dumps({"messages": messages}, ensure_ascii=False)
