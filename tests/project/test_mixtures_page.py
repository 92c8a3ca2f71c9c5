"""The page on mixtures follows from the results that are kept, and these hold nothing of a machine."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mixing.planted import Planted

from analysis.mixing.choose import choose
from analysis.mixing.reading import read_mixtures
from analysis.mixing.request import ChoiceRequest
from analysis.mixing.score import score_choice
from benchmarks.mixing import own, planted, published, regmix
from benchmarks.mixing.page import KEPT, kept

PAGE = Path(__file__).parents[2] / "benchmarks" / "mixtures.md"


@pytest.mark.parametrize("script", [regmix, published, planted], ids=lambda script: script.__name__.rsplit(".")[-1])
def test_the_page_says_what_the_results_say(script: object) -> None:
    assert script.section().strip() in PAGE.read_text()  # type: ignore[attr-defined]


def test_small_proxies_rank_mixtures_of_a_large_model() -> None:
    """Acceptance 12 of the design of data."""
    found = kept("regmix")
    auto = found[found["law"] == "auto"]
    main = auto[auto["domain"] == "pile_cc"].set_index("proxies")["rank"]
    assert main[512] >= 0.98
    assert main[64] >= 0.975
    assert auto[auto["proxies"] == 512]["rank"].mean() >= 0.94


def test_planted_optima_are_found() -> None:
    """Acceptance 17."""
    found = kept("planted")
    own_forms = found[found["law"].isin(["inverse", "exponential"])]
    assert (own_forms["distance"] <= 0.05).all()
    assert ((found["low"] <= found["actual"]) & (found["actual"] <= found["high"])).mean() >= 0.8
    assert (found["regret"] < 0.005).all()


def test_nothing_kept_holds_published_rows() -> None:
    """Results by law, domain or split, and no run's shares or losses."""
    for path in KEPT.glob("*.csv"):
        columns = set(pd.read_csv(path).columns)
        assert not any(name.startswith(("mix_", "loss_", "p_")) or name in ("loss", "params") for name in columns), path
        assert path.stat().st_size < 30_000
        assert not any(place in path.read_text() for place in ("/tmp", "/work", "/home", "/root")), path


def test_a_section_is_written_of_a_finished_sweep(tmp_path: Path) -> None:
    law = Planted()
    table = read_mixtures(law.table())
    choice = choose(table, ChoiceRequest(1e7, 2e8, draws=50))
    names = list(choice.candidates)
    shares = np.array([[choice.candidates[name].shares[each] for each in table.fit.sources] for name in names])
    params, tokens = np.full(len(names), 1e7), np.full(len(names), 2e8)
    targets = replace(
        table.fit,
        shares=shares,
        losses=law.losses(shares, 1e7, 2e8),
        params=params,
        tokens=tokens,
        flops=6 * params * tokens,
        run_ids=tuple(names),
        seeds=np.zeros(len(names), int),
    )
    (tmp_path / "here").mkdir()
    choice.freeze(tmp_path / "here" / "choice.json")
    score_choice(choice, replace(table, targets=targets)).write(tmp_path / "here" / "choice_score.json")
    law.table().to_parquet(tmp_path / "here" / "runs.parquet")
    own.keep(tmp_path / "here", tmp_path / "there")
    text = own.section(tmp_path / "there")
    assert text.startswith(own.TITLE)
    for name in names:
        assert f"| {name} | objective |" in text
    assert (tmp_path / "there" / "runs.parquet").is_file()
