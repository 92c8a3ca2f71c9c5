"""A curated folder as sources of a build."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from scaling.data.curate.engine.funnel import FUNNEL
from scaling.data.curate.engine.output import DROPPED_TABLE
from scaling.data.spec import SourceSpec
from scaling.errors import InputError

CURATED, PAGE = "curated.json", "funnel.html"


class CuratedSource(BaseModel):
    """A source of a curated folder: its name, its folder, and how much of it a build takes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    folder: str
    weight: float | None
    epochs: float
    only: Literal["train", "held_out"] | None


class CuratedRecord(BaseModel):
    """What a curated folder has: the corpus's name, the share that is held out, its sources."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    held_out: float
    sources: tuple[CuratedSource, ...]


def is_curated(folder: str | Path) -> bool:
    """Whether a curation has made a folder."""
    return os.path.isfile(os.path.join(os.path.expanduser(folder), CURATED))


def own_entries(folder: Path) -> set[str]:
    """Names of what a curation, and the page of it, have written into a folder."""
    try:
        sources = _record(folder).sources
    except (OSError, InputError):
        sources = ()
    return {CURATED, PAGE, FUNNEL, DROPPED_TABLE, *(source.folder for source in sources)}


def held_out_of(folder: str | Path) -> float:
    """The share of a curated folder's documents that a build holds out, as its contamination step has assumed.

    Raises:
        InputError: its record is damaged.
    """
    return _record(Path(os.path.expanduser(folder))).held_out


def sources_of(folder: str | Path) -> list[SourceSpec]:
    """The sources of a curated folder for a build; those of which nothing stayed are left out.

    Raises:
        InputError: its record is damaged.
    """
    where = Path(os.path.expanduser(folder))
    return [
        SourceSpec(
            path=f"{where / source.folder}/*.parquet",
            name=source.name,
            weight=source.weight,
            epochs=source.epochs,
            only=source.only,
        )
        for source in _record(where).sources
        if any((where / source.folder).glob("*.parquet"))
    ]


def _record(folder: Path) -> CuratedRecord:
    try:
        return CuratedRecord.model_validate_json((folder / CURATED).read_bytes())
    except ValidationError as error:
        raise InputError(f"{folder / CURATED}: damaged: {error.errors()[0]['msg']}") from None
