"""The page on the chain after pre-training follows from its tables, and these hold nothing of a machine."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scaling as sl
from analysis.rewards.proxies import Proxy, proxies_of
from analysis.rewards.reading import rewards_of
from benchmarks.pages.page import placed
from benchmarks.posttrain.chain import OF_LOSSES, OF_REWARDS, asked, section
from benchmarks.posttrain.keep import keep
from benchmarks.posttrain.stages import below_start, gain_at, kept

ROOT = Path(__file__).parents[2]
CHAT = ROOT / "benchmarks" / "posttrain" / "chat"


def curve(gold: list[float]) -> Proxy:
    """A policy of these rewards at d = 0, 1, 2, ..."""
    rows = pd.DataFrame({"kl": np.arange(len(gold)) ** 2.0, "gold": gold, "run_id": "a", "pairs": 512})
    return proxies_of(rewards_of(rows, "table"))[0]


def test_the_page_says_what_the_tables_say() -> None:
    assert section(CHAT).strip() in (ROOT / "benchmarks" / "posttrain.md").read_text()


@pytest.mark.parametrize("stage", [*OF_LOSSES, *OF_REWARDS])
def test_the_kept_score_is_that_of_the_frozen_forecast(stage: str) -> None:
    told = json.loads((CHAT / stage / "score.json").read_text())
    made = (sl.score if stage in OF_LOSSES else sl.score_rewards)(CHAT / stage / "forecast.json", CHAT / stage)
    again = made.to_dict()
    for name in ("error", "actual", "covered") if stage in OF_LOSSES else ("peak_error", "actual_peak", "rms"):
        assert again[name] == pytest.approx(told[name])


def test_other_rows_than_those_forecast_from_are_refused() -> None:
    rows = pd.read_parquet(CHAT / "sft" / "runs.parquet")
    with pytest.raises(sl.InputError, match="not the table that the forecast was made from"):
        sl.score(CHAT / "sft" / "forecast.json", rows.assign(loss=rows["loss"] * np.where(rows["seed"] == 0, 1.01, 1)))


def test_nothing_kept_names_a_folder_of_a_machine() -> None:
    files = [path for path in CHAT.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        text = pd.read_parquet(path).to_csv() if path.suffix == ".parquet" else path.read_text()
        assert not any(place in text for place in ("/tmp", "/work", "/home", "/root")), path


def test_a_forecast_that_names_a_folder_of_a_machine_is_not_kept(tmp_path: Path) -> None:
    for path in CHAT.rglob("*.*"):
        there = tmp_path / "run" / path.relative_to(CHAT)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(path.read_bytes())
    keep(tmp_path / "run", tmp_path / "kept")
    for path in CHAT.rglob("*.*"):
        again = tmp_path / "kept" / path.relative_to(CHAT)
        if path.suffix == ".parquet":
            pd.testing.assert_frame_equal(pd.read_parquet(again), pd.read_parquet(path))
        else:
            assert again.read_bytes() == path.read_bytes()
    frozen = tmp_path / "run" / "ppo" / "forecast.json"
    frozen.write_text(json.dumps({**json.loads(frozen.read_text()), "source": "/somewhere/ppo"}))
    with pytest.raises(SystemExit, match="names a folder of this machine"):
        keep(tmp_path / "run", tmp_path / "again")


def test_where_gold_falls_below_its_start() -> None:
    assert below_start(curve([0.0, 1.0, -1.0])) == pytest.approx(1.5**2, rel=0.02)
    assert below_start(curve([0.0, -1.0, 1.0])) is None  # below before the peak is no fall
    assert gain_at(curve([0.0, 1.0, 2.0]), 4.0) == pytest.approx(2.0)
    assert gain_at(curve([0.0, 1.0, 2.0]), 4.1) is None
    assert kept(np.array([0.0, 2.0, 0.5])) == 0.25


def test_what_was_not_reached_is_not_told() -> None:
    reached = {what: (found, met) for what, found, met in asked(CHAT)}
    ends = [met for what, (found, met) in reached.items() if "ends at KL" in found]
    assert all(met is None for met in ends)
    assert {met for _, met in reached.values()} <= {True, False, None}


def test_a_section_takes_the_place_of_an_earlier_one() -> None:
    page = "# Page\n\n## A\n\nold\n\n## B\n\nother\n"
    assert placed(page, "## A", "## A\n\nnew\n") == "# Page\n\n## A\n\nnew\n\n## B\n\nother\n"
    assert placed(page, "## C", "## C\n\nnew\n") == f"{page}\n## C\n\nnew\n"
