"""Pairs of answers that a policy writes, and that a gold reward or one of its raters compares."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any

import numpy as np

from scaling.data.answers.rows import Ids, Pair, PairSet, PromptSet
from scaling.errors import InputError
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.rewards.gold import Gold
from scaling.posttrain.rewards.rewarding import check_model
from scaling.posttrain.sampling import Answers, sample
from scaling.posttrain.stage import Model
from scaling.posttrain.training.logprob import policy_parameters

CHUNK = 128
"""Pairs that are sampled at once."""
_MOST_RATING = 3.0  # significantly better
# Chunks in a row without a pair, after which none is expected any more.
_BARREN = 20


def make_pairs(
    policy: Model,
    prompts: PromptSet,
    gold: Gold,
    pairs: int,
    seed: int,
    raters: str = "one",
    *,
    held_out: int = 1024,
    temperature: float = 1.0,
    dtype: str = "float32",
    execution: Execution = PLAIN,
) -> PairSet:
    """Two answers to each prompt, the better one chosen.

    The first pairs are the same however many are made: pair after pair, prompts in their order, and from the first
    again when all have been used. Two equal answers, and two of the same reward, make no pair and are counted.

    Args:
        policy: writes the answers.
        prompts: pairs to train on are of its train prompts, held-out pairs of its held-out ones.
        gold: compares the answers; where it is of safety, so are the pairs.
        pairs: to train on.
        seed: of the answers and the raters.
        raters: ``one``: each pair is compared by one rater drawn at random, who errs; ``all``: by the gold itself.
        held_out: pairs held out; the gold itself compares them where ``raters`` is ``all``, else one rater.
        temperature: of the sampler.
        dtype: of activations and matrix products.
        execution: attention and the mesh.

    Returns:
        The pairs; the rating of each is how many of the gold's steps one answer is better, 3 at most.

    Raises:
        InputError: the policy has another vocabulary, there are no prompts, or the policy's answers are all alike.
    """
    check_model(policy, prompts.tokenizer, "policy")
    if raters not in ("one", "all"):
        raise InputError(f"`raters` is {raters!r}; it must be one or all")
    wanted = ((prompts.train, pairs), (prompts.held_out, held_out))
    for part, (own, number) in zip(("", "held-out "), wanted, strict=True):
        if number and not own:
            raise InputError(f"there are no {part}prompts to write pairs for")
    dropped: Counter[str] = Counter()
    writer = _Writer(policy, prompts, gold, raters == "one", temperature, dtype, execution, dropped)
    train, held = (tuple(islice(writer.pairs(own, [seed, part]), number)) for part, (own, number) in enumerate(wanted))
    return PairSet(train, held, dict(dropped), digest(*train, *held), prompts.tokenizer, prompts.end)


def digest(*pairs: Pair) -> str:
    """The SHA-256 of pairs in their order."""
    sha256 = hashlib.sha256()
    for pair in pairs:
        for ids in (pair.prompt, pair.chosen, pair.rejected):
            sha256.update(len(ids).to_bytes(8, "little") + ids.astype("<i4").tobytes())
        sha256.update(f"{pair.rating} {pair.safety};".encode())
    return sha256.hexdigest()


class _Writer:
    """Samples chunk after chunk, each by a seed of its own."""

    def __init__(
        self,
        policy: Model,
        prompts: PromptSet,
        gold: Gold,
        errs: bool,
        temperature: float,
        dtype: str,
        execution: Execution,
        dropped: Counter[str],
    ) -> None:
        self._model, self._parameters = policy.config, policy_parameters(policy)
        self._end = prompts.end
        self._gold, self._errs, self._dropped = gold, errs, dropped
        self._options: dict[str, Any] = {"temperature": temperature, "dtype": dtype, "execution": execution}

    def pairs(self, prompts: Sequence[Ids], seeds: list[int]) -> Iterator[Pair]:
        """Pairs without end."""
        barren = 0
        for chunk in count():
            own = [prompts[at % len(prompts)] for at in range(chunk * CHUNK, (chunk + 1) * CHUNK)]
            found = False
            for pair in self._chunk(own, *_seeds(seeds, chunk)):
                if isinstance(pair, str):
                    self._dropped[pair] += 1
                    continue
                found = True
                yield pair
            barren = 0 if found else barren + 1
            if barren == _BARREN:
                raise InputError(
                    f"of {_BARREN * CHUNK:,} pairs of answers in a row none has one that the gold prefers: the "
                    "policy's answers are alike"
                )

    def _chunk(self, prompts: Sequence[Ids], seed: int, rating_seed: int) -> Iterator[Pair | str]:
        """The pair of each prompt, or why there is none."""
        twice = [prompt for prompt in prompts for _ in range(2)]
        most = self._model.seq_len - min(map(len, prompts))
        answers = sample(
            self._model, self._parameters, twice, seed, most=most, end=self._end, batch=2 * CHUNK, **self._options
        )
        first, second = (self._rewards(answers, prompts, side, rating_seed) for side in (0, 1))
        for at, prompt in enumerate(prompts):
            one, other = (_with_end(answers, 2 * at + side) for side in (0, 1))
            better = float(first[at] - second[at])
            if np.array_equal(one, other):
                yield "identical"
            elif better == 0:
                yield "tied"
            else:
                chosen, rejected = (one, other) if better > 0 else (other, one)
                rating = min(abs(better) // self._gold.step, _MOST_RATING)
                yield Pair(prompt, chosen, rejected, rating, self._gold.safety)

    def _rewards(self, answers: Answers, prompts: Sequence[Ids], side: int, seed: int) -> np.ndarray:
        own = [answers.answer(row) for row in range(side, 2 * len(prompts), 2)]
        stopped = answers.stopped[side::2]
        if self._errs:
            return self._gold.rate(prompts, own, stopped, seed)
        return self._gold.score(prompts, own, stopped)


def _with_end(answers: Answers, row: int) -> Ids:
    return answers.tokens[row, int(answers.prompt_lengths[row]) : int(answers.lengths[row])].copy()


def _seeds(seeds: list[int], chunk: int) -> tuple[int, int]:
    """The seeds of a chunk's answers and of its raters."""
    answers, raters = np.random.SeedSequence([*seeds, chunk]).generate_state(2)
    return int(answers), int(raters)
