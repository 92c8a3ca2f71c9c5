"""This machine: its cores, whether it has an accelerator, and where compiled programs are kept."""

import importlib.util
import os
from pathlib import Path


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def has_accelerator() -> bool:
    """Whether JAX here has a plugin for something other than the CPU; starts no backend, so it claims no device."""
    if os.environ.get("JAX_PLATFORMS", "") == "cpu":
        return False
    return any(importlib.util.find_spec(name) is not None for name in ("jax_plugins", "libtpu"))


def cache_folder() -> Path:
    """Where compiled programs outlive a process: ``SCALING_CACHE``, or a folder in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SCALING_CACHE") or Path(base, "scaling"))


def use_compile_cache() -> None:
    """Keeps every compiled program, however small and quick to compile, for other workers and later calls."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def worker_environment(pinned: bool) -> dict[str, str]:
    """The environment of a worker; pinned ones compute on one thread, so that results do not depend on the cores."""
    environment = dict(os.environ)
    if pinned:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {flags}".strip()
        environment["OMP_NUM_THREADS"] = environment["OPENBLAS_NUM_THREADS"] = "1"
    return environment
