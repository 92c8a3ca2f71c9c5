"""A chain's file read into a Chain: all violations at once, each with its file, line and column."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError, model_validator

from scaling.data.answers.spec import AnswersSpec
from scaling.errors import InputError
from scaling.llama.parallelism import Remat
from scaling.posttrain.config import STAGES
from scaling.sweep.spec.arrangement import Arrangement, MeshChoice
from scaling.sweep.spec.fields import Count, Name, Strict, show
from scaling.sweep.spec.shapes import ShapeRule
from scaling.sweep.spec.sweep_file import fit_vocab, shape_violations
from scaling.sweep.spec.sweep_spec import CorpusChoice, SweepSpec
from scaling.sweep.spec.violations import dotted, lines_of, read_mapping, violation_of
from scaling.sweep.spec.yaml_locations import Located, Violations, expand, override, read_file
from scaling.sweep.stages.spec import KINDS, Reference, Stage

PRETRAIN = "pretrain"
_FOLDER: TypeAdapter[str] = TypeAdapter(Name)  # each stage has a folder of its name
_SHORTHANDS = {"corpus": "name"}
_SHARED = ("model", "corpus", "dtype", "eval_tokens")


class Head(Strict):
    """What a chain's stages share; keys as of a sweep.

    Attributes:
        name: of the chain and of its folder.
        model, corpus: of the stages that pre-train; not needed where there are none.
        dtype, eval_tokens: as of a sweep.
        mesh, microbatches, remat: as of a sweep.
    """

    name: Name
    model: ShapeRule | None = None
    corpus: CorpusChoice | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    eval_tokens: Count | None = None
    mesh: MeshChoice | None = None
    microbatches: Count = 1
    remat: Remat = "none"

    @property
    def arrangement(self) -> Arrangement:
        """The arrangement of all runs on devices."""
        return Arrangement(mesh=self.mesh, microbatches=self.microbatches, remat=self.remat)


class Pretraining(SweepSpec):
    """A stage that pre-trains: a sweep, which may have no target and then forecasts nothing."""

    @model_validator(mode="after")
    def _forecasts_or_tunes(self) -> "Pretraining":
        if self.grid is not None:
            raise ValueError("grid: a chain's stages tune nothing; tune by a sweep of its own first")
        if self.mixed:
            raise ValueError("mixtures: a chain's stages choose none; choose one by a sweep of its own")
        return self


@dataclass(frozen=True)
class ChainStage:
    """A stage of a chain by its name and kind, with the location of its values."""

    name: str
    kind: str
    spec: Pretraining | Stage
    located: Located

    def where(self, *path: str | int) -> str:
        """Location of a value in the file, or of the nearest value around it."""
        return str(self.located.find(path).location)


@dataclass(frozen=True)
class Chain:
    """A validated chain: its head, and its stages in order."""

    head: Head
    stages: tuple[ChainStage, ...]

    def stage(self, name: str) -> ChainStage | None:
        """The stage of a name."""
        return next((stage for stage in self.stages if stage.name == name), None)


def is_chain(text: str) -> bool:
    """Whether the text of a file is that of a chain: a mapping with the key ``stages``."""
    try:
        return "stages" in read_mapping(text, "", "sweep file")[1]
    except InputError:
        return False


def load_chain(path: str | Path, overrides: Sequence[str] = ()) -> Chain:
    """Reads a chain's file; as ``load_sweep`` reads a sweep's."""
    return parse_chain(read_file(path, "sweep file"), str(path), overrides)


def parse_chain(text: str, name: str, overrides: Sequence[str] = ()) -> Chain:
    """Validates the text of a chain's file, which messages call ``name``.

    Raises:
        InputError: every violation, as ``file:line:column: message``.
    """
    root, items, violations = read_mapping(text, name, "sweep file")
    for assignment in overrides:
        violations += override(root, assignment, _SHORTHANDS)
    for key in items.keys() & _SHORTHANDS.keys():
        items[key] = expand(items[key], _SHORTHANDS[key])
    blocks = items.pop("stages")
    head, wrong = _validated(Head, root, root.plain(), "")
    violations += wrong
    stages: list[ChainStage] = []
    broken: set[str] = set()
    if not isinstance(blocks.value, dict) or not blocks.value:
        violations.append((blocks.location, f"stages: maps names to stages, not {show(blocks.plain())}"))
    else:
        shared: dict[str, Any] = {key: items[key].plain() for key in _SHARED if key in items}
        violations += [(root.find(path).location, f"{dotted(path)}: {message}") for path, message in fit_vocab(shared)]
        for key, block in blocks.value.items():
            stage, wrong = _stage(key, block, shared)
            violations += wrong
            stages += [] if stage is None else [stage]
            broken |= set() if stage is not None else {str(key)}
    violations += _misplaced(stages, broken)
    violations += _split_otherwise(stages)
    if violations:
        raise InputError(lines_of(violations))
    assert head is not None
    return Chain(head, tuple(stages))


def _stage(name: str, block: Located, shared: dict[str, Any]) -> tuple[ChainStage | None, Violations]:
    """A stage by its name, or the violations of its block."""
    if not isinstance(block.value, dict):
        return None, [(block.location, f"stages.{name}: must be a mapping, not {show(block.plain())}")]
    try:
        _FOLDER.validate_python(name)
    except ValidationError as error:
        return None, [(block.key or block.location, f"stages.{name}: {error.errors()[0]['ctx']['error']}")]
    kind = block.value["stage"].plain() if "stage" in block.value else name
    kind = kind if isinstance(kind, str) else show(kind)
    kind = PRETRAIN if kind == "base" else kind
    if kind == PRETRAIN:
        own: dict[str, Any] = {key: item.plain() for key, item in block.value.items() if key != "stage"}
        missing = [key for key in ("model", "corpus") if key not in shared]
        if missing:
            return None, [(block.location, f"stages.{name}: pre-training needs the key '{missing[0]}' of the chain")]
        data = {**shared, **own, "name": name}
        spec, wrong = _validated(Pretraining, block, data, f"stages.{name}")
        shapes = ((block.find(path).location, dotted(path), message) for path, message in shape_violations(data))
        wrong += [(location, f"stages.{name}.{path}: {message}") for location, path, message in shapes]
        if spec is not None:
            spec._source = block
    elif kind in KINDS:
        spec, wrong = _validated(KINDS[kind], block, block.plain(), f"stages.{name}")
    else:
        known = ", ".join((PRETRAIN, *STAGES))
        return None, [(block.location, f"stages.{name}: stage {show(kind)} is none of {known}; give stage: KIND")]
    return (None if spec is None else ChainStage(name, kind, spec, block)), wrong


def _validated(schema: type[Any], root: Located, data: Any, at: str) -> tuple[Any, Violations]:
    """A value of a schema, or its violations; ``at`` is the dotted path of the value in the file."""
    try:
        return schema.model_validate(data), []
    except ValidationError as errors:
        found: Violations = []
        for error in errors.errors(include_url=False):
            if error["type"] == "default_factory_not_called":  # it depends on a wrong key
                continue
            location, message = violation_of(error, schema, root)
            inner = at and message.startswith(dotted(error["loc"][:1]))
            found.append((location, f"{at}.{message}" if inner else f"{at}: {message}" if at else message))
        return None, found


def references(spec: BaseModel) -> Iterator[tuple[str, Reference]]:
    """The models that a stage names, by the key in the file."""
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if isinstance(value, Reference):
            yield field.alias or name, value


# What each key may lead to: kinds of stages that are language models, or reward models.
_POLICIES = (PRETRAIN, "sft", "ppo", "dpo")
_LEADS = {"from": _POLICIES, "policy": _POLICIES, "reward": ("reward",), "safety": ("reward",)}


def _misplaced(stages: Sequence[ChainStage], broken: Collection[str]) -> Violations:
    """Violations of what stages begin from: names of later stages, and of stages of another kind.

    Nothing is said of what leads to ``broken`` stages, which have violations of their own.
    """
    found: Violations = []
    before: dict[str, str] = {}
    names = {stage.name for stage in stages}
    for stage in stages:
        for key, reference in references(stage.spec):
            location, source = stage.located.find((key,)).location, reference.source
            if source in broken:
                continue
            if source in before and before[source] not in _LEADS[key]:
                wanted = "a reward model" if _LEADS[key] == ("reward",) else "a language model"
                found.append((location, f"stages.{stage.name}.{key}: {source} is no stage of {wanted}"))
            elif source in names and source not in before:
                found.append((location, f"stages.{stage.name}.{key}: the stage {source} comes later"))
            elif source not in names and not Path(source).expanduser().exists():
                known = ", ".join(before) or "none"
                found.append(
                    (location, f"stages.{stage.name}.{key}: {source} is no earlier stage ({known}) and no folder")
                )
        before[stage.name] = stage.kind
    return found


def _split_otherwise(stages: Sequence[ChainStage]) -> Violations:
    """Violations of stages that hold out another share of the prompts than the first one with files of answers.

    They may have prompts in common, and one would be trained on what the other is measured by.
    """
    files = [
        (stage, data)
        for stage in stages
        if isinstance(data := getattr(stage.spec, "data", None), AnswersSpec) and data.name is None
    ]
    return [
        (
            stage.located.find(("data", "held_out")).location,
            f"stages.{stage.name}.data.held_out: {data.held_out:g} is not that of {files[0][0].name}, "
            f"{files[0][1].held_out:g}: a prompt of both would be trained on in one and measured by in the other",
        )
        for stage, data in files
        if data.held_out != files[0][1].held_out
    ]
