"""What is known of a worker: whether it has ended, and the error that ended it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True)
class WorkerError:
    """Why a worker ended before its work was done.

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
    """A worker process, or a task or job elsewhere that starts one."""

    @property
    def ended(self) -> bool:
        """Whether it has ended, for whatever reason."""

    def error(self) -> WorkerError | None:
        """Why an ended worker stopped early; None if its work was done or it was asked to stop."""

    def note(self, error: WorkerError) -> None:
        """Warns the user, and notes in its log, that it ended with an error and that another worker goes on."""

    def terminate(self) -> None:
        """Asks it to save its state and end."""

    def wait(self) -> None:
        """Waits until it has ended; kills it after its period of grace."""
