"""Whatever a file holds, there is a spec or there are violations: one line each, never another exception."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rounds import rounds

from scaling.errors import InputError
from scaling.sweep.contenders.contenders_file import has_contenders, parse_contenders
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.spec.sweep_spec import SweepSpec

pytestmark = pytest.mark.soak

SOURCES = [path.read_text() for path in sorted((Path(__file__).parents[3] / "sweeps").glob("*.yaml"))]
SPECIAL = """
    { } [ ] : - ' " | > % & * # ? , &a *a !!set !!binary --- ... <<:*a ~ null true params: width: llama3-8b
    -1 0 1e999 1e-300 .inf .nan 0x10 1e15 2026-01-01
"""
SPACED = [": ", "- ", "? ", "\n", "\n  ", "\t", "\0", "%YAML 1.1\n---\n", "&b ", "<<: *b\n", "<<: [*b, {x: 1}], "]
PIECES = st.text(max_size=6) | st.sampled_from([*SPECIAL.split(), *SPACED])


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(SOURCES))
    for _ in range(draw(st.integers(1, 5))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 12)))
        text = text[:begin] + draw(PIECES) + text[end:]
    return text


def specs_of(text: str, overrides: list[str]) -> list[SweepSpec]:
    if has_contenders(text):
        return list(parse_contenders(text, "x.yaml", overrides).contenders.values())
    return [parse_sweep(text, "x.yaml", overrides)]


def check(text: str, overrides: list[str]) -> None:
    violations: tuple[str, ...] = ()
    try:
        for spec in specs_of(text, overrides):
            sizes = [spec.target.size] if spec.target else [size for block in spec.fit for size in block.sizes]
            assert all(spec.shape(size).depth > 0 for size in sizes)
    except InputError as error:
        violations = error.errors or ("none",)
    for violation in violations:
        assert violation.startswith(("x.yaml:", "override '"))
        assert "\n" not in violation
        assert len(violation) < 500


@settings(max_examples=rounds(60, 5000), suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_mutated_files(text: str) -> None:
    check(text, [])


TINY = "{name: a, model: {seq_len: 8, head_dim: 16, width_per_layer: 16}, corpus: sotu, fit: [], target: 0}"
TWO = TINY.replace("target: 0", "target: {size: 9k, flops: 1e9}, contenders: {x: {}, seeds: {corpus: python}}")
KEYS = st.sampled_from(
    ["name", "model", "corpus", "fit", "0", "1", "sizes", "flops", "target", "size", "seeds", "x", "contenders"]
)


@settings(max_examples=rounds(50, 2000))
@given(st.sampled_from([TINY, TWO]), st.lists(KEYS, max_size=4), PIECES)
def test_overrides(text: str, keys: list[str], value: str) -> None:
    check(text, [".".join(keys) + "=" + value])
