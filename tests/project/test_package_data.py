"""Figures in TOML: whole, checked when they are read, and part of the wheel."""

import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ConfigDict, ValidationError

from analysis import package_data
from analysis.fitting.published import PUBLISHED
from analysis.package_data import read_toml

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    name: str
    mass: float
    span: tuple[float, float] | None = None
    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Rows:
    row: dict[str, Row]
    __pydantic_config__ = ConfigDict(extra="forbid")


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ('[row.x]\nname = "x"\nmass = 1.5\nmas = 1.0', "row.x.mas"),
        ('[row.x]\nname = "x"\n', "row.x.mass"),
        ('[row.x]\nname = "x"\nmass = "heavy"', "row.x.mass"),
        ('[row.x]\nname = "x"\nmass = 1.5\nspan = [1.0]', "row.x.span"),
    ],
)
def test_a_key_that_is_unknown_missing_or_of_another_type_is_an_error(
    text: str, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.toml").write_text(text)
    monkeypatch.setattr(package_data, "files", lambda _: tmp_path)
    with pytest.raises(ValidationError) as caught:
        read_toml("any", "rows.toml", Rows)
    assert ".".join(map(str, caught.value.errors()[0]["loc"])).startswith(at)


def test_a_file_becomes_frozen_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.toml").write_text('[row.x]\nname = "x"\nmass = 0.1\nspan = [0.1, 0.2]')
    monkeypatch.setattr(package_data, "files", lambda _: tmp_path)
    assert read_toml("any", "rows.toml", Rows) == Rows({"x": Row("x", 0.1, (0.1, 0.2))})


def test_constants_that_papers_print_otherwise_are_derived_as_the_file_says() -> None:
    # 2001.08361, equation 1.5: ((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D.
    assert PUBLISHED["kaplan"].params["A"] == 6.4e13 ** (0.076 / 0.103)
    # 2404.10102, table 1: alpha .3478 +- .015, beta .3658 +- .021.
    refit = PUBLISHED["chinchilla-epoch"]
    assert refit.runs.exponent_errors == tuple(refit.stderr[name] / refit.params[name] for name in ("alpha", "beta"))
    for name in ("chinchilla-hoffmann", "chinchilla-sardana"):
        assert PUBLISHED[name].runs.exponent_errors == refit.runs.exponent_errors


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    for package in ("analysis", "scaling"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = f"import setuptools.build_meta as backend; backend.build_wheel({str(wheels)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        built = set(content.namelist())
    files = {
        str(file.relative_to(ROOT))
        for package in ("analysis", "scaling")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert files - built == set()
