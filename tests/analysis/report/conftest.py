"""The page of a module's own fixture ``report``, open in a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Page, browser


@pytest.fixture(scope="module")
def opened(report: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        page.size(1280)
        page.open(report)
        yield page


@pytest.fixture
def page(opened: Page, report: Path) -> Iterator[Page]:
    """The page, of which nothing may complain and which may load nothing, whatever is done to it."""
    yield opened
    complaints = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert [event for event in opened.events if event[0] in complaints] == []
    loaded = [event["request"]["url"] for name, event in opened.events if name == "Network.requestWillBeSent"]
    assert [url for url in loaded if not url.startswith("file://") or not url.endswith(report.name)] == []
