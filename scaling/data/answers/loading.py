"""Rows of files through their format and a template, with all that is wrong with them."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from scaling.data.answers.formats.messages import NoColumns, Prompt, RowParser, Wanted
from scaling.data.answers.formats.reading import read_rows
from scaling.data.answers.spec import AnswersSpec
from scaling.data.answers.template_files import find_template
from scaling.data.answers.templates import LeftOut, Template
from scaling.data.tokenizer import Tokenizer
from scaling.errors import InputError

_MOST, _REASONS = 10, 3  # lines of errors; reasons why no row is left
Parsed = TypeVar("Parsed")


def load_rows(
    spec: AnswersSpec,
    wanted: Wanted,
    tokenizer: Tokenizer,
    beside: Path | None,
    parse: Callable[[RowParser, Mapping[str, Any]], Parsed],
    prompt_of: Callable[[Parsed], Prompt],
    use: Callable[[Template, Parsed], None],
    drop: Callable[[str], None],
) -> Template:
    """Reads all rows, and gives each that is sound to ``use`` with the template, which the first of them decides.

    Args:
        spec: of the rows.
        wanted: what they are to be.
        tokenizer: of the model.
        beside: the folder that the tokenizer is from.
        parse: makes something of a row's columns; raises ValueError, with why, for what is wrong.
        prompt_of: of what ``parse`` has made.
        use: raises ValueError likewise, or LeftOut.
        drop: takes the reason of a row that is left out.

    Returns:
        The template.

    Raises:
        InputError: a line for each row that is wrong, unless they are to be skipped; or no row at all.
    """
    parser, wrong, skipped = RowParser(spec, wanted), list[str](), Counter[str]()
    template: Template | None = None
    for row in read_rows(spec):
        try:
            if isinstance(row.values, str):
                raise ValueError(row.values)
            parsed = parse(parser, row.values)
            if template is None:
                template = find_template(spec.template, tokenizer, beside, isinstance(prompt_of(parsed), str))
            use(template, parsed)
        except LeftOut as reason:
            drop(str(reason))
        except InputError:  # of the template, not of the row
            raise
        except ValueError as error:
            if isinstance(error, NoColumns) and template is None and spec.on_error == "stop":
                raise InputError(
                    f"{row.where}: {' '.join(str(error).split())}"
                ) from None  # as the rows behind it would say
            if spec.on_error == "skip":
                skipped[_reason(str(error))] += 1
                drop(_reason(str(error)))
            else:
                wrong.append(f"{row.where}: {' '.join(str(error).split())}")
    if wrong:
        more = len(wrong) - _MOST
        rest = [f"{spec.where}: and {more} more rows; `on_error` skip leaves them out"] if more > 0 else []
        raise InputError(wrong[:_MOST] + rest)
    if template is None:
        left_out = ", ".join(f"{count} {reason}" for reason, count in skipped.most_common(_REASONS))
        raise InputError(f"{spec.where}: no row of {wanted}{left_out and f'; left out: {left_out}'}")
    return template


def _reason(message: str) -> str:
    """Why rows are left out: without what differs between them."""
    return re.sub(r"\[\d+\]", "", re.split(";|(?<=not JSON):", message)[0])
