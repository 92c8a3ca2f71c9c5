"""Ranks of tiktoken: files of tokens in base 64, which name neither special tokens nor how text is split first."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from scaling.errors import InputError

# How GPT-2, cl100k and o200k split text: tiktoken_ext/openai_public.py. Llama 3 splits as cl100k, Llama 4 as o200k
# (llama-models, models/llama3/tokenizer.py and models/llama4/tokenizer.py); Qwen as cl100k, but for single digits
# (Qwen, tokenization_qwen.py).
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = CL100K.replace(r"\p{N}{1,3}", r"\p{N}")
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+{_CONTRACTION}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*{_CONTRACTION}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
END = "<|endoftext|>"
_RESERVED = 256
"""Ids that special tokens may have behind ranks that are not known; Llama 3 has as many."""
_LINE = re.compile(rb"(?:[A-Za-z0-9+/]+={0,2}|=) \d+")


@dataclass(frozen=True)
class Family:
    """What a file of ranks does not say.

    Attributes:
        pattern: the regular expression that splits text.
        end: the token that closes a document.
        special: id of every special token that is needed here, ``end`` among them.
        vocab: number of ids, reserved ones included.
    """

    pattern: str
    end: str
    special: Mapping[str, int] = field(default_factory=dict)
    vocab: int = 0


def _llama(ranks: int, reserved: int, pattern: str) -> Family:
    names = ("<|begin_of_text|>", "<|end_of_text|>")
    return Family(pattern, names[1], {name: ranks + at for at, name in enumerate(names)}, ranks + reserved)


# By the number of ranks and the highest of them.
_FAMILIES = {
    (50256, 50255): Family(GPT2, END, {END: 50256}, 50257),
    (50280, 50280): Family(GPT2, END, {END: 50256}, 50281),
    (100256, 100255): Family(CL100K, END, {END: 100257, "<|endofprompt|>": 100276}, 100277),
    (199998, 199997): Family(O200K, END, {END: 199999, "<|endofprompt|>": 200018}, 200019),
    (151643, 151642): Family(QWEN, END, {END: 151643, "<|im_start|>": 151644, "<|im_end|>": 151645}, 151851),
    (128000, 127999): _llama(128000, 256, CL100K),
    (200000, 199999): _llama(200000, 2048, O200K),
}


def are_ranks(content: bytes) -> bool:
    """Whether a file's content is tiktoken's ranks, by its first line."""
    return _LINE.fullmatch(content[:1000].split(b"\n", 1)[0].strip()) is not None


def read_ranks(content: bytes, name: str) -> dict[bytes, int]:
    """The ranks of a file: a line for each token, its bytes in base 64 and its rank.

    Args:
        content: of the file.
        name: of the file, in violations.

    Raises:
        InputError: a line is none, there is none, two tokens have one rank, or a byte has none.
    """
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(content.splitlines(), 1):
        try:
            if not line.strip():
                continue
            token, rank = line.split()
            if token != b"=":  # as Whisper's files write an id that no text has
                ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise InputError(f"tokenizer {name}:{number}: not a token in base 64 and its rank") from None
    if not ranks:
        raise InputError(f"tokenizer {name}: the file is empty")
    if len(set(ranks.values())) < len(ranks) or min(ranks.values()) < 0 or max(ranks.values()) >= 2**31:
        raise InputError(f"tokenizer {name}: two tokens have one rank, or a rank is out of range")
    missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
    if missing:
        raise InputError(
            f"tokenizer {name}: {len(missing)} bytes have no rank, first {missing[0]:#04x}: some text has no tokens"
        )
    return ranks


def family_of(ranks: Mapping[bytes, int]) -> Family:
    """What is known of ranks by their number; of others cl100k's pattern, and the id after the last as end."""
    last = max(ranks.values())
    return _FAMILIES.get((len(ranks), last)) or Family(CL100K, END, {END: last + 1}, last + 2)


def special_tokens(ranks: Mapping[bytes, int], end: int) -> dict[str, int]:
    """The special tokens beside ranks, with the one that closes documents."""
    special = dict(family_of(ranks).special)
    if end not in special.values():
        return {name: id for name, id in special.items() if name != END} | {END: end}
    return special


def end_of(ranks: Mapping[bytes, int], end: str | int | None, name: str) -> tuple[int, int]:
    """Number of ids, and the id that closes documents.

    Args:
        ranks: of the file.
        end: a special token's text or id, if given.
        name: of the file, in violations.

    Raises:
        InputError: ``end`` is no special token beside these ranks, or is a token of text.
    """
    family, last = family_of(ranks), max(ranks.values())
    known = ", ".join(f"{token} {id}" for token, id in family.special.items())
    if end is None:
        return family.vocab, family.special[family.end]
    if isinstance(end, str) and not end.isdecimal():
        if end not in family.special:
            raise InputError(f"tokenizer {name}: has no token {end!r}; known are {known}; or give its id")
        return family.vocab, family.special[end]
    id, most = int(end), max(family.vocab, last + 1 + _RESERVED)
    if id in ranks.values():
        raise InputError(f"tokenizer {name}: end {id} is a token of text; known special tokens are {known}")
    if not 0 <= id < most:
        raise InputError(
            f"tokenizer {name}: end {id} is no id of it: its ranks end at {last}, and special tokens before {most}"
        )
    return max(family.vocab, id + 1), id
