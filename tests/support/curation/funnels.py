"""Funnels of curations as their folders keep them: made up document by document, so that they add up."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_WORDS = ["the", "of", "a", "model", "crawl", "page", "click", "here", "free", "bible", "verse", "licence", "speech"]
RULES: list[tuple[str, str, str, tuple[float | None, float | None], tuple[float, float], bool]] = [
    ("gopher.words", "Gopher (2112.11446)", "words", (50, 100_000), (1, 1e6), True),
    ("gopher.bullets", "Gopher (2112.11446)", "share of lines that begin with a bullet", (None, 0.9), (0, 1), False),
    ("gopher.mean_length", "Gopher (2112.11446)", "characters a word", (3, 10), (0, 20), False),
    ("fineweb.ended_lines", "FineWeb (2406.17557)", "share of lines", (0.12, None), (0, 1), False),
    ("fineweb.newlines", "FineWeb (2406.17557)", "newlines a word", (None, 0.3), (0, 1), False),
]


@dataclass
class Document:
    id: str
    source: int
    file: str
    text: str
    bytes: int
    alive: bool = True
    rows: dict[str, Any] = field(default_factory=dict)


class Made:
    """A curation of made up documents.

    Attributes:
        funnel: the content of ``funnel.json``.
        rows: those of ``dropped.parquet``.
    """

    def __init__(self, counts: dict[str, int], seed: int = 0, rates: dict[str, float] | None = None) -> None:
        self._rng = np.random.default_rng(seed)
        self._names, self._rates = list(counts), rates or {}
        self._documents = [
            self._document(place, number) for place, n in enumerate(counts.values()) for number in range(n)
        ]
        self._read = self._counts(self._documents)
        self.rows: list[dict[str, Any]] = []
        steps = [
            self._step("duplicates", [self._plain("duplicates", 0.05)]),
            self._step("language", [self._valued("language", (0.65, None), (0, 1), "probability")]),
            self._step("private", [], changed=7, notes={"masked e-mail": 5, "masked IP": 2}),
            self._step("rules", [self._ruled(rule) for rule in RULES]),
            self._step("near_duplicates", [self._plain("near_duplicates", 0.1)]),
        ]
        kept = [each for each in self._documents if each.alive]
        total = self._counts(kept)
        cut = steps[2]["changed"]["bytes"]
        if kept:  # all that was changed is taken to be of the first source that has documents left
            total[next(i for i, each in enumerate(total) if each["documents"])]["bytes"] -= cut
        self.funnel: dict[str, Any] = {
            "version": 1,
            "name": "web",
            "sample": None,
            **{
                key: {name: sum(each[key] for each in part) for name, part in (("read", self._read), ("kept", total))}
                for key in ("documents", "bytes")
            },
            "sources": [
                {"name": name, "read": read, "kept": left}
                for name, read, left in zip(self._names, self._read, total, strict=True)
            ],
            "languages": [{"code": "en", "documents": 7, "bytes": 70}, {"code": "short", "documents": 3}],
            "steps": steps,
            "duplicates": self._groups(),
            "classifier": self._classifier(),
            "perplexity": {"thirds": [12.25, 40.5]},
            "contamination": {
                "evaluations": [{"file": "evals/a.jsonl", "documents": 100, "too_short": 3, "found": 12}],
                "held_out": {"documents": 34, "phrases": 2},
            },
            "warnings": [{"code": "one-rule", "message": "rules.gopher.words is the reason for most"}],
        }

    def write(self, folder: Path) -> Path:
        """Writes what a curated folder has of this, but for the documents."""
        write(self.funnel, folder)
        (folder / "curated.json").write_text("{}")
        names = ("id", "source", "file", "step", "reason", "twin")
        schema = pa.schema([*((name, pa.string()) for name in names), ("value", pa.float64()), ("bytes", pa.int64())])
        pq.write_table(pa.Table.from_pylist(self.rows, schema), folder / "dropped.parquet", row_group_size=50)
        return folder

    def _document(self, source: int, number: int) -> Document:
        id = hashlib.sha256(f"{source} {number}".encode()).hexdigest()[:32]
        words = self._rng.choice(_WORDS, int(self._rng.integers(3, 60))).tolist()
        text = f"document {number} of {self._names[source]}:\n" + " ".join(words)
        return Document(id, source, f"{number % 3}.jsonl", text, len(text.encode()))

    def _counts(self, documents: list[Document]) -> list[dict[str, int]]:
        own: list[list[int]] = [[each.bytes for each in documents if each.source == i] for i in range(len(self._names))]
        return [{"documents": len(sizes), "bytes": sum(sizes)} for sizes in own]

    def _plain(self, name: str, rate: float) -> tuple[dict[str, Any], list[Document]]:
        """A reason without values; a rate by name is that of all documents."""
        alive = [each for each in self._documents if each.alive]
        chosen = [each for each in alive if self._rng.random() < self._rates.get(name, rate)]
        for each in chosen:
            each.rows = {"value": None, "twin": each.id if name == "duplicates" else alive[0].id}
        return self._reason(name, "", "", None, None, 0, chosen, []), chosen

    def _ruled(self, rule: tuple[Any, ...]) -> tuple[dict[str, Any], list[Document]]:
        name, source, unit, limits, span, log = rule
        return self._valued(name, limits, span, unit, source, log)

    def _valued(
        self,
        name: str,
        limits: tuple[float | None, float | None],
        span: tuple[float, float],
        unit: str,
        source: str = "",
        log: bool = False,
    ) -> tuple[dict[str, Any], list[Document]]:
        alive = [each for each in self._documents if each.alive]
        least, most = limits
        middle = least * 3 if least and most and log else (least + most) / 2 if least and most else 0.5
        if not (least and most):
            middle = least + 0.25 if least is not None else (most or 0) - 0.2
        rate = self._rates.get(name)
        values = middle * np.exp(self._rng.normal(0, 0.9 if log else 0.35, len(alive)))
        if rate == 0:
            values = np.full(len(alive), middle)
        elif rate == 1:
            values = np.full(len(alive), least / 2 if least is not None else 2 * (most or 1))
        edges = np.geomspace(*span, 41) if log else np.linspace(*span, 41)
        low, high = least if least is not None else -np.inf, most if most is not None else np.inf
        out = (values < low) | (values > high)
        near = (
            np.min([np.abs(values - end) / end for end in limits if end is not None], axis=0) if len(values) else values
        )
        for each, value in zip(alive, values.tolist(), strict=True):
            each.rows = {"value": value, "twin": None}
        histogram = {
            "edges": edges.tolist(),
            "counts": np.histogram(values, edges)[0].tolist(),
            "below": int((values < edges[0]).sum()),
            "above": int((values > edges[-1]).sum()),
            "log": log,
        }
        chosen = [each for each, gone in zip(alive, out, strict=True) if gone]
        order = [alive[i] for i in np.argsort(near, kind="stable").tolist() if not out[i]][:10]
        made = self._reason(name, source, unit, list(limits), histogram, int((near <= 0.05).sum()), chosen, order)
        return made, chosen

    def _reason(
        self,
        name: str,
        source: str,
        unit: str,
        limits: list[float | None] | None,
        histogram: dict[str, Any] | None,
        near: int,
        dropped: list[Document],
        kept: list[Document],
    ) -> dict[str, Any]:
        for each in dropped:
            each.alive = False
        return {
            "name": name,
            "source": source,
            "unit": unit,
            "documents": len(dropped),
            "bytes": sum(each.bytes for each in dropped),
            "limits": limits,
            "histogram": histogram,
            "near": near,
            "dropped": [self._example(each) for each in sorted(dropped, key=lambda each: each.id)[:10]],
            "kept": [self._example(each) for each in kept],
            "_all": dropped,
        }

    def _example(self, each: Document) -> dict[str, Any]:
        content = {"id": each.id, "source": self._names[each.source], "file": each.file, "text": each.text[:600]}
        return content | {"value": each.rows["value"]} | ({"twin": twin} if (twin := each.rows["twin"]) else {})

    def _step(
        self,
        name: str,
        reasons: list[tuple[dict[str, Any], list[Document]]],
        changed: int = 0,
        notes: dict[str, int] | None = None,
    ) -> dict[str, Any]:
        gone = [each for _, dropped in reasons for each in dropped]
        alive = sum(each.alive for each in self._documents)
        for reason, _ in reasons:
            self.rows += [
                {
                    "id": each.id,
                    "source": self._names[each.source],
                    "file": each.file,
                    "step": name,
                    "reason": reason["name"],
                    "bytes": each.bytes,
                    **each.rows,
                }
                for each in reason.pop("_all")
            ]
        return {
            "name": name,
            "documents": len(gone),
            "bytes": sum(each.bytes for each in gone),
            "by_source": self._counts(gone),
            "reached": alive + len(gone),
            "changed": {"documents": min(changed, alive), "bytes": 3 * min(changed, alive)},
            "notes": notes or {},
            "reasons": [reason for reason, _ in reasons],
        }

    def _groups(self) -> dict[str, Any]:
        kept = "a text that is kept as it was found in the first source"
        other = "a text that was dropped as it was found in the other source"
        document = {"id": "a" * 32, "source": self._names[0], "text": kept}
        dropped = [
            {"id": f"{number:032x}", "source": self._names[-1], "text": other, "similarity": 0.9 - number / 100}
            for number in range(3)
        ]
        return {"pairs": 17, "groups": [{"size": 5, "kept": document, "dropped": dropped}] * 2, "bounded": 0}

    def _classifier(self) -> dict[str, Any]:
        deciles = [
            {
                "low": number / 10,
                "high": (number + 1) / 10,
                "source": self._names[0],
                "id": f"{number:032x}",
                "text": "x",
            }
            for number in range(10)
        ]
        words = {"for": [["verse", 1.25], ["of the", 0.5]], "against": [["click here", -2.125]]}
        return {"auc": 0.9876, "held_out": 400, "references": 2000, "others": 1999, **words, "deciles": deciles}


def write(funnel: dict[str, Any], folder: Path) -> Path:
    """A folder with a funnel."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "funnel.json").write_text(json.dumps(funnel))
    return folder


def usual(seed: int = 0) -> Made:
    """Of three sources, with every block."""
    return Made({"wiki": 120, "web": 300, "code": 60}, seed)
