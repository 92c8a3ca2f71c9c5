"""``scaling feasible``: whether the full-size run compiles and fits real devices, without having them."""

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from scaling.cli.common import QUANTITY, Quantity, emit_plain, json_option
from scaling.quantity import format_quantity

if TYPE_CHECKING:
    from scaling.feasibility.assess import Feasibility
    from scaling.feasibility.roofline import Plan

_GIB = 2**30
# A batch that grows or shrinks by more is worth a word.
_ROUNDED = 0.05


class Whole(Quantity):
    """A positive whole number as people write it: ``8192``, ``4M``."""

    name = "whole number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if number != int(number) or number > 1e9:
            self.fail(f"{value!r} is not a whole number up to 1e9", param, ctx)
        return int(number)


_WHOLE = Whole()


@click.command()
@click.option("--model", required=True, metavar="NAME", help="A published Llama; `scaling models` lists them.")
@click.option("--topology", required=True, metavar="SPEC", help="Devices: v5p:8x8x8 for a TPU slice, h100:64 for GPUs.")
@click.option(
    "--batch-tokens",
    type=QUANTITY,
    default="4M",
    show_default=True,
    metavar="B",
    help="Tokens per step, to the nearest number of sequences that the devices can share; beyond 5 % the warning "
    "batch-rounded tells.",
)
@click.option("--seq-len", type=_WHOLE, metavar="S", help="Tokens per sequence.  [default: the model's own context]")
@click.option("--tokens", type=QUANTITY, metavar="D", help="Training tokens.  [default: the model's published tokens]")
@click.option("--fsdp", type=_WHOLE, metavar="N", help="Devices that share the parameters.  [default: searched]")
@click.option("--tensor", type=_WHOLE, metavar="N", help="Devices that share each layer.  [default: searched]")
@click.option(
    "--microbatch", type=_WHOLE, metavar="N", help="Sequences a tensor group computes at once.  [default: searched]"
)
@click.option("--compile/--no-compile", "compiling", default=True, help="Compile the winner, or trust the arithmetic.")
@json_option
def command(
    model: str,
    topology: str,
    batch_tokens: float,
    seq_len: int | None,
    tokens: float | None,
    fsdp: int | None,
    tensor: int | None,
    microbatch: int | None,
    compiling: bool,
    as_json: bool,
) -> None:
    """Check that the full-size run compiles and fits the memory of its devices.

    Needs none of the devices. Shardings (FSDP x tensor x microbatch) are compared by arithmetic, and the real
    training step is compiled for the fastest that fits: for a TPU slice by the TPU's own compiler (takes minutes;
    pip install 'scaling-law-toolkit[tpu]'), for GPUs by this machine's for as many devices, which leaves an estimate.
    Where nothing fits, it says by how much, and what would. Every layer is rematerialised (only what enters it is
    kept, the rest is computed again), and the step time is a lower bound of that: compute, memory and interconnect at
    their published speeds, each behind the others.

    \b
    Examples:
      scaling feasible --model llama3-8b --topology v5p:4x4x4
      scaling feasible --model llama3-70b --topology h100:512 --batch-tokens 16M
      scaling feasible --model llama3-70b --topology v5e:16x16 --tensor 8 --no-compile --json
    """
    from scaling.feasibility.assess import assess
    from scaling.feasibility.search import Asked
    from scaling.feasibility.topology import find_topology
    from scaling.llama.zoo import find

    entry = find(model)
    asked = Asked(
        config=entry.config if seq_len is None else dataclasses.replace(entry.config, seq_len=seq_len),
        topology=find_topology(topology),
        batch_tokens=batch_tokens,
        fsdp=fsdp,
        tensor=tensor,
        microbatch=microbatch,
    )
    tokens = entry.tokens if tokens is None else tokens
    answer = assess(asked, tokens, compiling, report=lambda line: click.echo(line, err=True))
    emit_plain(_json(answer, entry.name, tokens), as_json, lambda: _text(answer, entry.name, tokens))


def _json(answer: "Feasibility", model: str, tokens: float) -> dict[str, Any]:
    topology, plan, compiled, times = answer.asked.topology, answer.plan, answer.compiled, answer.roofline
    return {
        "model": model,
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
        "seq_len": answer.asked.config.seq_len,
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
        "warnings": _warnings(answer),
    }


def _sharding(plan: "Plan") -> dict[str, int]:
    return {**dataclasses.asdict(plan.parallelism), "microbatch": plan.microbatch, "microbatches": plan.microbatches}


def _warnings(answer: "Feasibility") -> list[dict[str, str]]:
    asked, step = answer.asked.batch_tokens, answer.tokens_per_step
    if abs(step / asked - 1) <= _ROUNDED:
        return []
    what = f"a step has {format_quantity(step)} tokens instead of {format_quantity(asked)}"
    return [{"code": "batch-rounded", "message": f"{what}, to give every device whole sequences"}]


def _text(answer: "Feasibility", model: str, tokens: float) -> str:
    from scaling.feasibility.assess import describe

    topology, times, compiled = answer.asked.topology, answer.roofline, answer.compiled
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
        lacking = "not told by the compiler" if answer.lacking is None else f"{_gib(answer.lacking)} a chip"
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


def _enough(answer: "Feasibility") -> str:
    from scaling.feasibility.assess import describe

    enough, device = answer.enough, answer.asked.topology.device.name
    if enough is None:
        unknown = answer.method == "refused" and answer.lacking is None
        return "what would fit is not known" if unknown else f"of {device} no listed one would fit, by the arithmetic"
    what = [enough.topology.name]
    if enough.topology == answer.asked.topology:
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
