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
class Request:
    """A request to ``scaling feasible``; None leaves a number to the search.

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
    """A plan that fits, by arithmetic, where the requested one does not.

    Attributes:
        topology: the requested one, where only the pins stand in the way; or the smallest listed one that would do.
        plan: on it, with nothing pinned.
        batch_tokens: per step, where the requested batch would not do, as a rule too small for the devices; or None.
    """

    topology: Topology
    plan: Plan
    batch_tokens: int | None


def usable_bytes(topology: Topology) -> int:
    """Bytes of a chip's memory that a step may take."""
    return int(_USABLE["tpu" if topology.gpu is None else "gpu"] * topology.device.memory_bytes)


def candidates(request: Request) -> list[Candidate]:
    """Every plan that can be carried out; best first: those that fit by time per token, then the others by memory.

    Raises:
        InputError: one line per reason why there is none.
    """
    _check(request)
    plans = list(_plans(request))
    if not plans:
        raise InputError(_why_none(request))
    found = [_candidate(request, plan) for plan in plans]
    fitting = [candidate for candidate in found if fits(request, candidate)]
    fastest = min((candidate.s_per_sequence for candidate in fitting), default=0.0)

    def rank(candidate: Candidate) -> tuple[float, ...]:
        split = candidate.plan.parallelism
        slower = candidate.s_per_sequence if candidate.s_per_sequence > _TIED * fastest else 0.0
        # Of the equally fast, what hides its communication best, takes least memory, and gathers least often.
        return slower, split.tensor, -split.state_shards, candidate.plan.microbatches

    others = [candidate for candidate in found if not fits(request, candidate)]
    return sorted(fitting, key=rank) + sorted(others, key=lambda candidate: candidate.memory.total)


def fits(request: Request, candidate: Candidate, times: float = 1.0) -> bool:
    """Whether ``times`` the candidate's memory by arithmetic is within the usable bytes."""
    taken = times * candidate.memory.total * request.topology.devices_per_chip
    return taken <= _MARGIN * usable_bytes(request.topology)


def what_would_fit(request: Request, times: float = 1.0) -> Enough | None:
    """A plan that fits, by arithmetic: the same devices unpinned, else more of them, else either on another batch.

    Args:
        request: the one that does not fit.
        times: ratio of the memory found by the compiler to that by arithmetic.
    """
    free = replace(request, fsdp=None, tensor=None, microbatch=None)
    same = [] if free == request else [request.topology]
    larger = [topology for topology in listed(request.topology.device.name) if topology.chips > request.topology.chips]
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
                return Enough(question.topology, plan, plan.batch * request.config.seq_len)
    return None


def _candidate(request: Request, plan: Plan) -> Candidate:
    return Candidate(plan, _memory(request, plan), roofline(request.config, request.topology, plan))


def _memory(request: Request, plan: Plan) -> TrainingBytes:
    return training_bytes(
        request.config,
        plan.microbatch,
        "bfloat16",
        plan.parallelism,
        remat="full",
        flash=True,
        microbatches=plan.microbatches,
    )


def _plans(request: Request) -> Iterator[Plan]:
    sequences = request.batch_tokens / request.config.seq_len
    for split in _splits(request):
        for microbatch in _MICROBATCHES if request.microbatch is None else (request.microbatch,):
            at_once = split.batch_shards * microbatch
            microbatches = max(1, round(sequences / at_once))
            if abs(microbatches * at_once / sequences - 1) <= _ROUNDING:
                yield Plan(split, microbatch, microbatches)


def _splits(request: Request) -> Iterator[Parallelism]:
    devices = request.topology.devices
    most = _MOST_TENSOR if request.topology.gpu is None else NODE
    for tensor in (request.tensor,) if request.tensor else range(1, most + 1):
        for fsdp in (request.fsdp,) if request.fsdp else range(1, devices // tensor + 1):
            if devices % (tensor * fsdp) == 0:
                split = Parallelism(devices // (tensor * fsdp), fsdp, tensor)
                if not split.violations(request.config):
                    yield split


def _check(request: Request) -> None:
    config, topology = request.config, request.topology
    violations = []
    if config.seq_len > request.batch_tokens:
        violations.append(
            f"a batch of {format_quantity(request.batch_tokens)} tokens is less than a sequence of {config.seq_len}"
        )
    if request.batch_tokens > _MOST_BATCH:
        violations.append(
            f"a batch of {format_quantity(request.batch_tokens)} tokens is absurd: at most "
            f"{format_quantity(_MOST_BATCH)}"
        )
    block = SPLASH_BLOCKS[-1]
    if topology.tpu is not None and config.seq_len % block:
        near = max(block, 2 ** round(math.log2(config.seq_len)))
        violations.append(
            f"seq_len {config.seq_len} is not a multiple of {block}, the block of a TPU's attention kernel; {near} is"
        )
    if topology.gpu is not None and (request.tensor or 1) > NODE:
        violations.append(
            f"tensor {request.tensor} is more than the {NODE} GPUs of a node, which share a fast connection"
        )
    split = Parallelism(1, request.fsdp or 1, request.tensor or 1)
    if topology.devices % split.devices:
        cores = "" if topology.devices_per_chip == 1 else f" (the compiler's {topology.devices_per_chip} a chip)"
        violations.append(
            f"fsdp {split.fsdp} x tensor {split.tensor} does not divide {topology.devices} devices{cores}"
        )
    violations += split.violations(config)
    if violations:
        raise InputError(violations)


def _why_none(request: Request) -> str:
    """The message that no split of the batch exists, with the smallest batch that has one.

    Of splits that the model and the devices allow, at least the devices alone can be replicas.
    """
    sequences = request.batch_tokens / request.config.seq_len
    tokens, seq_len = format_quantity(request.batch_tokens), request.config.seq_len
    batch = f"a batch of {tokens} tokens is {sequences:.4g} sequences of {seq_len}"
    shards = min(split.batch_shards for split in _splits(request))
    least = shards * (request.microbatch or 1)
    enough = format_quantity(least * seq_len)
    each = "" if request.microbatch is None else f", {request.microbatch} at once to each"
    return f"{batch}: not to be shared out to {shards} or more{each} within {_ROUNDING:.0%}; {enough} tokens are"
