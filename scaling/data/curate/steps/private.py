"""Replaces private data: e-mail addresses and public IP addresses."""

from pathlib import Path

import numpy as np

from scaling.data.curate.engine.batch import Batch
from scaling.data.curate.engine.decision import Decision, Reason
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.text.private import mask


def run(stage: Stage) -> None:
    """Replaces private data; drops nothing."""
    stage.filter(decide, None, reasons, texts_change=True)


def reasons(options: str, source: int) -> list[Reason]:  # noqa: ARG001
    """None, as no document is dropped."""
    return []


def decide(batch: Batch, options: str, state: Path | None) -> Decision:  # noqa: ARG001
    """Replaces the private data of a batch."""
    masked = mask(batch.texts)
    return Decision(
        np.full(len(batch), -1, np.int16),
        texts=masked.texts,
        notes={"masked e-mail": masked.emails, "masked IP": masked.addresses},
    )
