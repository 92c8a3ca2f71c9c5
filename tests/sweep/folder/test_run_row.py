"""A run's row in the table says by which optimizer it was trained."""

import math

from tiny import make_run

from scaling.sweep.folder.run_table import run_row

STATUS = {
    "state": "done",
    "tokens_per_epoch": 1000,
    "loss": 1.5,
    "loss_stderr": 0.01,
    "bits_per_byte": 2.0,
    "device": "cpu",
    "wall_s": 1.0,
    "flops_per_s": None,
}


def test_the_optimizer_and_the_matrices_rate_are_columns() -> None:
    adamw, muon = (run_row(make_run(optimizer=name), STATUS, "fit", "x") for name in ("adamw", "muon"))
    assert (adamw["optimizer"], muon["optimizer"]) == ("adamw", "muon")
    assert muon["lr"] == make_run(optimizer="muon").recipe.rates.matrix != adamw["lr"]
    assert muon["flops"] == adamw["flops"]
    assert math.isnan(muon["mfu"])
