"""The search for a sharding by arithmetic: what fits, fastest first; or what lacks least."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from scaling.errors import InputError
from scaling.feasibility.roofline import Plan, Roofline, roofline
from scaling.feasibility.topology import NODE, Topology, listed
from scaling.llama.config import LlamaConfig
from scaling.llama.memory import TrainingBytes, training_bytes
from scaling.llama.parallelism import SPLASH_BLOCKS, Parallelism
from scaling.quantity import format_quantity

# Of a GPU's memory the driver, the libraries and fragmentation take about a tenth; a TPU's compiler has nearly all.
_USABLE = {"tpu": 1.0, "gpu": 0.9}
# Whole sequences for every device may change a batch by this much.
_ROUNDING = 0.1
_MOST_TENSOR = 16
_MICROBATCHES = tuple(2**i for i in range(9))
_MOST_BATCH = 1e10  # tokens
# The arithmetic is this sure at best: the search leaves so much of the memory to what it does not count.
_MARGIN = 0.95
# Plans whose lower bounds differ by less are equally fast.
_TIED = 1.01


@dataclass(frozen=True)
class Asked:
    """A question to ``scaling feasible``; None leaves a number to the search.

    Attributes:
        config: the model; its ``seq_len`` is that of the training sequences.
        topology: the devices.
        batch_tokens: tokens per step.
        fsdp, tensor, microbatch: pinned, if not None.
    """

    config: LlamaConfig
    topology: Topology
    batch_tokens: float
    fsdp: int | None = None
    tensor: int | None = None
    microbatch: int | None = None


@dataclass(frozen=True)
class Candidate:
    """A plan, the memory it takes on a device, and its lower bound of time; by arithmetic."""

    plan: Plan
    memory: TrainingBytes
    roofline: Roofline

    @property
    def s_per_sequence(self) -> float:
        return self.roofline.step / self.plan.batch


@dataclass(frozen=True)
class Enough:
    """What would fit, by arithmetic, where what was asked does not.

    Attributes:
        topology: the one asked about, where only the pins stand in the way; or the smallest listed one that would do.
        plan: on it, with nothing pinned.
        batch_tokens: per step, where the batch asked for would not do, as a rule too small for the devices; or None.
    """

    topology: Topology
    plan: Plan
    batch_tokens: int | None


def usable_bytes(topology: Topology) -> int:
    """Memory of a chip that a step may take."""
    return int(_USABLE["tpu" if topology.gpu is None else "gpu"] * topology.device.memory_bytes)


def candidates(asked: Asked) -> list[Candidate]:
    """Every plan that can be carried out; best first: those that fit by time per token, then the others by memory.

    Raises:
        InputError: one line per reason why there is none.
    """
    _check(asked)
    plans = list(_plans(asked))
    if not plans:
        raise InputError(_why_none(asked))
    found = [_candidate(asked, plan) for plan in plans]
    fitting = [candidate for candidate in found if fits(asked, candidate)]
    fastest = min((candidate.s_per_sequence for candidate in fitting), default=0.0)

    def rank(candidate: Candidate) -> tuple[float, ...]:
        split = candidate.plan.parallelism
        slower = candidate.s_per_sequence if candidate.s_per_sequence > _TIED * fastest else 0.0
        # Of the equally fast, what hides its communication best, takes least memory, and gathers least often.
        return slower, split.tensor, -split.state_shards, candidate.plan.microbatches

    others = [candidate for candidate in found if not fits(asked, candidate)]
    return sorted(fitting, key=rank) + sorted(others, key=lambda candidate: candidate.memory.total)


def fits(asked: Asked, candidate: Candidate, times: float = 1.0) -> bool:
    """By arithmetic, or where its figure is taken so many times."""
    taken = times * candidate.memory.total * asked.topology.devices_per_chip
    return taken <= _MARGIN * usable_bytes(asked.topology)


def what_would_fit(asked: Asked, times: float = 1.0) -> Enough | None:
    """What does fit, by arithmetic: the same devices unpinned, else more of them, else either on another batch.

    Args:
        asked: what does not fit.
        times: by how much the arithmetic was found to be short.
    """
    free = replace(asked, fsdp=None, tensor=None, microbatch=None)
    same = [] if free == asked else [asked.topology]
    larger = [topology for topology in listed(asked.topology.device.name) if topology.chips > asked.topology.chips]
    questions = [replace(free, topology=topology) for topology in same + larger]
    for question in questions:
        try:
            found = candidates(question)
        except InputError:  # more devices than sequences
            continue
        for candidate in found:
            if fits(question, candidate, times):
                return Enough(question.topology, candidate.plan, None)
    for question in questions:
        plans = sorted((Plan(split, 1, 1) for split in _splits(question)), key=lambda plan: plan.batch)
        for plan in plans:
            if fits(question, _candidate(question, plan), times):
                return Enough(question.topology, plan, plan.batch * asked.config.seq_len)
    return None


def _candidate(asked: Asked, plan: Plan) -> Candidate:
    return Candidate(plan, _memory(asked, plan), roofline(asked.config, asked.topology, plan))


def _memory(asked: Asked, plan: Plan) -> TrainingBytes:
    return training_bytes(
        asked.config,
        plan.microbatch,
        "bfloat16",
        plan.parallelism,
        remat="full",
        flash=True,
        microbatches=plan.microbatches,
    )


def _plans(asked: Asked) -> Iterator[Plan]:
    sequences = asked.batch_tokens / asked.config.seq_len
    for split in _splits(asked):
        for microbatch in _MICROBATCHES if asked.microbatch is None else (asked.microbatch,):
            at_once = split.batch_shards * microbatch
            microbatches = max(1, round(sequences / at_once))
            if abs(microbatches * at_once / sequences - 1) <= _ROUNDING:
                yield Plan(split, microbatch, microbatches)


def _splits(asked: Asked) -> Iterator[Parallelism]:
    devices = asked.topology.devices
    most = _MOST_TENSOR if asked.topology.gpu is None else NODE
    for tensor in (asked.tensor,) if asked.tensor else range(1, most + 1):
        for fsdp in (asked.fsdp,) if asked.fsdp else range(1, devices // tensor + 1):
            if devices % (tensor * fsdp) == 0:
                split = Parallelism(devices // (tensor * fsdp), fsdp, tensor)
                if not split.faults(asked.config):
                    yield split


def _check(asked: Asked) -> None:
    config, topology = asked.config, asked.topology
    faults = []
    if config.seq_len > asked.batch_tokens:
        faults.append(
            f"a batch of {format_quantity(asked.batch_tokens)} tokens is less than a sequence of {config.seq_len}"
        )
    if asked.batch_tokens > _MOST_BATCH:
        faults.append(
            f"a batch of {format_quantity(asked.batch_tokens)} tokens is absurd: at most {format_quantity(_MOST_BATCH)}"
        )
    block = SPLASH_BLOCKS[-1]
    if topology.tpu is not None and config.seq_len % block:
        near = max(block, 2 ** round(math.log2(config.seq_len)))
        faults.append(
            f"seq_len {config.seq_len} is not a multiple of {block}, the block of a TPU's attention kernel; {near} is"
        )
    if topology.gpu is not None and (asked.tensor or 1) > NODE:
        faults.append(f"tensor {asked.tensor} is more than the {NODE} GPUs of a node, which share a fast connection")
    split = Parallelism(1, asked.fsdp or 1, asked.tensor or 1)
    if topology.devices % split.devices:
        cores = "" if topology.devices_per_chip == 1 else f" (the compiler's {topology.devices_per_chip} a chip)"
        faults.append(f"fsdp {split.fsdp} x tensor {split.tensor} does not divide {topology.devices} devices{cores}")
    faults += split.faults(config)
    if faults:
        raise InputError(faults)


def _why_none(asked: Asked) -> str:
    """Of splits that the model and the devices allow, at least the devices alone can be replicas."""
    sequences = asked.batch_tokens / asked.config.seq_len
    tokens, seq_len = format_quantity(asked.batch_tokens), asked.config.seq_len
    batch = f"a batch of {tokens} tokens is {sequences:.4g} sequences of {seq_len}"
    shards = min(split.batch_shards for split in _splits(asked))
    least = shards * (asked.microbatch or 1)
    enough = format_quantity(least * seq_len)
    each = "" if asked.microbatch is None else f", {asked.microbatch} at once to each"
    return f"{batch}: not to be shared out to {shards} or more{each} within {_ROUNDING:.0%}; {enough} tokens are"
