"""The page about a mixture in a real browser, of 17 sources and 13 domains with an odd name."""

from pathlib import Path

import pytest
from browser import BROWSER, NAMES, Page, browser, contrast
from mixing.choices import choice, landscape, scored
from synthetic import bracketed

from analysis.report import write_report
from analysis.report.mixtures import figures
from analysis.report.mixtures.figures import MIXTURE_KINDS

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser: none of {', '.join(NAMES)} is installed")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a choice whose runs are not at hand: what they would show is drawn from a bowl around the chosen mixture."""
    place, made = tmp_path_factory.mktemp("mixture") / "choice.json", choice(3, 17, 13)
    made.freeze(place)
    scored(made, 3).write(place.with_name("choice_score.json"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "landscape_of", lambda found: landscape(found.choice))
        return write_report(place)


def test_the_verdict_stands_before_every_figure(page: Page) -> None:
    figures = page.evaluate(
        "[...document.querySelectorAll('figure')].map((f) => [f.id, f.querySelector('figcaption').textContent,"
        " f.querySelector('svg') ? f.querySelector('svg').getBoundingClientRect().height : 0])"
    )
    assert [name for name, _, _ in figures] == [f"{name}-figure" for name in MIXTURE_KINDS]
    for name, reading, height in figures:
        assert reading.endswith(".")
        assert (height > 150) != reading.startswith("Not shown"), name
    where = "document.querySelector('{}').getBoundingClientRect().top"
    assert page.evaluate(where.format(".verdict")) < page.evaluate(where.format("figure"))
    assert page.evaluate("document.querySelectorAll('img, b').length") == 0


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.size(width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # Small multiples keep a size that can be read, and scroll within their own frame.
    least = page.evaluate("Math.min(...[...document.querySelectorAll('.broad svg')].map((s) => s.clientWidth))")
    assert least >= 640
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
    assert page.printed().startswith(b"%PDF")


def test_losses_by_domain_are_seen_on_the_page_of_a_sweep(tmp_path: Path) -> None:
    frame = bracketed().assign(loss_code=lambda rows: rows["loss"] / 2, loss_docs=lambda rows: rows["loss"] * 2)
    frame.to_parquet(tmp_path / "runs.parquet")
    with browser(tmp_path) as page:
        page.size(1280)
        page.open(write_report(tmp_path))
        place = "document.querySelector('{}').getBoundingClientRect()"
        figure, picture = "#domains-figure", "#domains-figure svg"
        assert page.evaluate(f"{place.format(picture)}.height") > 150
        assert page.evaluate(f"{place.format(figure)}.height > {place.format(picture)}.height")
        page.size(375)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
