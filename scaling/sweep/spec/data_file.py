"""A data file read into a BuildSpec: all violations at once, each with its file, line and column."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scaling.data.spec import BuildSpec
from scaling.errors import InputError
from scaling.sweep.spec.fields import show
from scaling.sweep.spec.violations import lines_of, violation_of
from scaling.sweep.spec.yaml_locations import Location, read_file, read_yaml


def load_build(path: str | Path) -> BuildSpec:
    """Reads a data file; its name is the file's where it has none.

    Raises:
        InputError: every violation, as ``file:line:column: message``.
    """
    root, violations = read_yaml(read_file(path, "data file"), str(path))
    if root is None or not isinstance(root.value, dict):
        found = "the file is empty" if root is None else f"not {show(root.plain())}"
        raise InputError(
            lines_of(violations or [(Location(str(path), 1, 1), f"a data file maps keys to values; {found}")])
        )
    data: Any = {"name": Path(path).stem, **dict(root.plain().items())}  # type: ignore[attr-defined]
    try:
        spec = BuildSpec.model_validate(data)
    except ValidationError as errors:
        violations += [violation_of(error, BuildSpec, root) for error in errors.errors(include_url=False)]
    if violations:
        raise InputError(lines_of(violations))
    return spec
