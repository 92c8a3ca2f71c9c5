"""What a table's loss is measured in, by the name of the column it is taken from."""

import re
from collections.abc import Mapping

from analysis.runs.recognition.spelling import normalised
from analysis.runs.schema import NATS

_PER = {
    "b": "byte",
    "c": "character",
    "t": "token",
    "w": "word",
    "char": "character",
    "chars": "character",
    "characters": "character",
    "bytes": "byte",
    "tokens": "token",
    "words": "word",
}
_PIECE = r"(byte|char|character|token|word)s?"
_BITS = re.compile(rf"\bbits?(?: per)? {_PIECE}\b|\bbp([bctw])\b")
_PERPLEXITY = re.compile(
    rf"\b(?<!log )(?<!log2 )(?<!log10 )(?<!ln )(?:{_PIECE} )?(?:perplexity|perplexities|ppl|pplx)\b"
)
_LOGARITHM = re.compile(r"\blog(2|10) ?(?:perplexity|ppl|pplx)\b")
_OTHER = re.compile(rf"\bper {_PIECE}\b|\bnats? {_PIECE}\b")
_HELD_OUT = frozenset(["eval", "evaluation", "val", "valid", "validation", "test", "dev", "heldout"])
_OTHER_LOSSES = frozenset(
    ["best", "min", "lowest", "max", "initial", "init", "first", "std", "stderr", "lo95", "hi95", "aux", "z", "ema"]
)
_NO_LOSS = re.compile(r"\b(?:accuracy|acc|error rate|exact match|f1|bleu|reward|score)\b")


def loss_unit(columns: Mapping[str, str] | None) -> str:
    """Unit of a table's loss: nats per token unless the name of the column it is taken from says otherwise.

    Args:
        columns: the user's mapping from the schema's names to the file's.
    """
    own = (columns or {}).get("loss", "")
    words = normalised(own).replace("_", " ")
    if found := _PERPLEXITY.search(words):
        return f"nats per {found[1] or 'token'}"
    if found := _LOGARITHM.search(words):
        return "bits per token" if found[1] == "2" else "decimal digits per token"
    if found := _BITS.search(words):
        piece = found[1] or found[2]
        return f"bits per {_PER.get(piece, piece)}"
    if found := _OTHER.search(words):
        piece = found[1] or found[2]
        return f"nats per {_PER.get(piece, piece)}"
    if re.search(r"\bbits?\b", words):
        return "bits per token"
    return own if _NO_LOSS.search(words) else NATS


def is_perplexity(name: str) -> bool:
    """Whether a column's name says that it holds perplexities, whose logarithm is the loss."""
    return _PERPLEXITY.search(normalised(name).replace("_", " ")) is not None


def holds_losses(name: str) -> bool:
    """Whether a column's name, of any kind, says that a loss could be taken from it."""
    words = normalised(name).replace("_", " ")
    return bool(re.search(r"loss|\bnll\b|\bxent\b|entropy|ppl\b|perplexity", words)) or any(
        pattern.search(words) for pattern in (_PERPLEXITY, _BITS, _OTHER)
    )


def is_held_out(name: str) -> bool:
    """Whether a column's name says that it holds a loss of held-out data, and of one at the end of the run."""
    words = set(normalised(name).split("_"))
    return bool(words & _HELD_OUT) and bool(words & {"loss", "nll", "xent", "ce"}) and not words & _OTHER_LOSSES
