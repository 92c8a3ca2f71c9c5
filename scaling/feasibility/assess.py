"""The answer: the best plan that fits, compiled; or how much is lacking, and what would do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from scaling.errors import InputError
from scaling.feasibility.compile import Compiled, check_tpu_compiler, compile_step
from scaling.feasibility.roofline import Plan, Roofline
from scaling.feasibility.search import Candidate, Enough, Request, candidates, fits, usable_bytes, what_would_fit
from scaling.llama.counts import flops_per_token
from scaling.llama.parallelism import Parallelism
from scaling.quantity import format_quantity

# No further plan is compiled once so much time went into those that did not fit.
_PATIENCE_S = 300.0
_REPORT_EVERY_S = 30.0
_DAY = 86400.0
# More devices than this take the host's compiler minutes.
_MOST_HOST_DEVICES = 512
_MOST_TOKENS = 1e18


@dataclass(frozen=True)
class Feasibility:
    """Whether a run fits, and how fast it could be. Bytes are of a chip.

    Attributes:
        fits: whether a step fits the chip's memory.
        method: ``compiled`` by the TPU's own compiler; ``estimate``: the program partitioned for so many devices of
            this host, its arguments as compiled and the rest by arithmetic; ``refused``: the TPU's own compiler says
            that it does not fit, what it takes is by arithmetic but for the sum, if that is reported; ``arithmetic``:
            nothing was compiled.
        plan: the best that fits, or the one that lacks least.
        roofline: the plan's lower bound of time.
        memory: what a step may take.
        params, optimizer, gradients, activations: what it takes; the last has all else, the program too.
        flops: of a step, every matmul with full attention (``flops_per_token``).
        enough: what would do, if this does not and something listed does.
        compiled: what the compiler said, or None.
        refused: plans that fitted by arithmetic but not by the compiler, with its words.
    """

    fits: bool
    method: str
    request: Request
    plan: Plan
    roofline: Roofline
    memory: int
    params: int
    optimizer: int
    gradients: int
    activations: int
    flops: int
    enough: Enough | None
    compiled: Compiled | None
    refused: tuple[str, ...]

    @property
    def bytes_per_chip(self) -> int:
        """Bytes of a chip that a step takes."""
        return self.params + self.optimizer + self.gradients + self.activations

    @property
    def lacking(self) -> int | None:
        """Bytes of a chip that a step takes beyond its memory; None where the compiler's refusal states no number."""
        lacking = self.bytes_per_chip - self.memory
        return None if lacking <= 0 and not self.fits else max(0, lacking)

    @property
    def tokens_per_step(self) -> int:
        """Tokens of a batch."""
        return self.plan.batch * self.request.config.seq_len

    @property
    def tokens_per_s(self) -> float:
        """Training tokens per second at the lower bound of time."""
        return self.tokens_per_step / self.roofline.step

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation at the lower bound of time; attention causal, as in the time."""
        topology, seq_len = self.request.topology, self.request.config.seq_len
        flops = self.tokens_per_step * flops_per_token(self.request.config, seq_len, causal=True)
        return flops / self.roofline.step / (topology.chips * topology.device.peak_flops)

    def days(self, tokens: float) -> float:
        """Days of training on some tokens, at the lower bound of time."""
        return tokens / self.tokens_per_s / _DAY


def assess(
    request: Request, tokens: float, compiling: bool = True, report: Callable[[str], None] = lambda _: None
) -> Feasibility:
    """Searches the plans by arithmetic, and compiles the best until one fits.

    Args:
        request: the question.
        tokens: of the whole run, for its recipe.
        compiling: False leaves it at the arithmetic.
        report: called with a line on each step of the work.

    Raises:
        InputError: no plan can be carried out, the tokens are less than a step or absurd, or the compiler is missing
            or fails.
    """
    found = candidates(request)
    if not request.batch_tokens <= tokens <= _MOST_TOKENS:
        raise InputError(
            f"{format_quantity(tokens)} training tokens are not between a step's "
            f"{format_quantity(request.batch_tokens)} and {format_quantity(_MOST_TOKENS)}"
        )
    if not fits(request, found[0]):
        return _answer(request, found[0], "arithmetic", None, False, ())
    if not compiling:
        return _answer(request, found[0], "arithmetic", None, True, ())
    if request.topology.gpu is not None:
        return _answer(request, found[0], "estimate", _partition(request, found[0].plan, tokens, report), True, ())
    check_tpu_compiler()
    spent, chips = 0.0, request.topology.devices_per_chip
    refused: list[str] = []
    for candidate in _different(request, found):
        compiled = _compile(request, candidate.plan, tokens, report)
        spent += compiled.compile_s
        total = compiled.total
        if compiled.refusal is None and total is not None and total * chips <= usable_bytes(request.topology):
            return _answer(request, candidate, "compiled", compiled, True, tuple(refused))
        refused.append(f"{describe(candidate.plan)}: {compiled.refusal or 'more than a chip has'}")
        report(refused[-1])
        if spent > _PATIENCE_S:
            break
    method = "compiled" if compiled.refusal is None else "refused"
    return _answer(request, candidate, method, compiled, False, tuple(refused))


def describe(plan: Plan) -> str:
    """A plan as one line of text."""
    split = plan.parallelism
    axes = [("data", split.data), ("FSDP", split.fsdp), ("tensor", split.tensor)]
    mesh = " x ".join(f"{name} {size}" for name, size in axes if size > 1) or "one device"
    return f"{mesh}, {plan.microbatches} x {plan.microbatch} sequences"


def _different(request: Request, found: list[Candidate]) -> Iterator[Candidate]:
    """Candidates that fit, each with a fifth less memory than the one before."""
    last = float("inf")
    for candidate in found:
        if fits(request, candidate) and candidate.memory.total < 0.8 * last:
            last = candidate.memory.total
            yield candidate


def _partition(request: Request, plan: Plan, tokens: float, report: Callable[[str], None]) -> Compiled:
    """A plan compiled for devices of the host, with the bytes of its arguments scaled to the plan's own devices.

    Where the plan has more devices than the host can be taken for, it is compiled for one replica, and for a half, a
    quarter and so on of the shards.
    """
    split = plan.parallelism
    fsdp = split.fsdp
    while fsdp * split.tensor > _MOST_HOST_DEVICES and fsdp % 2 == 0:
        fsdp //= 2
    data = split.data if split.data * fsdp * split.tensor <= _MOST_HOST_DEVICES else 1
    fewer = replace(plan, parallelism=Parallelism(data, fsdp, split.tensor))
    devices = fewer.parallelism.devices
    if devices < split.devices:
        report(f"{split.devices} devices are too many for this machine's compiler: {devices} stand for them")
    topology = replace(request.topology, sides=(devices,))
    compiled = _compile(replace(request, topology=topology), fewer, tokens, report)
    return replace(compiled, arguments=compiled.arguments * fsdp // split.fsdp)


def _compile(request: Request, plan: Plan, tokens: float, report: Callable[[str], None]) -> Compiled:
    report(f"compiling {describe(plan)} for {request.topology.name}; this may take minutes")
    reported = 0.0

    def waiting(seconds: float) -> None:
        nonlocal reported
        if seconds - reported >= _REPORT_EVERY_S:
            reported = seconds
            report(f"  {seconds:.0f} s")

    return compile_step(request.config, request.topology, plan, tokens, waiting)


def _answer(
    request: Request,
    candidate: Candidate,
    method: str,
    compiled: Compiled | None,
    fitting: bool,
    refused: tuple[str, ...],
) -> Feasibility:
    memory, chips, seq_len = candidate.memory, request.topology.devices_per_chip, request.config.seq_len
    total, enough = memory.total, None
    if compiled is not None and method == "estimate":
        total = compiled.arguments + memory.gradients + memory.activations
    elif compiled is not None and compiled.total is not None:
        total = compiled.total
    if not fitting and (compiled is None or compiled.total is not None):
        # Where the compiler wants more than the arithmetic said, so it may elsewhere.
        enough = what_would_fit(request, max(1.0, total / memory.total))
    return Feasibility(
        fits=fitting,
        method=method,
        request=request,
        plan=candidate.plan,
        roofline=candidate.roofline,
        memory=usable_bytes(request.topology),
        params=chips * memory.params,
        optimizer=chips * memory.optimizer,
        gradients=chips * memory.gradients,
        activations=chips * (total - memory.state),
        flops=candidate.plan.batch * seq_len * flops_per_token(request.config, seq_len),
        enough=enough,
        compiled=compiled,
        refused=refused,
    )
