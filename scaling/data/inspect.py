"""Contents of built data: counts, shares, and the beginnings of documents."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scaling.data.shards import SPLITS, TOKENIZER, Manifest, Split, map_ids, read_lengths
from scaling.data.tokenizer_files import open_tokenizer

_SAMPLE_TOKENS = 64


def summary(manifest: Manifest) -> dict[str, Any]:
    """The JSON object of ``scaling data inspect``: a manifest's sums; bytes are None where a source was tokens."""
    shares = manifest.shares
    skipped = sum(warning.count for warning in manifest.warnings if warning.code == "skipped-documents")
    mixed = [share * manifest.tokens("train", number) for number, share in enumerate(shares)]
    sources = [
        {
            "name": source.name,
            "epochs": share,
            "share": tokens / sum(mixed),
            **{split: _counts(manifest, split, number) for split in SPLITS},
        }
        for number, (source, share, tokens) in enumerate(zip(manifest.sources, shares, mixed, strict=True))
    ]
    return {
        "name": manifest.name,
        "tokenizer": manifest.tokenizer.name,
        "vocab": manifest.tokenizer.vocab,
        "end": manifest.tokenizer.end,
        "dtype": manifest.dtype,
        "epoch_tokens": round(sum(mixed)),
        **{split: _counts(manifest, split, None) for split in SPLITS},
        "duplicates": manifest.duplicates,
        "empty": manifest.empty,
        "leaks": manifest.leaks,
        "skipped": skipped,
        "shards": len(manifest.shards),
        "sources": sources,
        "sha256": manifest.sha256,
        "warnings": [warning.model_dump(mode="json") for warning in manifest.warnings],
    }


def _counts(manifest: Manifest, split: Split, source: int | None) -> dict[str, Any]:
    tokens, size = manifest.tokens(split, source), manifest.bytes(split, source)
    return {
        "documents": sum(shard.documents for shard in manifest.of(split, source)),
        "tokens": tokens,
        "bytes": size,
        "bytes_per_token": size / tokens if size and tokens else None,
    }


def samples(folder: Path, manifest: Manifest, count: int) -> Iterator[dict[str, Any]]:
    """Beginnings of the first training documents of each source, as text, or as ids without a tokenizer.

    Raises:
        InputError: the tokenizer is not the one that made the tokens.
    """
    tokenizer = open_tokenizer(manifest.tokenizer, folder / TOKENIZER)
    for number, source in enumerate(manifest.sources):
        for shard in (manifest.of("train", number) or manifest.of("held_out", number))[:1]:
            ids, begin = map_ids(folder, shard, manifest.dtype), 0
            for length in read_lengths(folder, shard)[:count].tolist():
                first = ids[begin : begin + min(length - 1, _SAMPLE_TOKENS)]
                shown = " ".join(map(str, first.tolist())) if tokenizer is None else tokenizer.decode(first)
                yield {"source": source.name, "tokens": length, "begins": shown}
                begin += length
