"""The published Llamas, read from zoo.toml: shapes and training facts, each with its source.

A figure is checked by the parameter count that the shape implies.
"""

import difflib
from dataclasses import dataclass

from pydantic import ConfigDict

from analysis.package_data import read_toml
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig, RopeScaling
from scaling.llama.counts import count_params, flops_per_token

_WHOLE = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class ZooEntry:
    """A published model and how it was trained.

    Attributes:
        name: name on the command line, for example ``llama3-8b``.
        config: shape; ``seq_len`` is the context of pre-training, before any extension.
        tokens: tokens of pre-training.
        gpu_hours: published device hours of pre-training.
        device: device of these hours; a key of ``scaling.hardware.DEVICES``.
        learning_rate: peak learning rate, or None if it is not published.
        batch_tokens: tokens per step, or None if it is not published; where it grew during training, the last.
        source: where the figures are published, and which of them are not.
        gpu_hours_31: published hours of Llama 3.1's model of the same shape, or None if there is none.
        distilled: pruned from a larger model and trained on the logits of others, so that its hours are not those
            of a plain run of its shape.
    """

    name: str
    config: LlamaConfig
    tokens: float
    gpu_hours: float
    device: str
    learning_rate: float | None
    batch_tokens: float | None
    source: str
    gpu_hours_31: float | None = None
    distilled: bool = False

    @property
    def params(self) -> int:
        """All parameters, embeddings included."""
        return count_params(self.config).total

    @property
    def hours(self) -> dict[str, float]:
        """Published device hours by the name of the run: the model's, and Llama 3.1's of the same shape."""
        later = {} if self.gpu_hours_31 is None else {self.name.replace("3-", "3.1-"): self.gpu_hours_31}
        return {self.name: self.gpu_hours, **later}

    @property
    def flops(self) -> float:
        """Training FLOPs, every matmul counted with full attention."""
        return flops_per_token(self.config, self.config.seq_len) * self.tokens

    @property
    def flops_6nd(self) -> float:
        """Training FLOPs by 6 N D, without attention and with the embedding."""
        return flops_per_token(self.config, self.config.seq_len, "6n") * self.tokens


@dataclass(frozen=True)
class _Row:
    """A model's row in ``zoo.toml``; its source is that of its generation unless it has its own."""

    name: str
    width: int
    depth: int
    heads: int
    kv_heads: int
    ffn: int
    tokens: float
    gpu_hours: float
    gpu_hours_31: float | None = None
    learning_rate: float | None = None
    batch_tokens: float | None = None
    source: str | None = None
    __pydantic_config__ = _WHOLE


@dataclass(frozen=True)
class _Shared:
    """The part of the shape that all models of a generation share, with the defaults of ``LlamaConfig``."""

    vocab: int
    seq_len: int
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_factor: float | None = None
    tie_embeddings: bool = False
    __pydantic_config__ = _WHOLE


@dataclass(frozen=True)
class _Generation:
    """A table of ``zoo.toml``."""

    device: str
    source: str
    shared: _Shared
    models: tuple[_Row, ...]
    distilled: bool = False
    __pydantic_config__ = _WHOLE

    def entry(self, row: _Row) -> ZooEntry:
        """The published model of a row."""
        shared = self.shared
        config = LlamaConfig(
            vocab=shared.vocab,
            width=row.width,
            depth=row.depth,
            heads=row.heads,
            kv_heads=row.kv_heads,
            ffn=row.ffn,
            seq_len=shared.seq_len,
            rope_theta=shared.rope_theta,
            rope_scaling=None if shared.rope_factor is None else RopeScaling(factor=shared.rope_factor),
            norm_eps=shared.norm_eps,
            tie_embeddings=shared.tie_embeddings,
        )
        return ZooEntry(
            name=row.name,
            config=config,
            tokens=row.tokens,
            gpu_hours=row.gpu_hours,
            device=self.device,
            learning_rate=row.learning_rate,
            batch_tokens=row.batch_tokens,
            source=row.source or self.source,
            gpu_hours_31=row.gpu_hours_31,
            distilled=self.distilled,
        )


@dataclass(frozen=True)
class _File:
    """The content of ``zoo.toml``."""

    generation: dict[str, _Generation]
    __pydantic_config__ = _WHOLE


_GENERATIONS = read_toml("scaling.llama", "zoo.toml", _File).generation
ZOO: dict[str, ZooEntry] = {row.name: each.entry(row) for each in _GENERATIONS.values() for row in each.models}


def find(name: str) -> ZooEntry:
    """The published model of that name, in any case.

    Raises:
        InputError: with the closest names, if there is none.
    """
    entry = ZOO.get(name.lower())
    if entry is None:
        close = difflib.get_close_matches(name.lower(), ZOO, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(ZOO)}"
        raise InputError(f"no published model is named {name!r}; {hint}")
    return entry
