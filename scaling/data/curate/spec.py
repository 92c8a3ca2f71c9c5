"""The steps of a curation as its file names them; every default is a published value, with its source beside it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from scaling.data.curate.values import (
    Count,
    Gram,
    Languages,
    Limit,
    Names,
    Paths,
    Rules,
    Share,
    ShareOrOff,
    ShareOrReferences,
    Similarity,
    Switch,
    Thirds,
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LanguageSpec(_Strict):
    """Keeps documents of some languages.

    Attributes:
        keep: codes of the languages, such as ``en`` (ISO 639-1; of some languages three letters).
        least: probability that a document's language is one of those, from which it stays (FineWeb, DCLM: 0.65; CCNet:
            0.5).
        characters: the language is judged by the beginning of a document, so long.
        bytes: shorter documents are kept, as they are too short to be judged.
    """

    keep: Languages
    least: Share = 0.65
    characters: Count = 1000
    bytes: Count = 100


class LinesSpec(_Strict):
    """Cuts lines that stand in many places, as Llama 3 did (2407.21783), compared as CCNet compares them (1911.00359).

    Attributes:
        seen: a line that is there more often is cut, wherever it stands.
        among: documents that ``seen`` is for; of more documents, it grows in proportion.
    """

    seen: Count = 6
    among: Count = 30_000_000


class RulesSpec(_Strict):
    """Drops documents by rules on their statistics.

    Attributes:
        sets: of rules: ``gopher`` (2112.11446), ``fineweb`` (2406.17557), ``c4`` (1910.10683).
        limits: of single rules, by name, in place of the published ones.
    """

    sets: tuple[Literal["gopher", "fineweb", "c4"], ...] = ()
    limits: Mapping[str, Limit] = Field(default_factory=dict)


class QualitySpec(_Strict):
    """Drops documents that a linear classifier tells from references.

    Attributes:
        like: names of the sources that are references, which this step keeps.
        keep: the share of each other source with the highest scores (DCLM: 10 %), or ``references``: documents that
            rather look like a reference (Llama 1).
    """

    like: Names
    keep: ShareOrReferences = "references"


class PerplexitySpec(_Strict):
    """Drops documents by the perplexity of an n-gram model of references, in thirds as CCNet (1911.00359).

    Attributes:
        like: names of the sources that the model is trained on, which this step keeps.
        keep: thirds of each other source, ``head`` with the lowest perplexity.
    """

    like: Names
    keep: Thirds = ("head", "middle")


class NearDuplicatesSpec(_Strict):
    """Drops all but one of documents that nearly repeat one another; every pair is compared exactly.

    Attributes:
        alike: Jaccard similarity of their n-grams from which two are near-duplicates (0.7: FineWeb, 2406.17557).
        words: of an n-gram (5: FineWeb, Gopher).
        contained: drops also documents of which this share of n-grams is in a document that is kept; off by default.
    """

    alike: Similarity = 0.7
    words: Gram = 5
    contained: ShareOrOff = None


class ContaminationSpec(_Strict):
    """Drops training documents that repeat what losses or benchmarks are measured on.

    Attributes:
        evaluations: files, folders or globs of documents as sources have them; ``with`` in a file.
        held_out: the held-out documents of the build too.
        words: of an n-gram (13: GPT-3, 2005.14165; Llama 3 used 8).
        share: of an evaluation document's n-grams that a dropped document repeats at least (0.8: PaLM's 70 %, Llama 2's
            80 %, 2307.09288).
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    evaluations: Paths = Field(default=(), alias="with")
    held_out: Switch = True
    words: Gram = 13
    share: Share = 0.8

    @model_validator(mode="after")
    def _something(self) -> "ContaminationSpec":
        if not self.held_out and not self.evaluations:
            raise ValueError("has nothing to look for: give files as with, or held_out: true")
        return self


class WordListSpec(_Strict):
    """Drops documents with words of a list; none is shipped, as such lists remove dialects (2104.08758).

    Attributes:
        list: a file with a word or phrase a line.
        most: share of a document's words that may be of the list.
    """

    list: str
    most: Share = 0.01


STEPS = (
    *("language", "lines", "private", "rules", "words", "quality", "perplexity", "near_duplicates", "contamination"),
)
"""The steps in the order in which they are done."""


def _step(value: object) -> object:
    """A step as it is meant: ``off``, ``none``, ``any`` and an empty list leave it out."""
    if value is None:
        raise ValueError("is empty; write {} for its defaults, or off")
    return None if value in ("off", "none", "any", False, []) else value


_Item = TypeVar("_Item")
Step = Annotated[_Item | None, BeforeValidator(_step)]


class Curation(_Strict):
    """The steps of a curation; those that are not named are not done.

    Attributes:
        language: which languages stay.
        lines: lines that are cut.
        private: ``mask`` replaces e-mail and IP addresses, as FineWeb.
        rules: sets of rules, and limits of single ones: ``[gopher, fineweb, {gopher.words: [50, 100k]}]``.
        words: a list of words by which documents are dropped.
        quality: a classifier by which documents are dropped.
        perplexity: an n-gram model by which documents are dropped.
        near_duplicates: how near-duplicates are found.
        contamination: evaluations that stay out of the training text.
    """

    language: Step[LanguageSpec] = None
    lines: Step[LinesSpec] = None
    private: Step[Literal["mask"]] = None
    rules: Step[Rules] = None
    words: Step[WordListSpec] = None
    quality: Step[QualitySpec] = None
    perplexity: Step[PerplexitySpec] = None
    near_duplicates: Step[NearDuplicatesSpec] = None
    contamination: Step[ContaminationSpec] = None

    def over(self, other: "Curation") -> "Curation":
        """These steps, and of another curation those that are not named here."""
        return other.model_copy(update={name: getattr(self, name) for name in self.model_fields_set})

    def option(self, step: str) -> Any:
        """The options of a step; None if it is off."""
        value = getattr(self, step)
        if step != "rules" or value is None:
            return value
        limits = {name: limit for item in value if not isinstance(item, str) for name, limit in item.items()}
        return RulesSpec.model_validate({"sets": [item for item in value if isinstance(item, str)], "limits": limits})


def completed(own: object, base: object) -> object:
    """What a file says of a source's steps, with the keys that it leaves to those of all sources."""
    if own in ("off", "none"):
        return dict.fromkeys(STEPS, "off")
    if not isinstance(own, Mapping) or not isinstance(base, Mapping):
        return own
    return {
        step: {**base[step], **options}
        if isinstance(options, Mapping) and isinstance(base.get(step), Mapping)
        else options
        for step, options in own.items()
    }
