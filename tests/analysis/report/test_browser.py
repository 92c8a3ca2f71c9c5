"""The report in a real browser: it loads by itself, shows every figure, names runs and sorts them."""

from pathlib import Path

import pytest
from browser import BROWSER, NAMES, Page, contrast
from synthetic import bracketed, curves_of, tuned

from analysis.forecasting.forecast import forecast
from analysis.forecasting.score import score
from analysis.report import write_report
from analysis.report.figures import REPORTED
from analysis.runs.table import RunTable

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser: none of {', '.join(NAMES)} is installed")
FRAME = bracketed()
TABLE = RunTable.from_frame(FRAME)
DOTS = "document.querySelectorAll('#{}-figure .run')"
TOOLTIP = "document.getElementById('tooltip')"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a sweep with everything, and a name that tries to be a script."""
    folder = tmp_path_factory.mktemp("report") / "sweep"
    for name, frame in (("sweep", FRAME), ("sweep-check", tuned(FRAME))):
        (folder.parent / name).mkdir()
        frame.assign(sweep="<img src=x onerror=alert(1)>").to_parquet(folder.parent / name / "runs.parquet")
    curves_of(FRAME).to_parquet(folder / "curves.parquet")
    target = TABLE.targets.iloc[0]
    made = forecast(TABLE, float(target.params), float(target.tokens), law="chinchilla", bootstrap=50, target_seeds=3)
    made.freeze(folder / "forecast.json")
    score(made, TABLE).write(folder / "score.json")
    return write_report(folder)


def test_every_figure_is_there_with_its_line(page: Page) -> None:
    figures = page.evaluate(
        "[...document.querySelectorAll('figure')].map((f) => [f.id, f.querySelector('figcaption').textContent,"
        " f.querySelector('svg').getBoundingClientRect().height])"
    )
    assert [name for name, _, _ in figures] == [f"{name}-figure" for name in REPORTED]
    for _, reading, height in figures:
        assert reading.endswith(".")
        assert not reading.startswith("Not shown")
        assert height > 200


def test_pointing_at_a_dot_names_its_run_and_marks_it_everywhere(page: Page) -> None:
    page.hover("#residuals-figure .run")
    run = page.evaluate(f"{DOTS.format('residuals')}[0].dataset.run")
    assert run.split(":")[0] in set(FRAME.run_id)
    assert page.evaluate(f"[{TOOLTIP}.hidden, {TOOLTIP}.textContent]") == [False, run]
    marked = page.evaluate("[...document.querySelectorAll('.run.lit')].map((dot) => dot.closest('figure').id)")
    assert {"flops-figure", "tokens-figure", "isoflop-figure", "residuals-figure"} <= set(marked)
    page.hover("h1")
    assert page.evaluate(f"{TOOLTIP}.hidden")


def test_dots_are_reached_by_the_keyboard(page: Page) -> None:
    page.evaluate(f"{DOTS.format('tokens')}[0].focus()")
    first = page.evaluate(f"{TOOLTIP}.textContent")
    page.press("ArrowRight")
    second = page.evaluate(f"{TOOLTIP}.textContent")
    assert first != second
    assert not page.evaluate(f"{TOOLTIP}.hidden")
    page.press("ArrowLeft")
    assert page.evaluate(f"{TOOLTIP}.textContent") == first
    stops = page.evaluate(f"[...{DOTS.format('tokens')}].filter((dot) => dot.tabIndex === 0).length")
    assert stops == 1


def test_runs_sort_by_mouse_and_by_keyboard(page: Page) -> None:
    head = "[...document.querySelectorAll('.runs th')].find((th) => th.textContent === 'loss')"
    cells = f"[...document.querySelectorAll('.runs tbody tr')].map((row) => row.cells[{head}.cellIndex].textContent)"

    def losses() -> list[float]:
        return [float(text) for text in page.evaluate(cells)]

    page.evaluate(f"{head}.querySelector('button').click()")
    assert losses() == sorted(losses())
    assert len(losses()) == len(FRAME)
    page.evaluate(f"{head}.querySelector('button').focus()")
    page.press("Enter")
    assert losses() == sorted(losses(), reverse=True)
    assert page.evaluate(f"{head}.ariaSort") == "descending"


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.size(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("Math.min(...[...document.querySelectorAll('svg')].map((s) => s.clientWidth))") > 0.75 * min(
        width, 500
    )
    page.size(1280)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(page: Page, scheme: str) -> None:
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    ink, paper = (
        page.evaluate(f"getComputedStyle(document.querySelector('{where}')).{what}")
        for where, what in (("figure svg text", "fill"), ("body", "backgroundColor"))
    )
    assert contrast(ink, paper) > 4.5, (ink, paper)  # WCAG AA


def test_it_prints(page: Page) -> None:
    printed = page.printed()
    assert printed.startswith(b"%PDF")
    assert len(page.picture()) > 50_000
