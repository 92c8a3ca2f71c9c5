"""Batches of a mixture of sources, without state: each row's source and window follow from the seed and the step."""

import hashlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Int32

from scaling.data.batches import Batches, Tokens
from scaling.data.mixing.shares import BLOCK_ROWS, MOST_SOURCES, UNITS, Block, block_of, rounded_shares
from scaling.errors import InputError


class MixedBatches:
    """Batches of training windows from several sources, each drawn by its share, as a pure function of (seed, step).

    Rows are numbered through the run, and ``shares.block_of`` says which source each is drawn from. The t-th row of a
    source is window t of the source's own ``Batches``, with epochs and orders of its own, which follow from the seed
    and the source's name: runs of two mixtures with one seed see the same windows of a source in the same order.

    Args:
        sources: training tokens of each source by name.
        mixture: share of each source by name, which sum to 1; a source without one has none.
        seq_len: context, in tokens.
        batch_size: windows per step.
        seed: of the order.

    Raises:
        InputError: shares that do not sum to 1, or are of no such source; too many sources; or a source that is drawn
            from and has too few tokens for one window at every phase.
    """

    def __init__(
        self, sources: Mapping[str, Tokens], mixture: Mapping[str, float], seq_len: int, batch_size: int, seed: int
    ) -> None:
        self.seq_len, self.batch_size, self.seed = seq_len, batch_size, seed
        shares = rounded_shares(mixture)
        if unknown := [name for name in shares if name not in sources]:
            raise InputError(f"the mixture has a share of {unknown[0]}; the sources are {', '.join(sources) or 'none'}")
        self.shares = {name: shares[name] for name in sources if shares.get(name)}
        if len(self.shares) > MOST_SOURCES:
            raise InputError(f"a mixture is of {MOST_SOURCES} sources at most; this one is of {len(self.shares)}")
        self._units = tuple(round(share * UNITS) for share in self.shares.values())
        self._batches = [_batches(name, sources[name], seq_len, seed) for name in self.shares]
        self._blocks: dict[int, Block] = {}

    @property
    def tokens_per_epoch(self) -> int:
        """Target tokens until the first source has been passed over once, from where on text repeats."""
        passes = zip(self._batches, self._units, strict=True)
        return min(batches.tokens_per_epoch * UNITS // unit for batches, unit in passes)

    def epochs_needed(self, tokens: int) -> float:
        """Passes over the most repeated source that training on ``tokens`` target tokens takes."""
        return max(self.epochs(tokens).values())

    def epochs(self, tokens: float) -> dict[str, float]:
        """Passes over each source that is drawn from, in training on ``tokens`` target tokens."""
        drawn = zip(self.shares.items(), self._batches, strict=True)
        return {name: share * tokens / batches.tokens_per_epoch for (name, share), batches in drawn}

    def unique_tokens(self, tokens: int) -> int:
        """Distinct target tokens in training on ``tokens`` of them: of each source what is drawn, or all it has."""
        drawn = zip(self.shares.values(), self._batches, strict=True)
        return round(sum(min(share * tokens, batches.tokens_per_epoch) for share, batches in drawn))

    def take(self, step: int, count: int, rows: slice = slice(None)) -> Int32[np.ndarray, "count batch window"]:
        """Windows of ``count`` steps from ``step`` on, all rows of the batch or some; independent of earlier calls."""
        steps = np.arange(step, step + count, dtype=np.int64)[:, None]
        blocks, places = np.divmod(steps * self.batch_size + np.arange(self.batch_size)[rows], BLOCK_ROWS)
        sources, turns = np.empty_like(places), np.empty_like(places)
        for number in np.unique(blocks).tolist():
            block, inside = self._block(number), blocks == number
            sources[inside], turns[inside] = block.sources[places[inside]], block.turns[places[inside]]
        windows = np.empty((*places.shape, self.seq_len + 1), np.int32)
        for number in np.unique(sources).tolist():
            windows[sources == number] = self._batches[number].windows(turns[sources == number])
        return windows

    def _block(self, number: int) -> Block:
        """A block; those that the last steps were in are cached."""
        if number not in self._blocks:
            self._blocks = {key: block for key, block in self._blocks.items() if key == number - 1}
            self._blocks[number] = block_of(self._units, number)
        return self._blocks[number]


def _batches(name: str, tokens: Tokens, seq_len: int, seed: int) -> Batches:
    """A source's own windows."""
    key = int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "big")
    try:
        return Batches(tokens, seq_len, 1, key)
    except InputError as error:
        raise InputError(f"source {name}: {line}" for line in error.errors) from None
