"""This machine: its cores, its accelerator if it has one, and the cache of compiled programs."""

import functools
import glob
import importlib.util
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_PLUGINS = ("jax_plugins",)
# libtpu is also there for its compiler alone; where there is a TPU, so is one of these.
_TPU_PLUGIN = "libtpu"
_TPU_FILES = ("/dev/accel*", "/dev/vfio/[0-9]*")
_PROBE = (
    "import jax; devices = jax.local_devices(); "
    "print(jax.default_backend(), devices[0].device_kind, len(devices), sep='\\n')"
)
_PROBE_S = 120.0
_GLIBC = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184"


def visible_cores() -> list[int]:
    """Numbers of the cores that this process may be scheduled on."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def cores() -> list[int]:
    """Numbers of the cores that this process may keep busy: the visible ones, as many as the CPU quota allows."""
    visible = visible_cores()
    try:
        quota, period = _QUOTA.read_text().split()
    except (OSError, ValueError):
        return visible
    if quota == "max":
        return visible
    count = min(len(visible), max(1, int(quota) // int(period)))
    # At random, lest every container of a host pins its workers to the first cores.
    return sorted(random.sample(visible, count))


def accelerator() -> str | None:
    """JAX's name of the accelerator here, for example ``NVIDIA H100 80GB HBM3``; None if there is only the CPU."""
    found = _accelerator()
    return None if found is None else found[1]


def gpus() -> list[str]:
    """The visible GPUs by their names in CUDA_VISIBLE_DEVICES."""
    found = _accelerator()
    if found is None or found[0] not in ("gpu", "cuda"):
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(index) for index in range(found[2])]


@functools.cache
def _accelerator() -> tuple[str, str, int] | None:
    """Platform, kind and number of the accelerators here.

    Where a plugin for one is installed, a short process queries JAX, so that this one claims no device.
    """
    plugins = (*_PLUGINS, _TPU_PLUGIN) if any(glob.glob(pattern) for pattern in _TPU_FILES) else _PLUGINS
    plugin = any(importlib.util.find_spec(name) is not None for name in plugins)
    if not plugin or os.environ.get("JAX_PLATFORMS", "") == "cpu":
        return None
    try:
        probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_S)
    except subprocess.TimeoutExpired:
        return None
    answer = probe.stdout.splitlines()[-3:]
    if probe.returncode != 0 or len(answer) != 3 or answer[0] == "cpu":
        return None
    return answer[0], answer[1], int(answer[2])


def cache_folder() -> Path:
    """Folder of the persistent cache: ``SCALING_CACHE``, or a folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SCALING_CACHE") or Path(base, "scaling"))


def use_compile_cache() -> None:
    """Makes JAX cache every compiled program, however small, for other workers and later calls."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


class CompileClock:
    """A clock of the seconds that its thread spends on lowering, compiling and reading compiled programs."""

    _EVENTS = ("/jax/core/compile/jaxpr_to_mlir_module_duration", "/jax/core/compile/backend_compile_duration")

    def __init__(self) -> None:
        import jax.monitoring

        self.seconds, self._thread = 0.0, threading.get_ident()
        jax.monitoring.register_event_duration_secs_listener(self._hear)

    def _hear(self, event: str, duration_secs: float, **kwargs: str | int) -> None:  # noqa: ARG002
        if event in self._EVENTS and threading.get_ident() == self._thread:
            self.seconds += duration_secs


def worker_environment(pinned: bool) -> dict[str, str]:
    """Environment of a worker; a pinned one computes on one thread, so that results do not depend on the cores.

    Every dispatch takes tens of megabytes and gives them back. With glibc's usual settings they go back to the system,
    and come as small pages that are cleared one by one: a tenth to a fifth of a step of a few megabytes of parameters.
    """
    environment = dict(os.environ)
    environment.setdefault("GLIBC_TUNABLES", _GLIBC)
    if pinned:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {flags}".strip()
        environment["OMP_NUM_THREADS"] = environment["OPENBLAS_NUM_THREADS"] = "1"
    return environment
