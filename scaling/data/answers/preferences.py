"""Pairs of answers, one of them preferred."""

from pathlib import Path

from scaling.data.answers.built import is_built, read_pairs
from scaling.data.answers.formats.messages import Compared, RowParser, opening
from scaling.data.answers.loading import load_rows
from scaling.data.answers.rows import Pair, PairSet
from scaling.data.answers.spec import AnswersSpec
from scaling.data.answers.splits import Gathered, is_held_out
from scaling.data.answers.templates import Template
from scaling.data.tokenizer import Tokenizer
from scaling.errors import InputError


def load_pairs(spec: AnswersSpec, tokenizer: Tokenizer, seq_len: int, tokenizer_folder: Path | None = None) -> PairSet:
    """Reads pairs, splits them by the hash of their prompts and puts them in an order by hash.

    Args:
        spec: where they come from.
        tokenizer: of the model.
        seq_len: of the model; pairs with a longer answer are left out and counted.
        tokenizer_folder: where the tokenizer is from, whose chat template messages are written by.

    Raises:
        InputError: a line for each row that is wrong; nothing is left; no template, or not one.
    """
    if spec.name is not None:
        raise InputError(
            f"{spec.name}: has no preferences: a policy writes the answers, and a gold reward compares them"
        )
    if is_built(spec):
        return read_pairs(spec, tokenizer, seq_len)
    return text_pairs(spec, tokenizer, seq_len, tokenizer_folder)[0]


def text_pairs(
    spec: AnswersSpec, tokenizer: Tokenizer, seq_len: int | None, tokenizer_folder: Path | None
) -> tuple[PairSet, Template]:
    """As ``load_pairs``, of rows of text; with the template."""
    if spec.truncate:
        raise InputError(f"{spec.where}: `truncate` does not apply to pairs, as an answer without its end is another")
    gathered = Gathered[Pair](spec.where, seq_len)

    def use(template: Template, row: Compared) -> None:
        prompt = template.prompt(row.prompt)
        chosen, rejected = (template.answered(row.prompt, answer).ids for answer in (row.chosen, row.rejected))
        pair = Pair(prompt, chosen[len(prompt) :], rejected[len(prompt) :], row.rating, row.safety)
        if gathered.fits(max(len(chosen), len(rejected)), len(prompt)):
            gathered.add(pair, is_held_out(opening(row.prompt), spec.held_out))

    template = load_rows(
        spec, "preferences", tokenizer, tokenizer_folder, RowParser.pair, lambda row: row.prompt, use, gathered.drop
    )
    kept = gathered.closed()
    return PairSet(kept.train, kept.held_out, kept.dropped, kept.sha256, tokenizer, template.end), template
