"""Whether the full-size run compiles and fits real devices, without having them."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.result import Result
from scaling.feasibility.assess import Feasibility, assess, describe
from scaling.feasibility.roofline import Plan
from scaling.feasibility.search import Request
from scaling.feasibility.topology import find_topology
from scaling.llama.zoo import find
from scaling.quantity import format_quantity

_GIB = 2**30
# A batch that grows or shrinks by more is worth a warning.
_ROUNDED = 0.05


@dataclass(frozen=True)
class FeasibleRun(Result):
    """Whether a run fits its devices, and how fast it could be.

    Attributes:
        answer: the plan, its memory and its bound of time.
        model: the published Llama.
        tokens: of the whole run.
        warnings: in words and codes.
    """

    answer: Feasibility
    model: str
    tokens: float
    warnings: tuple[Diagnostic, ...]

    @property
    def fits(self) -> bool:
        """Whether a step fits the memory of a chip."""
        return self.answer.fits

    def __str__(self) -> str:
        return _text(self.answer, self.model, self.tokens)

    def to_dict(self) -> dict[str, Any]:
        answer, tokens = self.answer, self.tokens
        topology, plan, compiled, times = answer.request.topology, answer.plan, answer.compiled, answer.roofline
        return {
            "model": self.model,
            "topology": topology.name,
            "fits": answer.fits,
            "method": answer.method,
            "estimate": answer.method != "compiled",
            "device_kind": topology.device.name,
            "devices": topology.chips,
            "devices_per_chip": topology.devices_per_chip,
            "memory_per_device": answer.memory,
            "bytes_per_device": answer.bytes_per_chip,
            "breakdown": {
                "params": answer.params,
                "optimizer": answer.optimizer,
                "gradients": answer.gradients,
                "activations": answer.activations,
            },
            "argument_bytes": None if compiled is None else topology.devices_per_chip * compiled.arguments,
            "sharding": _sharding(plan),
            "batch_tokens": answer.tokens_per_step,
            "seq_len": answer.request.config.seq_len,
            "remat": True,
            "flops_per_step": answer.flops,
            "step_s_lower_bound": times.step,
            "roofline": {**dataclasses.asdict(times), "bound": times.bound},
            "mfu_upper_bound": answer.mfu,
            "tokens_per_s": answer.tokens_per_s,
            "tokens": tokens,
            "days": answer.days(tokens),
            "lacking_bytes": None if answer.fits else answer.lacking,
            "enough": None if answer.enough is None else answer.enough.topology.name,
            "enough_sharding": None if answer.enough is None else _sharding(answer.enough.plan),
            "enough_batch_tokens": None if answer.enough is None else answer.enough.batch_tokens,
            "refused": list(answer.refused),
            "compiled_devices": None if compiled is None else compiled.devices,
            "compile_s": None if compiled is None else compiled.compile_s,
            "compile_cpu_s": None if compiled is None else compiled.cpu_s,
            "host_bytes": None if compiled is None else compiled.host_bytes,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """One row: whether it fits, its memory, and its bounds of time."""
        names = ("model", "topology", "fits", "method", "bytes_per_device", "memory_per_device", "step_s_lower_bound")
        content = self.to_dict()
        return pd.DataFrame([{name: content[name] for name in names}])


def feasible(
    model: str,
    *,
    topology: str,
    batch_tokens: float = 4e6,
    seq_len: int | None = None,
    tokens: float | None = None,
    fsdp: int | None = None,
    tensor: int | None = None,
    microbatch: int | None = None,
    compile: bool = True,
    report: Callable[[str], None] = lambda _: None,
) -> FeasibleRun:
    """Checks that a full-size training run compiles and fits the memory of its devices; needs none of them.

    Args:
        model: a published Llama.
        topology: the devices: ``v5p:8x8x8`` for a TPU slice, ``h100:64`` for GPUs.
        batch_tokens: tokens per step, to the nearest number of sequences that the devices can share.
        seq_len: tokens per sequence; by default the model's own context.
        tokens: of the whole run; by default the model's published ones.
        fsdp: devices that share the parameters; by default searched.
        tensor: devices that share each layer; by default searched.
        microbatch: sequences that a tensor group computes at once; by default searched.
        compile: whether to compile the best plan; otherwise the arithmetic stands.
        report: receives a line whenever something long begins.

    Raises:
        InputError: for an unknown model or topology, no plan that can be carried out, or a compiler that is missing.
    """
    entry = find(model)
    request = Request(
        config=entry.config if seq_len is None else dataclasses.replace(entry.config, seq_len=seq_len),
        topology=find_topology(topology),
        batch_tokens=batch_tokens,
        fsdp=fsdp,
        tensor=tensor,
        microbatch=microbatch,
    )
    tokens = entry.tokens if tokens is None else tokens
    answer = assess(request, tokens, compile, report)
    return FeasibleRun(answer, entry.name, tokens, _warnings(answer))


def _sharding(plan: Plan) -> dict[str, int]:
    return {**dataclasses.asdict(plan.parallelism), "microbatch": plan.microbatch, "microbatches": plan.microbatches}


def _warnings(answer: Feasibility) -> tuple[Diagnostic, ...]:
    requested, step = answer.request.batch_tokens, answer.tokens_per_step
    if abs(step / requested - 1) <= _ROUNDED:
        return ()
    tokens = f"a step has {format_quantity(step)} tokens instead of {format_quantity(requested)}"
    return (Diagnostic("batch-rounded", f"{tokens}, to give every device whole sequences"),)


def _text(answer: Feasibility, model: str, tokens: float) -> str:
    topology, times, compiled = answer.request.topology, answer.roofline, answer.compiled
    verdict = "fits" if answer.fits else "does not fit"
    lines = [
        f"{model} on {topology.name} ({topology.chips:,} chips) {verdict}: {_gib(answer.bytes_per_chip)} of "
        f"{_gib(answer.memory)} a chip [{_METHOD[answer.method]}]",
        f"  parameters   {_gib(answer.params):>10}",
        f"  optimizer    {_gib(answer.optimizer):>10}",
        f"  gradients    {_gib(answer.gradients):>10}",
        f"  activations  {_gib(answer.activations):>10}  and all else",
        f"sharding       {describe(answer.plan)}: {format_quantity(answer.tokens_per_step)} tokens a step",
    ]
    if not answer.fits:
        lacking = "not reported by the compiler" if answer.lacking is None else f"{_gib(answer.lacking)} a chip"
        lines += [f"refused        {line}" for line in answer.refused]
        return "\n".join([*lines, f"lacking        {lacking}; {_enough(answer)}"])
    slowest = {"compute": times.compute, "memory": times.memory, "interconnect": times.interconnect}
    parts = ", ".join(f"{name} {_seconds(value)}" for name, value in slowest.items())
    remat = "with every layer rematerialised"
    lines += [
        f"FLOPs a step   {answer.flops:.4g} (every matmul, full attention)",
        f"step           at least {_seconds(times.step)} {remat}, bound by {times.bound} ({parts})",
        f"at most        {format_quantity(answer.tokens_per_s)} tokens/s, MFU {answer.mfu:.0%} (attention causal)",
        f"at least       {_days(answer.days(tokens))} to {format_quantity(tokens)} tokens {remat}",
    ]
    if compiled is not None:
        memory = "" if compiled.host_bytes is None else f" and {_gib(compiled.host_bytes)}"
        cost = f"{compiled.cpu_s:.0f} s of CPU{memory} on this machine"
        lines.append(f"compiled in    {compiled.compile_s:.0f} s for {compiled.devices:,} devices ({cost})")
    return "\n".join(lines)


_METHOD = {
    "compiled": "compiled for it",
    "estimate": "estimate: partitioned program, activations by arithmetic",
    "refused": "refused by the TPU's compiler; the parts by arithmetic",
    "arithmetic": "by arithmetic, not compiled",
}


def _enough(answer: Feasibility) -> str:
    enough, device = answer.enough, answer.request.topology.device.name
    if enough is None:
        unknown = answer.method == "refused" and answer.lacking is None
        return "what would fit is not known" if unknown else f"of {device} no listed one would fit, by the arithmetic"
    what = [enough.topology.name]
    if enough.topology == answer.request.topology:
        what.append(f"without the pins ({describe(enough.plan)})")
    if enough.batch_tokens is not None:
        what.append(f"with --batch-tokens {enough.batch_tokens}")
    return f"{' '.join(what)} would fit, by the arithmetic"


def _gib(size: float) -> str:
    return f"{size / _GIB:,.3g} GiB" if size < 1000 * _GIB else f"{size / _GIB:,.0f} GiB"


def _days(value: float) -> str:
    return f"{value:,.0f} days" if value >= 100 else f"{value:.3g} days"


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"
