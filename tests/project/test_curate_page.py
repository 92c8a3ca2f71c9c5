"""The pages on curation say what the code does, and the study of whether it pays follows from its tables."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.curation.pays import forecast, paired, score
from scaling.data.curate.rules.thresholds import RULES

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "benchmarks" / "curation" / "pays"


def test_every_rule_has_its_line_and_limits() -> None:
    page = (ROOT / "docs" / "reference" / "curate-file.md").read_text()
    lines = re.findall(r"^\| `([a-z0-9_.]+)` \| .* \| ?([\d.,]*) \| ?([\d.,]*) \|$", page, flags=re.MULTILINE)
    limits = [(name, *(float(each.replace(",", "")) if each else None for each in ends)) for name, *ends in lines]
    assert limits == [(name, rule.least, rule.most) for name, rule in RULES.items()]


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs of the study, of raw and of curated text."""
    return pd.read_parquet(STUDY / "raw" / "runs.parquet"), pd.read_parquet(STUDY / "curated" / "runs.parquet")


def test_the_frozen_difference_is_of_the_runs() -> None:
    told = json.loads((STUDY / "difference.json").read_text())
    again = forecast(*tables(), told["flops"], told["seeds"])
    assert again.rows_sha256 == told["rows_sha256"]
    assert [again.difference, *again.interval, again.better] == pytest.approx(
        [told["difference"], *told["interval"], told["better"]]
    )
    assert "inside" in score(STUDY / "difference.json", *tables())


def test_other_runs_are_refused() -> None:
    raw, curated = tables()
    with pytest.raises(SystemExit, match="other runs"):
        score(STUDY / "difference.json", raw.assign(loss=raw["loss"] * 1.01), curated)
    with pytest.raises(SystemExit, match="79 of 80"):
        paired(raw, curated.drop(curated.index[curated["role"] == "fit"][0]), "fit")


def test_a_difference_that_is_a_line_is_found() -> None:
    raw, _ = tables()
    noise = np.random.default_rng(0).normal(scale=0.004, size=len(raw))
    planted = raw.assign(loss=raw["loss"] * np.exp(-0.03 - 0.01 * np.log(raw["flops"] / 1.2e12) + noise))
    found = forecast(raw, planted, 1.2e12, 3)
    assert found.interval[0] < np.expm1(-0.03) < found.interval[1]
    assert found.better > 0.95
    assert forecast(raw, raw.assign(loss=raw["loss"] * np.exp(noise)), 1.2e12, 3).better < 0.95
