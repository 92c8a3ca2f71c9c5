"""A sweep file read into a SweepSpec: all violations at once, each with its file, line and column."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from scaling.data.shards import is_built, read_manifest
from scaling.data.tokenizer import BYTES, Vocabulary
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.sweep.spec.arrangement import MeshChoice
from scaling.sweep.spec.fields import positive
from scaling.sweep.spec.mixture_checks import mixture_violations, source_violations
from scaling.sweep.spec.shapes import ShapeRule, Size
from scaling.sweep.spec.sweep_spec import SweepSpec
from scaling.sweep.spec.violations import dotted, lines_of, read_mapping, violation_of
from scaling.sweep.spec.yaml_locations import Located, Violations, expand, override, read_file

SHORTHANDS = {"corpus": "name", "recipe": "name", "schedule": "kind"}
# Keys of files that are no single sweep, and what these are.
_SEVERAL = {"stages": "this is a chain of stages", "contenders": "these are several sweeps"}
_Model = TypeVar("_Model", bound=BaseModel)


def load_sweep(path: str | Path, overrides: Sequence[str] = ()) -> SweepSpec:
    """Reads a sweep file.

    Args:
        path: of the YAML file.
        overrides: assignments such as ``target.seeds=4``, ``fit.0.flops=[1e10,3e10]`` or ``corpus=python``.

    Raises:
        InputError: every violation in the file and the overrides, as ``file:line:column: message``.
    """
    return parse_sweep(read_file(path, "sweep file"), str(path), overrides)


def parse_sweep(text: str, name: str, overrides: Sequence[str] = ()) -> SweepSpec:
    """Validates a sweep file's text, which messages call ``name``; as :func:`load_sweep`."""
    root, items, violations = read_mapping(text, name, "sweep file")
    for key, several in _SEVERAL.items():
        if key in items:
            location = items[key].key or items[key].location
            raise InputError(f"{location}: {key}: {several}, which run, plan and status take; not one sweep")
    for assignment in overrides:
        violations += override(root, assignment, SHORTHANDS)
    expand_shorthands(items)
    spec, wrong = validate_sweep(root)
    violations += wrong
    if violations:
        raise InputError(lines_of(violations))
    assert spec is not None
    return spec


def expand_shorthands(items: dict[str, Located]) -> None:
    """Expands the keys of a sweep whose bare words are short for mappings; changes ``items``."""
    for key in items.keys() & SHORTHANDS.keys():
        items[key] = expand(items[key], SHORTHANDS[key])


def validate_sweep(root: Located) -> tuple[SweepSpec | None, Violations]:
    """The sweep of a mapping whose shorthands are expanded, and all of its violations; None with any of its schema."""
    data: Any = root.plain()
    violations = [(root.find(path).location, f"{dotted(path)}: {message}") for path, message in fit_vocab(data)]
    spec: SweepSpec | None = None
    try:
        spec = SweepSpec.model_validate(data)
        spec._source = root
        if spec.mixtures is not None and spec.corpus.names is not None:
            wrong = source_violations(spec.mixtures, spec.objective, spec.corpus.names, tuple(spec.evaluate or ()))
            violations += [(root.find(path).location, f"{dotted(path)}: {message}") for path, message in wrong]
    except ValidationError as errors:
        # A default that depends on a wrong key is no violation of its own.
        own = (error for error in errors.errors(include_url=False) if error["type"] != "default_factory_not_called")
        violations += [violation_of(error, SweepSpec, root) for error in own]
    for path, message in (*shape_violations(data), *mixture_violations(data)):
        violations.append((root.find(path).location, f"{dotted(path)}: {message}"))
    return spec, violations


def fit_vocab(data: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Gives the model the tokenizer's vocabulary where it has none; yields violations by the one it has."""
    corpus, model = data.get("corpus"), data.get("model")
    path = corpus.get("path") if isinstance(corpus, dict) else None
    tokenizer: Vocabulary = BYTES
    if isinstance(path, str) and is_built(path):
        try:
            tokenizer = read_manifest(Path(path).expanduser()).tokenizer
        except InputError as error:
            yield from ((("corpus", "path"), violation) for violation in error.errors)
            return
    if not isinstance(model, dict):
        return
    if "vocab" not in model:
        model |= {"vocab": str(tokenizer.vocab)} if tokenizer is not BYTES else {}
        return
    try:
        vocab = positive(model["vocab"])
    except ValueError:  # a violation that pydantic finds
        return
    if vocab < tokenizer.vocab:
        name = f"the vocabulary of the {tokenizer.name} tokenizer"
        yield ("model", "vocab"), f"{vocab:g} is smaller than {name}, {tokenizer.vocab}"


def shape_violations(data: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Paths and messages of sizes that no Llama has or the mesh cannot split, and of equal shapes in a block.

    They are found even where other keys are wrong.
    """
    rule, mesh = _valid(ShapeRule, data.get("model")), _valid(MeshChoice, data.get("mesh"))
    if rule is None:
        return
    blocks = data.get("fit")
    for number, block in enumerate(blocks if isinstance(blocks, list) else [blocks]):
        sizes = block.get("sizes") if isinstance(block, dict) else None
        seen: dict[LlamaConfig, Size] = {}
        for index, item in enumerate(sizes if isinstance(sizes, list) else [sizes]):
            path = ("fit", number, "sizes", index)
            config, violations = _shape(rule, item, mesh)
            yield from ((path, violation) for violation in violations)
            if config in seen:
                yield (
                    path,
                    f"is the same shape, {config.width} wide and {config.depth} deep, as {seen[config]}",
                )
            elif config is not None:
                seen[config] = Size.model_validate(item)
    target = data.get("target")
    if isinstance(target, dict):
        yield from ((("target", "size"), violation) for violation in _shape(rule, target.get("size"), mesh)[1])


def _shape(rule: ShapeRule, item: object, mesh: MeshChoice | None) -> tuple[LlamaConfig | None, tuple[str, ...]]:
    size = _valid(Size, item)
    try:
        config = rule.resolve(size) if size else None
    except InputError as error:
        return None, error.errors
    uneven = [] if config is None or mesh is None else mesh.parallelism.violations(config)
    return config, (f"the mesh cannot split it: {', '.join(uneven)}",) if uneven else ()


def _valid(model: type[_Model], item: object) -> _Model | None:
    try:
        return model.model_validate(item)
    except ValidationError:
        return None
