"""A run's state on disk, through Orbax: written atomically, read back at the newest step."""

from pathlib import Path

import jax
import orbax.checkpoint as ocp

from scaling.train.step import TrainState


class Checkpoints:
    """The checkpoints of one run; the newest two are kept.

    A checkpoint is a flat mapping from each leaf's path to its array, so that no library's container type is part
    of the format.
    """

    def __init__(self, folder: Path) -> None:
        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(self, state: TrainState) -> None:
        """Writes the state under its step; a crash while writing leaves the older checkpoints as they were."""
        self._manager.save(int(state.step), args=ocp.args.StandardSave(_flatten(state)))
        self._manager.wait_until_finished()

    def restore(self, like: TrainState) -> TrainState | None:
        """The newest state, or None if there is none.

        Args:
            like: a state of the same structure, shapes and dtypes.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, _flatten(like))
        leaves = self._manager.restore(step, args=ocp.args.StandardRestore(abstract))
        state: TrainState = jax.tree_util.tree_map_with_path(lambda path, _: leaves[jax.tree_util.keystr(path)], like)
        return state

    def close(self) -> None:
        self._manager.close()


def _flatten(state: TrainState) -> dict[str, jax.Array]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
