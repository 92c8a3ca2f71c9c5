"""A run's state on disk, through Orbax: written atomically with a digest of every leaf, verified when it is read.

A checkpoint that is torn, changed or unreadable is set aside and named, and the newest that verifies is used.
"""

import contextlib
import errno
import hashlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from jax.tree_util import KeyPath, SequenceKey, keystr

from scaling.llama.parameters import without_halves
from scaling.train.checkpoints.index import last_step, record_step

KEPT = 2
# Of a disk: room for what else is written, and for telling that it is full.
_SPARE_BYTES = 8 * 2**20
_STATE, _DIGESTS = "state", "digests"
_LOG = logging.getLogger(__name__)


@runtime_checkable
class Stepped(Protocol):
    """A state: a pytree of arrays that knows its step."""

    @property
    def step(self) -> Any: ...


State = TypeVar("State", bound=Stepped)


class Checkpoints:
    """The checkpoints of one run: the newest two, and damaged ones moved to the folder ``damaged/``.

    A checkpoint is a flat mapping from each leaf's path to its array, so that no library's container type is part
    of the format, and as flat a mapping to the SHA-256 of its type, shape and bytes. Where several processes share the
    arrays, all of them call every method.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()

    def save(self, state: Stepped) -> None:
        """Writes the state under its step; a crash meanwhile leaves the older checkpoints as they were.

        Raises:
            OSError: it could not be written, for want of space perhaps; nothing of it is left behind.
        """
        step = int(state.step)
        if step in self.steps():
            return
        leaves = leaves_by_name(state)
        self._need(sum(leaf.nbytes for leaf in leaves.values()))
        arguments = ocp.args.Composite(
            **{_STATE: ocp.args.StandardSave(leaves), _DIGESTS: ocp.args.JsonSave(_digests(leaves))}
        )
        try:
            with self._manager() as manager:
                manager.save(step, args=arguments)
                manager.wait_until_finished()
            if jax.process_index() == 0:
                record_step(self._folder, step)
        except Exception as error:  # of the disk, in the words of one library or another
            self._sweep_up(step)
            raise OSError(errno.EIO, f"the checkpoint cannot be written: {_line(error)}", str(self._folder)) from error

    def restore(self, like: State) -> State | None:
        """The newest state whose digests match, or None without any.

        Args:
            like: a state of the same structure, shapes, dtypes and placement.
        """
        steps = sorted(self.steps(), reverse=True)
        written = last_step(self._folder)
        if written is not None and written not in steps and not self._aside(written).exists():
            self._warn(written, "is missing")
        for step in steps:
            leaves, reason = self._verified(step, leaves_by_name(like))
            if leaves is not None:
                state: State = jax.tree_util.tree_map_with_path(
                    lambda path, _, leaves=leaves: leaves[_name(path)], like
                )
                return state
            self._set_aside(step, reason)
        return None

    def steps(self) -> list[int]:
        """Steps of the checkpoints on disk, damaged ones included."""
        if not self._folder.exists():
            return []
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdecimal())

    @contextlib.contextmanager
    def _manager(self) -> Iterator[ocp.CheckpointManager]:
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, enable_async_checkpointing=False)
        names = {_STATE: ocp.StandardCheckpointHandler(), _DIGESTS: ocp.JsonCheckpointHandler()}
        manager = ocp.CheckpointManager(self._folder, options=options, item_handlers=names)
        try:
            yield manager
        finally:
            manager.close()

    def _verified(self, step: int, like: dict[str, jax.Array]) -> tuple[dict[str, jax.Array] | None, str]:
        """A checkpoint's leaves, or the error in it; the same for every process."""
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        arguments = ocp.args.Composite(**{_STATE: ocp.args.StandardRestore(abstract), _DIGESTS: ocp.args.JsonRestore()})
        reason = ""
        leaves: dict[str, jax.Array] = {}
        digests: dict[str, str] = {}
        try:
            with self._manager() as manager:
                found = manager.restore(step, args=arguments)
            leaves, digests = found[_STATE], dict(found[_DIGESTS])
        except PermissionError:  # nothing is wrong with it
            raise
        except Exception as error:  # whatever a reader of damaged files may raise
            reason = f"cannot be read: {_line(error)}"
        if not _everywhere(not reason):
            return None, reason or "cannot be read by another process"
        found_digests = _digests(leaves)
        wrong = sorted(name for name in like if found_digests.get(name) != digests.get(name))
        if not _everywhere(not wrong):
            return None, f"is not what was written: {', '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''}"
        return leaves, ""

    def _set_aside(self, step: int, reason: str) -> None:
        self._warn(step, f"{reason}; set aside")
        if jax.process_index() == 0:
            aside = self._aside(step)
            aside.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(aside, ignore_errors=True)
            (self._folder / str(step)).rename(aside)
        _together(f"set aside {step}")

    def _aside(self, step: int) -> Path:
        return self._folder.with_name("damaged") / str(step)

    def _need(self, size: int) -> None:
        """Raises OSError where the disk has no room for so many bytes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._folder).free
        if free < size + _SPARE_BYTES:
            message = f"a checkpoint takes {size / 2**20:.1f} MiB and the disk has {free / 2**20:.1f} MiB free"
            raise OSError(errno.ENOSPC, message, str(self._folder))

    def _warn(self, step: int, reason: str) -> None:
        if jax.process_index() == 0:
            _LOG.warning("%s: the checkpoint of step %d %s", self._folder, step, reason)

    def _sweep_up(self, step: int) -> None:
        """Removes the files that a failed write has left."""
        for path in self._folder.glob(f"{step}*"):
            if path.is_dir() and path.name.removeprefix(str(step))[:1] in ("", "."):
                shutil.rmtree(path, ignore_errors=True)


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), repr(error))


def leaves_by_name(state: Stepped) -> dict[str, jax.Array]:
    """A state's arrays by their names in a checkpoint, such as ``.optimizer.mu['layers']['qkv'].value``."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {_name(path): leaf for path, leaf in leaves}


def _name(path: KeyPath) -> str:
    """A leaf's name in a checkpoint, independent of the place of its module or of the optimizer's transformation."""
    return keystr(tuple(key for key in without_halves(path) if not isinstance(key, SequenceKey)))


def _digests(leaves: dict[str, jax.Array]) -> dict[str, str]:
    """SHA-256 of the dtype, shape and bytes of each leaf, by name."""
    return {name: _digest(_on_host(leaf)) for name, leaf in leaves.items()}


def _digest(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype.name} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.ndim else array.tobytes())
    return digest.hexdigest()


def _on_host(leaf: jax.Array) -> np.ndarray:
    """The whole array in host memory, gathered from all devices."""
    if leaf.is_fully_addressable:
        return np.asarray(leaf)
    return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))


def _everywhere(flag: bool) -> bool:
    """Whether a condition holds in every process."""
    return flag if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.array(flag)).all())


def _together(name: str) -> None:
    """Waits at a barrier for the other processes."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
