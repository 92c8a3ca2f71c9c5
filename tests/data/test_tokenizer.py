"""The byte tokenizer."""

import numpy as np

from scaling.data.tokenizer import BYTES, Tokenizer


def test_bytes_are_tokens() -> None:
    tokenizer: Tokenizer = BYTES
    text = "Zwölf Boxkämpfer".encode()
    ids = tokenizer.encode(text)
    assert ids.dtype == np.uint8
    assert bytes(ids) == text
    assert tokenizer.end not in ids
    assert (tokenizer.name, tokenizer.vocab, len(tokenizer.hash)) == ("bytes", 256, 64)
