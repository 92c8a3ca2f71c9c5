"""Published tables of runs on mixtures are read as they are, and choose."""

import os
from pathlib import Path

import pytest

import scaling as sl
from analysis.errors import InputError
from analysis.mixing.reading import read_mixtures

PUBLISHED = Path(os.environ.get("SCALING_PUBLISHED", "-")) / "mixtures"
pytestmark = pytest.mark.skipif(not PUBLISHED.is_dir(), reason="SCALING_PUBLISHED names no folder of published tables")


def test_they_are_read() -> None:
    pile = read_mixtures(PUBLISHED / "pile4" / "pile4.csv")
    assert (len(pile.fit), len(pile.fit.tried)) == (85, 40)
    assert pile.fit.sources == pile.fit.domains == ("github", "gutenberg", "stackexchange", "wikipedia")
    two = read_mixtures(PUBLISHED / "2mix.csv")
    assert (two.fit.domains, len(two.fit), len(two.fit.tried)) == (("github", "pile_cc"), 60, 5)
    assert {warning.code for warning in two.warnings} == {"columns-read", "correlated-rows"}


def test_runs_without_a_loss_that_others_have_are_named() -> None:
    with pytest.raises(InputError) as refused:
        read_mixtures(PUBLISHED / "3mix.csv")
    lost = refused.value.errors
    assert len(lost) == 11
    assert all(f"3mix.csv:{row}:" in line for row, line in zip((1053, 1053), lost, strict=False))
    three = read_mixtures(PUBLISHED / "3mix.csv", where="tokens > 32e9 or params < 3e8").fit
    assert (len(three), len(three.tried)) == (86, 33)


@pytest.mark.slow
def test_the_source_of_the_only_domain_that_counts_is_the_largest() -> None:
    table, objective = PUBLISHED / "pile4" / "pile4.csv", {"github": 1.0}
    found = sl.choose_mixture(table, params=1e9, tokens=20e9, objective=objective, mix="p_*", law="inverse")
    assert max(found.shares, key=found.shares.__getitem__) == "github"
    assert found.n_mixtures == 40
