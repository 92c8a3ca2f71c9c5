"""What the runs of a stage are trained on: examples, prompts, and pairs from files or written by a policy."""

from pathlib import Path
from typing import Any

from scaling.posttrain.config import StageConfig


class StageData:
    def __init__(self, chain: Path) -> None:
        self._chain = chain

    def of_run(self, config: StageConfig) -> Any:
        raise NotImplementedError
