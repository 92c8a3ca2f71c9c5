"""A data file: YAML to BuildSpec, with every fault told at once and where it is."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scaling.data.spec import BuildSpec
from scaling.errors import InputError
from scaling.sweep.spec.fields import show
from scaling.sweep.spec.sweep_file import lines_of, read_file
from scaling.sweep.spec.violations import told
from scaling.sweep.spec.yaml_locations import Place, read_yaml


def load_build(path: str | Path) -> BuildSpec:
    """Reads a data file; its name is the file's where it has none.

    Raises:
        InputError: every fault, as ``file:line:column: message``.
    """
    root, faults = read_yaml(read_file(path, "data file"), str(path))
    if root is None or not isinstance(root.value, dict):
        found = "the file is empty" if root is None else f"not {show(root.plain())}"
        raise InputError(lines_of(faults or [(Place(str(path), 1, 1), f"a data file maps keys to values; {found}")]))
    data: Any = {"name": Path(path).stem, **dict(root.plain().items())}  # type: ignore[attr-defined]
    try:
        spec = BuildSpec.model_validate(data)
    except ValidationError as errors:
        faults += [told(error, BuildSpec, root) for error in errors.errors(include_url=False)]
    if faults:
        raise InputError(lines_of(faults))
    return spec
