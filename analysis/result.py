"""What every result offers: the text of its command, its JSON object, and a table."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from analysis.diagnostics.codes import Diagnostic

if TYPE_CHECKING:
    import pandas as pd


class Result(ABC):
    """A frozen result. ``print(result)`` shows what its command prints, as IPython does; a notebook shows
    :meth:`to_frame`.

    Attributes:
        warnings: what an expert would say about it.
    """

    warnings: tuple[Diagnostic, ...]

    @abstractmethod
    def __str__(self) -> str:
        """The text that the command prints, without its warnings."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The object that the command prints with ``--json``."""

    @abstractmethod
    def to_frame(self) -> "pd.DataFrame":
        """The result as a table."""

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The warnings, each with a code and a message."""
        return self.warnings

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """The plain text that IPython shows. Its ``_repr_pretty_`` would yield to the ``__repr__`` of a dataclass."""
        return {"text/plain": str(self)}

    def _repr_html_(self) -> str:
        """The table and the warnings, as a notebook shows them."""
        from html import escape

        notes = "".join(f"<p>warning: {escape(w.message)} [{escape(w.code)}]</p>" for w in self.diagnostics)
        return self.to_frame().to_html() + notes
