"""Results that lm-evaluation-harness itself has written; it is no extra of ours, as it installs half a gigabyte."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scaling.api.imports import import_runs

pytestmark = pytest.mark.slow

TASK = """\
task: tiny
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: ["yes", "no"]
doc_to_target: "{{{{answer}}}}"
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
  - {{metric: acc_norm, aggregation: mean, higher_is_better: true}}
"""


def test_what_the_harness_writes(tmp_path: Path) -> None:
    command = shutil.which("lm_eval")
    if command is None:
        pytest.skip("needs lm-eval: pip install lm-eval")
    rows = [json.dumps({"question": f"{number}?", "answer": number % 2}) for number in range(8)]
    (tmp_path / "data.jsonl").write_text("\n".join(rows))
    (tmp_path / "tiny.yaml").write_text(TASK.format(data=tmp_path / "data.jsonl"))
    options = ["--model_args", "pretrained=models/a", "--include_path", str(tmp_path), "--output_path", "results"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    subprocess.run(
        [command, "--model", "dummy", "--tasks", "tiny", *options],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
    )
    (file,) = (tmp_path / "results").rglob("results_*.json")
    written = json.loads(file.read_text())["results"]["tiny"]
    (row,) = import_runs(tmp_path / "results").to_frame().to_dict("records")
    assert row == {
        "run_id": "models/a",
        "tiny/acc": written["acc,none"],
        "tiny/acc_norm": written["acc_norm,none"],
    }
