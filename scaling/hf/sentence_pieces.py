"""A SentencePiece model as a tokenizer.json.

SentencePiece normalises the whole text, spaces becoming "▁", and cuts it into the pieces of its model (1808.06226): the
same steps in the same order give the same ids.
"""

import base64
from typing import Any

_SPACE = "▁"


class NotConverted(Exception):
    """A tokenizer that a tokenizer.json cannot hold, and why."""


def of_model(content: bytes) -> dict[str, Any]:
    """The tokenizer.json of a ``.model`` file.

    Args:
        content: of the file.

    Raises:
        NotConverted: it is neither BPE nor unigram, or uses what only SentencePiece has.
        InputError: a library is missing.
    """
    spec = _parsed(content)
    trainer, kinds = spec.trainer_spec, type(spec).SentencePiece.Type
    if any(piece.type == kinds.UNUSED for piece in spec.pieces):
        raise NotConverted("it has unused pieces, which are cut into others")
    if trainer.treat_whitespace_as_suffix:
        raise NotConverted("it puts spaces at the ends of words")
    if trainer.model_type == trainer.BPE:
        model = _bpe(spec)
    elif trainer.model_type == trainer.UNIGRAM:
        vocab = [[piece.piece, piece.score] for piece in spec.pieces]
        model = {"type": "Unigram", "unk_id": trainer.unk_id, "vocab": vocab, "byte_fallback": trainer.byte_fallback}
    else:
        raise NotConverted("its model is neither BPE nor unigram")
    added = {kinds.UNKNOWN: True, kinds.CONTROL: True, kinds.USER_DEFINED: False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": piece.piece, "special": added[piece.type]}
            | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
            for number, piece in enumerate(spec.pieces)
            if piece.type in added
        ],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(spec.normalizer_spec)},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": _decoders(spec.normalizer_spec)},
        "model": model,
    }


def _parsed(content: bytes) -> Any:
    from sentencepiece import sentencepiece_model_pb2

    spec = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    spec.ParseFromString(content)
    return spec


def _bpe(spec: Any) -> dict[str, Any]:
    """Every way to put a piece together from two others, the pieces of the highest score first."""
    kinds = type(spec).SentencePiece.Type
    vocab = {piece.piece: number for number, piece in enumerate(spec.pieces)}
    parts = {piece.piece for piece in spec.pieces if piece.type == kinds.NORMAL}
    ordered = sorted((piece for piece in spec.pieces if piece.piece in parts), key=lambda piece: -piece.score)
    merges = [
        [piece.piece[:cut], piece.piece[cut:]]
        for piece in ordered
        for cut in range(1, len(piece.piece))
        if piece.piece[:cut] in parts and piece.piece[cut:] in parts
    ]
    trainer = spec.trainer_spec
    fallback = {"unk_token": trainer.unk_piece, "fuse_unk": True, "byte_fallback": trainer.byte_fallback}
    return {"type": "BPE", "vocab": vocab, "merges": merges, **fallback}


def _normalizers(spec: Any) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    if spec.precompiled_charsmap:
        charsmap = base64.b64encode(spec.precompiled_charsmap).decode()
        steps.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    if spec.remove_extra_whitespaces:
        steps.append(_replace({"Regex": r"\A +| +\z"}, ""))
        steps.append(_replace({"Regex": " {2,}"}, " "))
    if spec.add_dummy_prefix:
        steps.append({"type": "Prepend", "prepend": " "})
    if spec.escape_whitespaces:
        steps.append(_replace({"String": " "}, _SPACE))
    return steps


def _decoders(spec: Any) -> list[dict[str, Any]]:
    first = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    steps = [_replace({"String": _SPACE}, " "), {"type": "ByteFallback"}, {"type": "Fuse"}]
    return [*steps, first] if spec.add_dummy_prefix else steps


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}
