"""A published Llama's parameters, counted as a table or a paper counts its own."""

import re
from typing import TYPE_CHECKING

from scaling.errors import InputError

if TYPE_CHECKING:
    from analysis.runs.table import RunTable


def params_of(model: str, nonembedding: bool) -> float:
    """Its parameters: all of them, or those that are not embeddings (2001.08361).

    Raises:
        InputError: with the closest name, if there is no such model.
    """
    from scaling.llama.counts import count_params
    from scaling.llama.zoo import find

    counts = count_params(find(model).config)
    return float(counts.nonembedding if nonembedding else counts.total)


def leaves_out_embeddings(table: "RunTable") -> bool:
    """Whether a table's ``params`` are told to be without embeddings: by the column taken for them, or its values."""
    own, rows = (table.columns or {}).get("params", ""), table.fit
    told = "params_nonembedding" in rows and rows["params"].equals(rows["params_nonembedding"])
    return told or re.search("non.?emb", own.lower()) is not None


def one_of(params: float | None, model: str | None, nonembedding: bool) -> float | None:
    """The parameters that ``--params`` or ``--model`` fixes; None where neither is given.

    Raises:
        InputError: if both are.
    """
    if model is None:
        return params
    if params is not None:
        raise InputError("--params: --model tells them already; leave out one of the two")
    return params_of(model, nonembedding)
