"""Compiles the full-size training step for devices that are not there, in a process of its own.

Run as ``python -m scaling.feasibility.compile`` in the environment of ``_environment``: reads a Job as JSON from
stdin, writes a Compiled as JSON to stdout. A process of its own, so that the caller's JAX is left alone, the compiler's
memory can be measured, and its death be reported.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TypeVar

from pydantic import TypeAdapter

from scaling.errors import InputError
from scaling.feasibility.roofline import Plan
from scaling.feasibility.topology import Topology
from scaling.llama.config import LlamaConfig

_WORDS = 300  # characters of a refusal; the rest is a dump
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """A training step to compile.

    Attributes:
        config: the model; ``seq_len`` is that of the training sequences.
        plan: how its batch is trained on.
        tpu: libtpu's name of the slice, or None for devices of the host, which a GPU cluster is taken for.
        megacore: whether libtpu needs the flag that shows a chip's two cores as one device.
        tokens: of the whole run, for its recipe.
    """

    config: LlamaConfig
    plan: Plan
    tpu: str | None
    megacore: bool
    tokens: float


@dataclass(frozen=True)
class Compiled:
    """The compiler's figures of a training step on one device.

    Attributes:
        devices: that it was compiled for.
        arguments: bytes of the state and of the batch's tokens.
        outputs: bytes of the new state that do not lie in the arguments' place.
        temporaries: bytes of everything else while a step runs.
        program: bytes of the program itself.
        refusal: the compiler's own words where a step does not fit, else None; the bytes are then 0.
        compile_s: wall seconds.
        cpu_s: of all of the compiler's threads.
        host_bytes: peak memory of the compiling process; None where the system does not report it.
    """

    devices: int
    arguments: int
    outputs: int
    temporaries: int
    program: int
    refusal: str | None
    compile_s: float
    cpu_s: float
    host_bytes: int | None

    @property
    def total(self) -> int | None:
        """Bytes that a step takes; after a refusal those that its words state, or None where they state none."""
        if self.refusal is None:
            return self.arguments + self.outputs + self.temporaries + self.program
        # Two of libtpu's wordings; "temporaries" there has the arguments inside.
        stated = re.search(r"(?:HLO temporaries \(|[Uu]sed )(\d+(?:\.\d+)?)([KMGT])", self.refusal)
        return None if stated is None else int(float(stated[1]) * 2 ** (10 * " KMGT".index(stated[2])))


def check_tpu_compiler() -> None:
    """Checks that libtpu is installed.

    Raises:
        InputError: it is not, and where it can be had.
    """
    from importlib.util import find_spec

    if find_spec("libtpu") is not None:
        return
    if sys.platform == "linux" and platform.machine() == "x86_64":
        raise InputError(
            "the TPU's compiler is missing: pip install 'scaling-law-toolkit[tpu]'; `compile=False` does without"
        )
    raise InputError("the TPU's compiler exists for Linux on x86-64 only; `compile=False` does without")


def compile_step(
    config: LlamaConfig, topology: Topology, plan: Plan, tokens: float, waiting: Callable[[float], None]
) -> Compiled:
    """Compiles the training step of a plan in a process of its own.

    Args:
        config, topology, plan: what to compile, and for what.
        tokens: of the whole run, for its recipe.
        waiting: called about every second with the seconds since it began.

    Raises:
        InputError: the compiler failed for another reason than the device's memory; its last words are in the message.
    """
    tpu = topology.tpu
    name = None if tpu is None else f"{tpu.compiler_name}:{'x'.join(map(str, topology.sides))}"
    job = Job(config, plan, name, tpu is not None and tpu.megacore, tokens)
    command = [sys.executable, "-m", "scaling.feasibility.compile"]
    started = time.monotonic()
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as log,
        tempfile.TemporaryFile("w+") as given,
    ):
        json.dump(asdict(job), given)
        given.seek(0)
        process = subprocess.Popen(command, stdin=given, stdout=out, stderr=log, env=_environment(topology))
        try:
            while process.poll() is None:
                time.sleep(0.2)
                waiting(time.monotonic() - started)
        finally:
            process.kill()
            process.wait()
        out.seek(0)
        log.seek(0)
        if process.returncode == 0:
            return _read(Compiled, out.read())
        words = [line.strip() for line in log.read().splitlines() if line.strip()]
    if process.returncode == -9:
        raise InputError(f"the compiler for {topology.name} was killed: the memory of this machine was probably short")
    raise InputError(f"the compiler for {topology.name} failed: {words[-1] if words else process.returncode}")


def _environment(topology: Topology) -> dict[str, str]:
    """Environment of the compiling process: no TPU is looked for, and JAX takes the CPU for a GPU cluster's devices."""
    environment = dict(os.environ) | {"JAX_PLATFORMS": "cpu"}
    if topology.tpu is None:
        environment["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={topology.devices}"
        return environment
    return environment | {
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_WORKER_HOSTNAMES": "localhost",
        "TPU_ACCELERATOR_TYPE": topology.tpu.accelerator_type,
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # there is no TPU to be fought for
        "TPU_LOG_DIR": "disabled",
        "TPU_MIN_LOG_LEVEL": "3",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def _read(kind: type[T], text: str) -> T:
    return TypeAdapter(kind).validate_json(text)


def _compile(job: Job) -> Compiled:
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.experimental import topologies
    from jax.sharding import NamedSharding, PartitionSpec

    from scaling.llama.sharding import BATCH, Execution, make_mesh, stored
    from scaling.train.optimizer import make_hyper
    from scaling.train.recipe import RECIPES, Overrides
    from scaling.train.step import abstract_state, make_step

    if job.tpu is None:
        devices = jax.devices()
    else:
        options = {"chip_config_name": "megacore"} if job.megacore else {}
        devices = topologies.get_topology_desc(platform="tpu", topology_name=job.tpu, **options).devices
    config, plan, split = job.config, job.plan, job.plan.parallelism
    mesh = make_mesh(np.array(devices), (split.data, split.fsdp, split.tensor))
    execution = Execution(
        attention="chunked" if job.tpu is None else "splash",
        remat="full",
        mesh=mesh,
        microbatches=plan.microbatches,
    )
    batch_tokens = plan.batch * config.seq_len
    chosen = Overrides(schedule="cosine", decay=None, batch_tokens=batch_tokens)
    recipe = RECIPES["llama"](config, job.tokens, chosen)
    step = make_step(config, "bfloat16", recipe.schedule.kind, recipe.beta1, recipe.beta2, execution)
    state = abstract_state(config)
    hyper = jax.eval_shape(lambda: make_hyper(recipe, 1))  # how many steps does not matter to the program
    windows = jax.ShapeDtypeStruct((plan.batch, config.seq_len + 1), jnp.int32)
    everywhere = NamedSharding(mesh, PartitionSpec())
    at = (stored(state, mesh), jax.tree.map(lambda _: everywhere, hyper), NamedSharding(mesh, PartitionSpec(BATCH)))
    started = time.monotonic()
    jitted = jax.jit(step, donate_argnums=0, in_shardings=at, out_shardings=(at[0], everywhere))
    refusal, sizes = None, (0, 0, 0, 0)
    try:
        memory = jitted.lower(state, hyper, windows).compile().memory_analysis()
        assert memory is not None
        sizes = (
            memory.argument_size_in_bytes,
            memory.output_size_in_bytes - memory.alias_size_in_bytes,
            memory.temp_size_in_bytes,
            memory.generated_code_size_in_bytes,
        )
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        refusal = " ".join(str(error).split())[:_WORDS]
    return Compiled(
        len(devices),
        *sizes,
        refusal=refusal,
        compile_s=time.monotonic() - started,
        cpu_s=time.process_time(),
        host_bytes=_peak_bytes(),
    )


def _peak_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    print(json.dumps(asdict(_compile(_read(Job, sys.stdin.read())))))
