"""A part of a source read into a store of documents; what cannot be read is an error, or counted."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from scaling.data.curate.engine.batch import ID
from scaling.data.curate.engine.store import TextWriter
from scaling.data.formats.streams import Refused
from scaling.data.sources import Part, read_part
from scaling.data.spec import SourceSpec
from scaling.errors import InputError

READ = "read.json"


def read_into(folder: Path, part: Part, source: SourceSpec, sample: float | None, skip: bool) -> None:
    """Reads a part's documents into a folder: the texts, and counts of what was left out.

    Args:
        folder: to write into.
        part: to read.
        source: of the part.
        sample: share of the documents that are taken, by their content; None for all.
        skip: leaves out what cannot be read; else the first is an error.

    Raises:
        InputError: a document cannot be read, or is of token ids.
    """
    writer = TextWriter(folder)
    counts = {"documents": 0, "bytes": 0, "empty": 0, "empty_bytes": 0, "refused": 0}
    first = ""
    for file, path in enumerate(part.paths):
        for document in read_part(replace(part, paths=(path,)), source, 0):
            if isinstance(document, Refused):
                if not skip:
                    left = "the rest of the file" if document.rest else "such documents"
                    raise InputError(f"{document.line}; `on_error` skip leaves {left} out")
                counts["refused"] += 1
                first = first or document.line
                continue
            if not isinstance(document, bytes):
                raise InputError(f"{path}: token ids, which have no text to curate")
            digest = hashlib.sha256(document).digest()
            if sample is not None and int.from_bytes(digest[16:24], "big") >= sample * 2**64:
                continue
            text = document.decode()
            if not text or text.isspace():
                counts["empty"] += 1
                counts["empty_bytes"] += len(document)
                continue
            counts["documents"] += 1
            counts["bytes"] += len(document)
            writer.add(np.array([digest[:16]], ID), np.array([file]), [text], np.array([len(document)]))
    writer.close()
    (folder / READ).write_text(json.dumps({**counts, "first": first}))
