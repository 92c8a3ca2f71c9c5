"""A curated folder as sources of a build."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from scaling.data.spec import SourceSpec
from scaling.errors import InputError

CURATED = "curated.json"


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
    return (Path(folder).expanduser() / CURATED).is_file()


def sources_of(folder: str | Path) -> list[SourceSpec]:
    """The sources of a curated folder for a build; those of which nothing stayed are left out.

    Raises:
        InputError: its record is damaged.
    """
    where = Path(folder).expanduser()
    try:
        record = CuratedRecord.model_validate_json((where / CURATED).read_bytes())
    except ValidationError as error:
        raise InputError(f"{where / CURATED}: damaged: {error.errors()[0]['msg']}") from None
    return [
        SourceSpec(
            path=f"{where / source.folder}/*.parquet",
            name=source.name,
            weight=source.weight,
            epochs=source.epochs,
            only=source.only,
        )
        for source in record.sources
        if any((where / source.folder).glob("*.parquet"))
    ]
