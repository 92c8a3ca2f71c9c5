"""A process group: several workers, one per rank, that train each run together."""

from collections.abc import Iterable, Sequence

from scaling.sweep.workers.worker_handle import WorkerError, WorkerHandle


class ProcessGroup:
    """The ``WorkerHandle`` of several workers that train together, none of which can go on without the others.

    Args:
        members: the worker of each rank.
    """

    def __init__(self, members: Sequence[WorkerHandle]) -> None:
        self._members = members

    @property
    def ended(self) -> bool:
        """Whether all members have ended, or one with an error."""
        return self.error() is not None or all(member.ended for member in self._members)

    def error(self) -> WorkerError | None:
        """The error of the member that failed first: see ``root_cause``."""
        return root_cause(member.error() for member in self._members if member.ended)

    def note(self, error: WorkerError) -> None:
        """Warns once for all members."""
        self._members[0].note(error)

    def terminate(self) -> None:
        """Requests every member to save its state and end."""
        for member in self._members:
            member.terminate()

    def wait(self) -> None:
        """Requests the members still at work to end, and waits until all have ended."""
        for member in self._members:
            if not member.ended:
                member.terminate()
        for member in self._members:
            member.wait()


def root_cause(errors: Iterable[WorkerError | None]) -> WorkerError | None:
    """The first error of a group, which no other member's end caused; None without an error."""
    return max((error for error in errors if error), key=lambda error: (error.fatal, error.killed), default=None)
