"""A forecast's target: a published Llama's parameters, counted as a table or a paper counts its own."""

import re

from analysis.runs.table import RunTable
from scaling.errors import InputError
from scaling.llama.counts import count_params
from scaling.llama.zoo import find


def params_of(model: str, nonembedding: bool) -> float:
    """A published Llama's parameters: all of them, or those that are not embeddings (2001.08361).

    Raises:
        InputError: with the closest name, if there is no such model.
    """
    counts = count_params(find(model).config)
    return float(counts.nonembedding if nonembedding else counts.total)


def leaves_out_embeddings(table: RunTable) -> bool:
    """Whether a table's ``params`` leave out embeddings: by the name of the column they were read from, or by value."""
    rows = table.fit
    equal = "params_nonembedding" in rows and rows["params"].equals(rows["params_nonembedding"])
    return equal or names_no_embeddings((table.columns or {}).get("params", ""))


def names_no_embeddings(column: str) -> bool:
    """Whether a column's name says that its parameters leave out embeddings."""
    return re.search("non.?emb", column.lower()) is not None


def one_of(params: float | None, model: str | None, nonembedding: bool) -> float | None:
    """The parameters that either argument fixes; None where neither is given.

    Raises:
        InputError: if both are.
    """
    if model is None:
        return params
    if params is not None:
        raise InputError("`params`: `model` gives them already; leave out one of the two")
    return params_of(model, nonembedding)


def target_of(params: float | None, model: str | None, tokens: float | None, nonembedding: bool) -> tuple[float, float]:
    """Parameters and tokens of a forecast's target.

    Raises:
        InputError: without tokens, or without exactly one of the parameters and the model.
    """
    if (model is None) == (params is None):
        raise InputError("give exactly one of `model` and `params`")
    if tokens is None:
        raise InputError("give `tokens`, the length of the target's training")
    found = one_of(params, model, nonembedding)
    assert found is not None
    return found, tokens


def vocabulary_of(model: str | None) -> int | None:
    """A published Llama's number of tokens; None without one."""
    return None if model is None else find(model).config.vocab
