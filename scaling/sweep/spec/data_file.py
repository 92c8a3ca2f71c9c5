"""A data file read into a BuildSpec: all violations at once, each with its file, line and column."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scaling.data.answers.build import AnswersBuild
from scaling.data.curate.curate import curation_violations
from scaling.data.spec import BuildSpec
from scaling.errors import InputError
from scaling.sweep.spec.violations import dotted, lines_of, read_mapping, violation_of
from scaling.sweep.spec.yaml_locations import read_file


def load_build(path: str | Path) -> BuildSpec:
    """Reads a data file; its name is the file's where it has none.

    Raises:
        InputError: every violation, as ``file:line:column: message``.
    """
    root, items, violations = read_mapping(read_file(path, "data file"), str(path), "data file")
    data: Any = {"name": Path(path).stem, **{key: item.plain() for key, item in items.items()}}
    try:
        spec = BuildSpec.model_validate(data)
    except ValidationError as errors:
        violations += [violation_of(error, BuildSpec, root) for error in errors.errors(include_url=False)]
    else:
        violations += [
            (root.find(path).location, f"{dotted(path)}: {message}") for path, message in curation_violations(spec)
        ]
    if violations:
        raise InputError(lines_of(violations))
    return spec


def load_answers(path: str | Path) -> AnswersBuild:
    """Reads a data file of examples or preferences.

    Raises:
        InputError: every violation, as ``file:line:column: message``.
    """
    root, items, violations = read_mapping(read_file(path, "data file"), str(path), "data file")
    try:
        build = AnswersBuild.model_validate({key: item.plain() for key, item in items.items()})
    except ValidationError as errors:
        violations += [violation_of(error, AnswersBuild, root) for error in errors.errors(include_url=False)]
    if violations:
        raise InputError(lines_of(violations))
    return build
