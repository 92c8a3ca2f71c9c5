"""The data file of ``scaling data build``: sources, a tokenizer, and the share that is held out."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from scaling.data.curate.spec import Curation, completed
from scaling.data.formats.recognise import Format
from scaling.data.named.domains import DomainName
from scaling.errors import InputError
from scaling.quantity import parse_quantity


def _positive(value: object) -> float:
    if not isinstance(value, str | int | float) or isinstance(value, bool) or parse_quantity(value) <= 0:
        raise ValueError("must be a positive number such as 2, 64k or 40%")
    return parse_quantity(value)


def _count(value: object) -> int:
    number = _positive(value)
    if not number.is_integer() or number > 2**32:
        raise ValueError("must be a whole number, such as 8k, of at most 2^32")
    return int(number)


def _share(value: object) -> float:
    number = _positive(value)
    if number >= 1:
        raise ValueError("must be a fraction between 0 and 1, such as 5%")
    return number


# Options that apply to one of the places only.
_OF_PLACE = {"path": {"format", "piece", "dtype", "text"}, "corpus": set(), "hf": {"subset", "split", "text"}}
_APPLIES: dict[str, set[Format]] = {
    "text": {"jsonl", "json", "csv", "parquet", "arrow", "hf"},
    "piece": {"text"},
    "dtype": {"tokens"},
}
_CALLED = {"text": "plain text", "tokens": "token ids", "megatron": "token ids of Megatron, with their index"}
_CALLED |= {"html": "a page of HTML", "warc": "a web archive"}

Positive = Annotated[float, BeforeValidator(_positive)]
Count = Annotated[int, BeforeValidator(_count)]
Share = Annotated[float, BeforeValidator(_share)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSpec(_Strict):
    """A source of documents: exactly one of ``path``, ``corpus`` and ``hf``.

    Attributes:
        path: a file, a folder (every file below it) or a glob, from the working directory. The content decides the
            format: JSON lines, an array of objects or objects over several lines, CSV or TSV with a header, Parquet,
            Arrow, web archives (WARC, WET), pages of HTML, token ids (``.bin`` of nanoGPT or llm.c, ``.npy``, or
            Megatron's where an ``.idx`` has the same name), else text; all but Parquet, Arrow and ids may be compressed
            by gzip, bzip2, zstd, xz or lz4. Of a folder, empty files, markers such as ``_SUCCESS`` and leftovers such
            as ``a.jsonl~`` are skipped.
        corpus: a domain of installed packages, as in a sweep: ``speech``, ``code``, ``docs``, ``law``, ``scripture``.
        format: where the content misleads: ``text`` (of a page of HTML, its source), ``jsonl``, ``json``, ``csv``,
            ``html``, ``warc`` or ``tokens``.
        hf: a Hugging Face dataset: a folder written by ``save_to_disk``, a folder of data files, or a name on the hub,
            which is streamed.
        subset: of ``hf``, its configuration.
        split: of ``hf``.
        text: the key, column or feature that holds the text.
        name: of the source, in counts; its path, domain or dataset if not given.
        weight: its share of the training tokens, in proportion to the other sources' weights.
        epochs: how often its text may be repeated in one pass over the mixture: exactly so often without weights, at
            most with them.
        only: where all of it goes, for text that others have split: ``train`` or ``held_out``.
        piece: bytes that a text file's documents have at most; a longer file is cut between paragraphs, lines or words.
        dtype: of token ids without a header, ``uint16`` if not given.
        curate: steps of the curation that are other ones for this source, or ``off``.
    """

    path: str | None = None
    corpus: DomainName | None = None
    hf: str | None = None
    subset: str | None = None
    split: str = "train"
    text: str = "text"
    name: str = ""
    weight: Positive | None = None
    epochs: Positive = 1.0
    only: Literal["train", "held_out"] | None = None
    piece: Count = 2**20
    dtype: Literal["uint16", "uint32", "int32", "int64"] = "uint16"
    format: Literal["text", "jsonl", "json", "csv", "html", "warc", "tokens"] | None = None
    curate: Curation | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_path(cls, value: object) -> object:
        return {"path": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_place(self) -> "SourceSpec":
        places = [place for place in _OF_PLACE if getattr(self, place) is not None]
        if len(places) != 1:
            raise ValueError("needs exactly one of path, corpus and hf")
        wrong = set().union(*_OF_PLACE.values()) - _OF_PLACE[places[0]]
        if unused := sorted(wrong & self.model_fields_set):
            raise ValueError(f"{unused[0]} does not apply to {places[0]}")
        return self

    def check_options(self, files: Mapping[Format, str]) -> None:
        """Checks that each option that was given applies to some of the files.

        Args:
            files: a file of each format that was found.

        Raises:
            InputError: one does not.
        """
        for option, formats in _APPLIES.items():
            if option in self.model_fields_set and files and not formats & files.keys():
                format, file = next(iter(files.items()))
                raise InputError(f"{file}: the option {option} does not apply: it is {_CALLED.get(format, format)}")

    def curation(self, base: Curation) -> Curation:
        """The steps for this source, where ``base`` are those of all sources."""
        return base if self.curate is None else self.curate.over(base)

    @property
    def label(self) -> str:
        """The source's name in counts and violations."""
        return self.name or self.path or self.corpus or self.hf or ""


class TokenizerSpec(_Strict):
    """A tokenizer: exactly one of ``name``, ``file``, ``bpe`` and ``ids``, or one word as on the command line.

    Attributes:
        name: ``bytes``: every byte is a token.
        file: a Hugging Face ``tokenizer.json``, a file of tiktoken's ranks (``.tiktoken``, or the ``tokenizer.model``
            of Llama 3) or a SentencePiece ``.model``, told apart by their content; or a folder with one of them.
        bpe: entries of a vocabulary to train here, byte-level BPE, on the training text.
        ids: entries of the vocabulary of token files whose tokenizer is not available; needs ``end``.
        end: the token that closes a document, as text or id, where the file does not name it. tiktoken's ranks name
            none: those of GPT-2, cl100k, o200k, Llama 3, Llama 4 and Qwen are known by their number; of others it is
            the id after the last, or one given here.
        pattern: of tiktoken's ranks, which have none: the regular expression that splits text; if not given, the one
            of the ranks that are known, else cl100k's.
    """

    name: Literal["bytes"] | None = None
    file: str | None = None
    bpe: Count | None = None
    ids: Count | None = None
    end: str | int | None = None
    pattern: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.startswith("bpe:"):
            return {"bpe": value.removeprefix("bpe:")}
        return {"name": value} if value == "bytes" else {"file": value}

    @model_validator(mode="after")
    def _one_kind(self) -> "TokenizerSpec":
        if sum(given is not None for given in (self.name, self.file, self.bpe, self.ids)) != 1:
            raise ValueError("needs exactly one of name, file, bpe and ids")
        if self.bpe is not None and not 257 <= self.bpe <= 2**20:
            raise ValueError(f"bpe: {self.bpe} entries; a byte-level vocabulary has 257 at least and 2^20 at most")
        if self.ids is not None and not (isinstance(self.end, int) or (self.end or "").isdecimal()):
            raise ValueError("ids needs end, the id that closes a document")
        if self.end is not None and (self.name or self.bpe) is not None:
            raise ValueError(f"end does not apply to {'bytes' if self.name else 'bpe'}, which has its own")
        if self.pattern is not None and self.file is None:
            raise ValueError("pattern applies to tiktoken's ranks only")
        return self


class BuildSpec(_Strict):
    """A data file.

    Attributes:
        name: of the corpus, in a table of runs.
        sources: one at least; all of them have a weight, or none.
        tokenizer: one for all.
        held_out: share of the documents that is never trained on.
        curate: steps that decide which documents stay, done before the build.
    """

    name: str
    sources: tuple[SourceSpec, ...]
    tokenizer: TokenizerSpec = TokenizerSpec(name="bytes")
    held_out: Share = 0.05
    curate: Curation | None = None

    @model_validator(mode="before")
    @classmethod
    def _complete_steps(cls, value: object) -> object:
        if not isinstance(value, dict) or not isinstance(value.get("sources"), list):
            return value
        sources = [
            {**source, "curate": completed(source["curate"], value.get("curate"))}
            if isinstance(source, dict) and "curate" in source
            else source
            for source in value["sources"]
        ]
        return {**value, "sources": sources}

    @property
    def has_steps(self) -> bool:
        """Whether there are steps of a curation."""
        return self.curate is not None or any(source.curate is not None for source in self.sources)

    @model_validator(mode="after")
    def _consistent(self) -> "BuildSpec":
        if not self.sources:
            raise ValueError("sources: the list is empty")
        if len({source.weight is None for source in self.sources}) > 1:
            raise ValueError("sources: give every source a weight, or none")
        labels = [source.label for source in self.sources]
        if len(set(labels)) < len(labels):
            raise ValueError("sources: two have one name; give each its own")
        if "held_out" in self.model_fields_set and all(source.only for source in self.sources):
            raise ValueError("held_out does not apply: every source says which side it is on, with only")
        return self
