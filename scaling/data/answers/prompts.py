"""Prompts to be answered by a policy."""

from pathlib import Path

from scaling.data.answers.built import is_built, read_prompts
from scaling.data.answers.formats.messages import Prompt, RowParser, opening
from scaling.data.answers.loading import load_rows
from scaling.data.answers.rows import Ids, PromptSet
from scaling.data.answers.sentences import sentence_prompts
from scaling.data.answers.spec import AnswersSpec
from scaling.data.answers.splits import Gathered, is_held_out
from scaling.data.answers.templates import Template
from scaling.data.tokenizer import Tokenizer


def load_prompts(
    spec: AnswersSpec, tokenizer: Tokenizer, seq_len: int, tokenizer_folder: Path | None = None
) -> PromptSet:
    """Reads the prompts of prompts, examples or pairs, each once; splits and orders them as examples are.

    Args:
        spec: where they come from.
        tokenizer: of the model.
        seq_len: of the model; prompts that leave no room for an answer are left out and counted.
        tokenizer_folder: where the tokenizer is from, whose chat template messages are written by.

    Raises:
        InputError: a line for each row that is wrong; nothing is left; no template, or not one.
    """
    if spec.name is not None:
        return sentence_prompts(tokenizer, seq_len)
    if is_built(spec):
        return read_prompts(spec, tokenizer, seq_len)
    gathered = Gathered[Ids](spec.where, seq_len)

    def use(template: Template, prompt: Prompt) -> None:
        ids = template.prompt(prompt)
        if gathered.fits(len(ids) + 1, len(ids)):
            gathered.add(ids, is_held_out(opening(prompt), spec.held_out))

    template = load_rows(
        spec, "prompts", tokenizer, tokenizer_folder, RowParser.prompt, lambda prompt: prompt, use, gathered.drop
    )
    kept = gathered.closed()
    return PromptSet(kept.train, kept.held_out, kept.dropped, kept.sha256, tokenizer, template.end)
