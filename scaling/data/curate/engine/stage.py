"""A step of a curation while it runs: its documents, its options for each source, and tasks with cached results."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.data.curate.engine.decision import Reason
from scaling.data.curate.engine.filtering import TALLY, filter_part
from scaling.data.curate.engine.tasks import Task, undone
from scaling.data.curate.engine.view import PartView

Tasks = Callable[[str, Sequence[Task]], None]
"""Does tasks, and reports the progress of the step that is named."""


@dataclass(frozen=True)
class Sources:
    """What steps know of the sources, in the order of the file.

    Attributes:
        names: of the sources.
        only: the side of the split that a source is for: ``train``, ``held_out`` or None for both.
        held_out: share of the documents that a build holds out.
    """

    names: tuple[str, ...]
    only: tuple[str | None, ...]
    held_out: float

    def preference(self, source: int) -> tuple[bool, int]:
        """Sorts the sources: the first is that whose copy of a text stays."""
        return self.only[source] != "held_out", source


@dataclass
class Stage:
    """A step while it runs.

    Attributes:
        step: its name.
        options: of the step, for each source; None where it is off.
        sources: what is known of them.
        parts: the documents, in order.
        folder: of the step's results, named by all that decides them.
        do: does tasks.
        left: the documents that the step leaves; its parts until it has filtered them.
        warnings: codes and messages.
        notes: content for the page.
    """

    step: str
    options: tuple[Any, ...]
    sources: Sources
    parts: Sequence[PartView]
    folder: Path
    do: Tasks
    left: Sequence[PartView] = ()
    warnings: list[tuple[str, str]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sources."""
        return self.sources.names

    @property
    def only(self) -> tuple[str | None, ...]:
        """The side of the split that each source is for; None for both."""
        return self.sources.only

    @property
    def held_out(self) -> float:
        """Share of the documents that a build holds out."""
        return self.sources.held_out

    def survey(self, name: str, function: Callable[..., None], *shared: Any) -> list[Path]:
        """A task a part: ``function(folder, view, options of its source, *shared)``; returns the folders.

        Args:
            name: of the survey, unique in the step.
            function: of a module, which writes files into the folder.
            shared: further arguments, the same for all parts.
        """
        return self._all(
            name,
            [
                Task(
                    self.folder / name / f"{view.number:06}",
                    function,
                    (view, self.options[view.source], *shared),
                    view.bytes,
                    view.count,
                )
                for view in self.parts
            ],
        )

    def tasks(self, name: str, function: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> list[Path]:
        """Tasks in parallel: ``function(folder, *arguments)``; returns the folders."""
        return self._all(
            name, [Task(self.folder / name / f"{number:06}", function, each) for number, each in enumerate(arguments)]
        )

    def filter(
        self,
        decide: Callable[..., Any],
        state: Path | None,
        reasons: Callable[[Any, int], Sequence[Reason]],
        texts_change: bool = False,
    ) -> None:
        """Applies the step: ``decide(batch, options, state)`` to every batch of the sources where it is not off.

        Args:
            decide: of a module; returns a Decision. Of a part-wise state it takes the part's: see ``states``.
            state: what the step has prepared for all parts.
            reasons: why it drops documents, by the options and the place of a source.
            texts_change: whether decisions may change texts.
        """
        self.filter_by_part(decide, [state] * len(self.parts), reasons, texts_change)

    def filter_by_part(
        self,
        decide: Callable[..., Any],
        states: Sequence[Path | None],
        reasons: Callable[[Any, int], Sequence[Reason]],
        texts_change: bool = False,
    ) -> None:
        """As :meth:`filter`, with a state for each part."""
        folders = self._all(
            "left",
            [
                Task(
                    self.folder / "left" / f"{view.number:06}",
                    filter_part,
                    (
                        view,
                        decide,
                        options,
                        state,
                        () if options is None else tuple(reasons(options, view.source)),
                        texts_change,
                    ),
                    view.bytes,
                    view.count,
                )
                for view, state in zip(self.parts, states, strict=True)
                for options in [self.options[view.source]]
            ],
        )
        self.left = [view.after(folder, *_left(folder)) for view, folder in zip(self.parts, folders, strict=True)]

    def scores(self, name: str) -> list[Any]:
        """A score of earlier steps for each part's documents; None where there is none."""
        return [view.scores().get(name) for view in self.parts]

    def warn(self, code: str, message: str) -> None:
        """Adds a warning."""
        self.warnings.append((code, message))

    def note(self, key: str, value: Any) -> None:
        """Adds content for the page."""
        self.notes[key] = value

    def tallies(self) -> Iterator[dict[str, Any]]:
        """Of each part."""
        for view in self.left:
            yield json.loads((view.history[-1] / TALLY).read_text())

    def _all(self, name: str, tasks: list[Task]) -> list[Path]:
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.do(self.step, undone(tasks))
        return [task.folder for task in tasks]


def _left(folder: Path) -> tuple[int, int]:
    tally = json.loads((folder / TALLY).read_text())
    documents = tally["reached"] - sum(reason["documents"] for reason in tally["reasons"])
    size = tally["reached_bytes"] - sum(reason["bytes"] for reason in tally["reasons"]) - tally["changed_bytes"]
    return documents, size


def key_of(*content: Any) -> str:
    """Names the results of a step by all that decides them."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]
