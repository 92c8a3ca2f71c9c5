"""Where prompts and answers come from, and how they are read: the ``data`` of a stage."""

from collections.abc import Callable
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, StrictBool, model_serializer, model_validator

from scaling.data.spec import Share

Column = Literal["messages", "prompt", "completion", "chosen", "rejected", "score_chosen", "score_rejected"]
COLUMNS: tuple[Column, ...] = get_args(Column)
_OF_HF = {"subset", "split"}
_OF_FILES = {"columns", "template", "truncate", "margin", "safety", "held_out", "on_error"}


class AnswersSpec(BaseModel):
    """Prompts and answers: exactly one of ``name``, ``path`` and ``hf``.

    Attributes:
        name: ``sentences``: of the State of the Union addresses; the prompt is their first 32 bytes.
        path: a file, a folder (every file below it) or a glob, from the working directory: JSON lines, an array of
            objects, or Parquet, also compressed. Or a folder that ``scaling data build --as`` has made.
        hf: a Hugging Face dataset: a folder written by ``save_to_disk``, a folder of data files, or a name on the hub.
        subset: of ``hf``, its configuration.
        split: of ``hf``.
        columns: what columns are called that are not called ``messages``, ``prompt``, ``completion``, ``chosen``,
            ``rejected``, ``score_chosen`` and ``score_rejected``.
        template: how messages become text: ``bytes``, ``chatml``, ``llama3``, ``transcript``, ``plain``, a file of
            Jinja, a ``tokenizer_config.json``, or a folder with one; else that of the model's tokenizer.
        truncate: cut examples that are too long at their end, rather than leave them out.
        margin: the column that says how much better the chosen answer is: a number from 0 to 3, or the words of
            Llama 2's raters.
        safety: the column that says whether a pair is about safety.
        held_out: share of the prompts that is never trained on.
        on_error: ``skip`` leaves out rows that are wrong, and counts them; with ``stop`` they are errors.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["sentences"] | None = None
    path: str | None = None
    hf: str | None = None
    subset: str | None = None
    split: str = "train"
    columns: dict[Column, str] = {}
    template: str | None = None
    truncate: StrictBool = False
    margin: str | None = None
    safety: str | None = None
    held_out: Share = 0.05
    on_error: Literal["stop", "skip"] = "stop"

    @model_validator(mode="after")
    def _one_place(self) -> "AnswersSpec":
        given = [place for place in ("name", "path", "hf") if getattr(self, place) is not None]
        if len(given) != 1:
            raise ValueError("needs exactly one of name, path and hf")
        wrong = {"name": _OF_HF | _OF_FILES, "path": _OF_HF, "hf": set()}[given[0]]
        if unused := sorted(wrong & self.model_fields_set):
            raise ValueError(f"{unused[0]} does not apply to {given[0]}")
        return self

    @model_serializer(mode="wrap")
    def _of_its_place(self, content: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Every option that applies, with its default."""
        unused = _OF_HF | _OF_FILES if self.name else set() if self.hf else _OF_HF
        unused = unused | {place for place in ("name", "path", "hf") if getattr(self, place) is None}
        return {key: value for key, value in content(self).items() if key not in unused}

    @property
    def where(self) -> str:
        """What is read, for messages."""
        return self.name or self.path or f"hf: {self.hf}"

    def options(self) -> list[str]:
        """The options of files of text that are not their defaults; they do not apply to rows that are ids already."""
        fields = type(self).model_fields
        return sorted(name for name in _OF_FILES if getattr(self, name) != fields[name].default)
