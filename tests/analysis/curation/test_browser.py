"""The page of what was dropped in a real browser: it loads by itself, opens, fits, and stands out in light and dark."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import BROWSER, NAMES, Page, browser, contrast
from curation.funnels import usual, write
from curation.odd_funnels import odd

from analysis.curation import write_page

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser: none of {', '.join(NAMES)} is installed")
FUNNEL = usual().funnel
HOSTILE = "hostile.html"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pages: an usual one, and one of which every string is an attack."""
    made = tmp_path_factory.mktemp("curated")
    write_page(write(FUNNEL, made))
    write_page(write(odd()["hostile"], made / "hostile"), made / HOSTILE)
    return made


@pytest.fixture(scope="module")
def opened(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        page.size(1280)
        page.open(folder / "funnel.html")
        yield page


@pytest.fixture
def page(opened: Page) -> Iterator[Page]:
    """The page, of which nothing may complain and which may load nothing, whatever is done to it."""
    yield opened
    _nothing_happened(opened)


def _nothing_happened(page: Page) -> None:
    complaints = (
        "Runtime.exceptionThrown",
        "Runtime.consoleAPICalled",
        "Log.entryAdded",
        "Page.javascriptDialogOpening",
    )
    assert [event for event in page.events if event[0] in complaints] == []
    loaded = [event["request"]["url"] for name, event in page.events if name == "Network.requestWillBeSent"]
    assert [url for url in loaded if not url.startswith("file://") or not url.endswith(".html")] == []


def test_what_went_and_why_is_on_the_first_screens(page: Page) -> None:
    """The verdict, five examples and the bars of the sources, without a click."""
    verdict, examples, bars = (
        page.evaluate(f"[...document.querySelectorAll('{where}')].map((e) => e.getBoundingClientRect().bottom)")
        for where in (".verdict", "body > .example", ".stack .bar")
    )
    assert len(verdict) == 1
    assert len(examples) == 5
    assert len(bars) == 3
    assert verdict[0] < 300
    assert max(bars) < 2 * 900


def test_a_bar_is_as_long_as_its_share(page: Page) -> None:
    parts = page.evaluate(
        "[...document.querySelectorAll('.stack .bar')].map((bar) =>"
        " [...bar.children].map((part) => part.getBoundingClientRect().width / bar.getBoundingClientRect().width))"
    )
    for source, shares in zip(FUNNEL["sources"], parts, strict=True):
        assert shares[0] == pytest.approx(source["kept"]["documents"] / source["read"]["documents"], abs=0.01)
        assert sum(shares) == pytest.approx(1, abs=0.01)


def test_examples_open_by_the_keyboard(page: Page) -> None:
    place = "document.querySelectorAll('.figures details')[0]"
    closed = page.evaluate(f"[{place}.open, {place}.querySelector('.example').checkVisibility()]")
    assert closed == [False, False]
    page.evaluate(f"{place}.querySelector('summary').focus()")
    page.press("Enter")
    assert page.evaluate(f"[{place}.open, {place}.querySelector('.example').checkVisibility()]") == [True, True]
    page.press("Enter")
    assert not page.evaluate(f"{place}.open")


def test_every_histogram_is_drawn_with_its_threshold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    drawn = page.evaluate(
        "[...document.querySelectorAll('svg')].map((svg) => [svg.getBoundingClientRect().height,"
        " svg.querySelectorAll('.bin').length, svg.querySelectorAll('.limit').length])"
    )
    assert len(drawn) == sum(reason["histogram"] is not None for step in FUNNEL["steps"] for reason in step["reasons"])
    assert all(height > 100 and bins > 5 and limits in (1, 2) for height, bins, limits in drawn)


@pytest.mark.parametrize("width", [375, 768, 1280])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    page.size(width)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.size(1280)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(page: Page, scheme: str) -> None:
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    inks = {"svg text": "fill", "summary": "color", ".soft": "color", ".text": "color", "td": "color"}
    for where, what in inks.items():
        ink = page.evaluate(f"getComputedStyle(document.querySelector('{where}')).{what}")
        assert contrast(ink, paper) > 4.5, (where, ink, paper)  # WCAG AA


def test_it_prints(page: Page) -> None:
    assert page.printed().startswith(b"%PDF")


def test_hostile_texts_do_nothing(folder: Path, tmp_path: Path) -> None:
    with browser(tmp_path) as page:
        page.size(375)
        page.open(folder / HOSTILE)
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert page.evaluate("document.querySelectorAll('img, script, a').length") == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
        assert "<img src=x onerror=alert(1)>" in page.evaluate("document.querySelector('.verdict').textContent")
        _nothing_happened(page)
