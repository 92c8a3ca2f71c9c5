"""Hostile texts in a sweep's folder: its report shows them as text."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from synthetic import sweep

from analysis.forecasting.forecast import forecast
from analysis.forecasting.score import score
from analysis.runs.table import RunTable
from scaling.cli import main

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&--><!--"


class Page(HTMLParser):
    """The tags, attributes, text and comments of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.comments: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


@pytest.mark.slow
def test_a_report_escapes_all_that_it_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page from hostile names, ids, texts and warnings has the tags and attributes of one from harmless ones."""
    pages = []
    for folder, text in ((tmp_path / "hostile", ATTACK), (tmp_path / "harmless", "harmless")):
        folder.mkdir()
        frame = sweep()
        frame["run_id"] = text + frame["run_id"]
        frame = frame.assign(trunk_id=frame["run_id"], sweep=text, corpus=text, tokenizer=text, device=text)
        frame.to_parquet(folder / "runs.parquet")
        table = RunTable.from_frame(frame, text)
        target = table.targets.iloc[0]
        made = forecast(table, float(target.params), float(target.tokens), law="compute", bootstrap=20)
        made = made.freeze(folder / "forecast.json")
        result = score(made, table)
        result.write(folder / "score.json")
        kept = json.loads((folder / "score.json").read_text())
        kept["warnings"].append({"code": "few-runs", "message": text})
        (folder / "score.json").write_text(json.dumps(kept))
        (folder / "sweep.yaml").write_text(f"name: {text}\n")
        (folder / "summary.json").write_text(json.dumps({text: text, "corpus": {"name": text}}))
        curves = pd.DataFrame({"run_id": frame["run_id"], "tokens": frame["tokens"] / 2, "loss": frame["loss"] * 1.1})
        curves.to_parquet(folder / "curves.parquet")
        with pytest.raises(SystemExit) as exit_info:
            main(["report", str(folder)])
        assert exit_info.value.code == 0, capsys.readouterr().err
        page = (folder / "report.html").read_text()
        assert page.count("<script") == 1, "the page's own, which its policy knows by its hash"
        pages.append(Page(page))
    hostile, harmless = pages
    assert hostile.tags == harmless.tags
    assert not hostile.tags & {"img", "iframe", "object", "embed", "link", "base", "form"}
    names = [name for name, _ in hostile.attributes]
    assert names == [name for name, _ in harmless.attributes]
    assert not [name for name in names if name.startswith("on")]
    assert not [comment for comment in hostile.comments if "script" in comment]
    shown = "".join(hostile.text)
    assert shown.count("<script>alert(1)</script>") >= 10, "as text"
