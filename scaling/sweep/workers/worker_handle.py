"""The handle of a worker: whether it has ended, and the error that ended it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class WorkerError:
    """The error that ended a worker before its work was done.

    Attributes:
        message: a line for the user.
        fatal: no other worker would fare better.
        killed: it was ended from outside.
    """

    message: str
    fatal: bool
    killed: bool = False


@runtime_checkable
class WorkerHandle(Protocol):
    """The handle of a worker process, or of a task or job elsewhere that starts one."""

    @property
    def ended(self) -> bool:
        """Whether the worker has ended, for whatever reason."""

    def error(self) -> WorkerError | None:
        """The error that ended the worker early; None if its work was done or a stop was requested."""

    def note(self, error: WorkerError) -> None:
        """Warns the user, and its log, that the worker ended with an error and another one continues."""

    def terminate(self) -> None:
        """Requests the worker to save its state and end."""

    def wait(self) -> None:
        """Waits until the worker has ended; kills it after its period of grace."""
