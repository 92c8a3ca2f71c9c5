"""What the README promises a new user with a table of their own, in a clean environment: three commands."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("README.md", "LICENSE", "constraints.txt", "pyproject.toml", "analysis", "scaling")


def commands() -> list[str]:
    """The three commands of the README."""
    section = (ROOT / "README.md").read_text().split("## Forecasts from anybody's runs")[1]
    block = re.search(r"```\n(.*?)```", section, flags=re.DOTALL)
    assert block is not None
    return block[1].replace("\\\n", " ").strip().splitlines()


def write_table(path: Path) -> float:
    """A CSV as another framework's tracker exports it, by a known law; returns the law's loss of the target."""
    rng = np.random.default_rng(0)

    def loss(n: float, d: float) -> float:
        return 1.7 + 400 / n**0.34 + 420 / d**0.28

    lines = ['"Name","State","Tags","Runtime","config.n_params","tokens_seen","eval/loss","config.lr"']
    for size in (4e7, 8e7, 1.6e8, 3.2e8, 6.4e8):
        for ratio in (10, 20, 40, 80):
            noisy = loss(size, ratio * size) * np.exp(0.002 * rng.standard_normal())
            name = f'"llama-{size / 1e6:.0f}M-{ratio}x","finished","sweep, v2","{rng.integers(1e3, 1e5)}"'
            lines.append(f'{name},"{size:.0f}","{ratio * size:.0f}","{noisy:.5f}","0.003"')
    path.write_text("\n".join(lines) + "\n")
    return loss(8e9, 2e11)


@pytest.mark.slow
def test_three_commands_from_a_csv_to_a_forecast_and_a_report(tmp_path: Path) -> None:
    clone, venv = tmp_path / "clone", tmp_path / "venv"
    clone.mkdir()
    for path in map(ROOT.joinpath, COPIED):
        if path.is_dir():
            shutil.copytree(path, clone / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, clone)
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    expected = write_table(clone / "theirs.csv")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PATH": f"{venv / 'bin'}:{os.environ['PATH']}", "VIRTUAL_ENV": str(venv)}
    environment["PIP_NO_COMPILE"] = "0"  # of this option pip takes the contrary: modules are compiled when imported
    three = commands()
    assert len(three) == 3
    assert [command.split()[0] for command in three] == ["pip", "scaling", "scaling"]
    reported = [
        subprocess.run(command, shell=True, cwd=clone, env=environment, check=True, capture_output=True, text=True)
        for command in three
    ]
    assert "Traceback" not in "".join(each.stderr for each in reported)
    assert "interval" in reported[1].stdout
    frozen = json.loads((clone / "forecast.json").read_text())
    low, high = frozen["interval"]
    assert low < expected < high
    assert high / low < 1.5
    page = (clone / "report.html").read_text()
    assert "<svg" in page
    assert f"{frozen['loss']:.4g}"[:5] in page
    assert not re.search(r"(src|href)=[\"']https?:", page)
