"""Figures that are data, not code: TOML files beside the modules, each checked against its type when it is read."""

import tomllib
from importlib.resources import files
from typing import TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


def read_toml(package: str, name: str, content: type[T]) -> T:
    """Reads a TOML file of a package.

    Args:
        package: the package that the file lies in, such as ``scaling.llama``.
        name: the file's name.
        content: a dataclass or pydantic model of the whole file. A dataclass with
            ``__pydantic_config__ = ConfigDict(extra="forbid")`` refuses keys that it does not have.

    Returns:
        The content; numbers are those that Python reads from the same digits.

    Raises:
        pydantic.ValidationError: if the file is not of that type.
    """
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    return TypeAdapter(content).validate_python(tomllib.loads(text))
