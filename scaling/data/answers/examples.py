"""Examples to fine-tune on."""

from pathlib import Path

import numpy as np

from scaling.data.answers.built import is_built, read_examples
from scaling.data.answers.formats.messages import Answered, RowParser, opening
from scaling.data.answers.loading import load_rows
from scaling.data.answers.rows import Example, ExampleSet
from scaling.data.answers.sentences import sentence_examples
from scaling.data.answers.spec import AnswersSpec
from scaling.data.answers.splits import TOO_LONG, Gathered, is_held_out
from scaling.data.answers.templates import Template
from scaling.data.tokenizer import Tokenizer


def load_examples(
    spec: AnswersSpec, tokenizer: Tokenizer, seq_len: int, tokenizer_folder: Path | None = None
) -> ExampleSet:
    """Reads examples, splits them by the hash of their prompts and puts them in an order by hash.

    Args:
        spec: where they come from.
        tokenizer: of the model.
        seq_len: of the model; longer examples are left out and counted, or with ``truncate`` cut at their end.
        tokenizer_folder: where the tokenizer is from, whose chat template messages are written by.

    Raises:
        InputError: a line for each row that is wrong; nothing is left; no template, or not one.
    """
    if spec.name is not None:
        return sentence_examples(tokenizer, seq_len)
    if is_built(spec):
        return read_examples(spec, tokenizer, seq_len)
    return text_examples(spec, tokenizer, seq_len, tokenizer_folder)[0]


def text_examples(
    spec: AnswersSpec, tokenizer: Tokenizer, seq_len: int | None, tokenizer_folder: Path | None
) -> tuple[ExampleSet, Template]:
    """As ``load_examples``, of rows of text; with the template."""
    gathered = Gathered[Example](spec.where, seq_len)

    def use(template: Template, row: Answered) -> None:
        example = template.answered(row.prompt, row.answer)
        if spec.truncate and seq_len is not None and len(example.ids) > seq_len:
            example = Example(example.ids[:seq_len], example.counted[:seq_len])
            if not example.counted.any():
                gathered.drop(TOO_LONG)
                return
        if gathered.fits(len(example.ids), int(np.argmax(example.counted))):
            gathered.add(example, is_held_out(opening(row.prompt), spec.held_out))

    template = load_rows(
        spec, "examples", tokenizer, tokenizer_folder, RowParser.example, lambda row: row.prompt, use, gathered.drop
    )
    kept = gathered.closed()
    return ExampleSet(kept.train, kept.held_out, kept.dropped, kept.sha256, tokenizer, template.end), template
