"""What training scripts print."""

from pathlib import Path

import pytest

from scaling.api.imports import import_runs
from scaling.errors import InputError

NANOGPT = """\
tokens per iteration will be: 1,000
number of parameters: 10.65M
step 0: train loss 4.2874, val loss 4.2823
iter 0: loss 4.2656, time 29462.35ms, mfu -100.00%
step 250: train loss 1.9663, val loss 2.0672
iter 250: loss 2.0, time 100.00ms, mfu 30.00%
iter 260: loss 1.9, time 100.00ms, mfu 30.00%
"""


def log(folder: Path, text: str, name: str = "a.log") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_last_evaluation_counts_and_not_the_last_step(tmp_path: Path) -> None:
    (row,) = import_runs(log(tmp_path, NANOGPT)).to_frame().to_dict("records")
    assert (row["run_id"], row["params"], row["tokens"], row["loss"]) == ("a", 10_650_000, 250_000, 2.0672)


def test_a_line_torn_by_a_crash_is_left_out(tmp_path: Path) -> None:
    (row,) = import_runs(log(tmp_path, NANOGPT + "step 500: train loss 1.2, val lo")).to_frame().to_dict("records")
    assert row["loss"] == 2.0672


def test_a_run_that_resumes_goes_on_and_another_begins_anew(tmp_path: Path) -> None:
    resumed = (
        "tokens per iteration will be: 1,000\nnumber of parameters: 10.65M\nstep 500: train loss 1.5, val loss 1.8\n"
    )
    other = NANOGPT.replace("10.65M", "29.94M").replace("2.0672", "1.9")
    frame = import_runs(log(tmp_path, NANOGPT + resumed + other)).to_frame()
    assert frame["params"].tolist() == [10_650_000, 29_940_000]
    assert frame["tokens"].tolist() == [500_000, 250_000]
    assert frame["loss"].tolist() == [1.8, 1.9]
    assert frame["run_id"].tolist() == ["a-1", "a-2"]


def test_without_sizes_what_is_missing_is_requested_at_once(tmp_path: Path) -> None:
    text = "step:0/500 val_loss:10.8 train_time:0ms\nstep:250/500 val_loss:3.4 train_time:9ms step_avg:1.00ms\n"
    path = log(tmp_path, text)
    with pytest.raises(InputError) as caught:
        import_runs(path)
    params, tokens = caught.value.errors
    assert "no params recognised" in params
    assert "`columns` batch_tokens=NUMBER" in tokens
    (row,) = import_runs(path, columns={"params": "124M", "batch_tokens": "524288"}).to_frame().to_dict("records")
    assert (row["params"], row["tokens"], row["loss"]) == (124e6, 250 * 524288, 3.4)
    assert row["status"] == "incomplete"  # of 500 steps


def test_a_main_log_of_llmc(tmp_path: Path) -> None:
    path = log(tmp_path, "s:0 tel:11.0\ns:1 trl:10.9 lr:1e-05\ns:250 tel:5.5\ns:251 trl:5.4 lr:3e-04\n", "main.log")
    columns = {"params": "124M", "batch_tokens": "0.5M"}
    (row,) = import_runs(path, columns=columns).to_frame().to_dict("records")
    assert (row["loss"], row["tokens"], row["lr"]) == (5.5, 125e6, 3e-4)


def test_a_loss_that_is_no_number_stays_so(tmp_path: Path) -> None:
    frame = import_runs(log(tmp_path, NANOGPT + "step 500: train loss nan, val loss nan\n")).to_frame()
    assert frame["loss"].isna().tolist() == [True]
    assert frame["tokens"].tolist() == [500_000]


def test_another_text_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a log that is known"):
        import_runs(log(tmp_path, "Dear diary,\nstep by step\n"))


def test_lines_after_a_time_and_in_colour(tmp_path: Path) -> None:
    lines = [f"\x1b[32m[2026-11-30 10:00:00] [rank 0]: {line}\x1b[0m\r" for line in NANOGPT.splitlines()]
    (row,) = import_runs(log(tmp_path, "\n".join(lines))).to_frame().to_dict("records")
    assert (row["params"], row["tokens"], row["loss"]) == (10_650_000, 250_000, 2.0672)


def test_sizes_that_no_log_tells_are_given_one_by_one(tmp_path: Path) -> None:
    tables = []
    for size in ("124M", "350M"):
        log(tmp_path, "step:250/250 val_loss:3.4 train_time:9ms\n", f"{size}.txt")
        tables.append(tmp_path / f"{size}.csv")
        import_runs(tmp_path / f"{size}.txt", tables[-1], columns={"params": size, "batch_tokens": "524288"})
    frame = import_runs(tables).to_frame()
    assert frame["params"].tolist() == [124e6, 350e6]
    assert frame["run_id"].tolist() == ["124M", "350M"]


def test_nanochat_logs_bits_per_byte(tmp_path: Path) -> None:
    lines = ["Number of parameters: 560,988,160", "Total batch size 524,288 => gradient accumulation steps: 8"]
    lines += ["Step 00250 | Validation bpb: 1.0500", "Step 00500 | Validation bpb: 0.9500"]
    path = log(tmp_path, "\n".join(lines))
    (row,) = import_runs(path).to_frame().to_dict("records")
    assert (row["params"], row["tokens"], row["bits_per_byte"]) == (560_988_160, 500 * 524_288, 0.95)
    log(tmp_path, "\n".join([*lines, "step 00500/02000 (25.00%) | loss: 2.9 | lrm: 1.00 | dt: 10.00ms"]))
    with pytest.raises(InputError, match="'val bpb', 'train loss' could all be the loss"):
        import_runs(path)
