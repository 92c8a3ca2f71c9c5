"""Logs of a ladder of runs, as other tools write them: by the tools themselves where they can be installed."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LAW = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}
BATCH, POINTS = 2**16, 3


@dataclass(frozen=True)
class Run:
    """A run of the ladder: parameters, tokens, and the steps at which it is evaluated."""

    name: str
    params: int
    steps: int
    state: str = "finished"

    @property
    def tokens(self) -> int:
        return self.steps * BATCH

    @property
    def loss(self) -> float:
        return law(self.params, self.tokens)

    def points(self) -> list[tuple[int, float, float]]:
        """Step, evaluation loss and training loss of each evaluation; the last is the run's end."""
        steps = [self.steps * part // POINTS for part in range(1, POINTS + 1)]
        return [(step, law(self.params, step * BATCH), law(self.params, step * BATCH) - 0.05) for step in steps]


def law(params: float, tokens: float) -> float:
    """Loss of the law that every log follows."""
    return LAW["E"] + LAW["A"] / params ** LAW["alpha"] + LAW["B"] / tokens ** LAW["beta"]


def ladder(sizes: int = 4, lengths: int = 4) -> list[Run]:
    """Runs of several sizes and lengths, which all have finished."""
    return [
        Run(f"n{size}-d{length}", 20_000_000 * 3**size, 3 * 2000 * 2 ** (size + length))
        for size in range(sizes)
        for length in range(lengths)
    ]


def wandb_csv(folder: Path, runs: list[Run]) -> Path:
    """The CSV file that W&B's page of runs exports; by hand, as only its server writes it."""
    path = folder / "wandb_export_2026-11-30T10_00_00.000+01_00.csv"
    head = ["Name", "State", "Notes", "User", "Tags", "Created", "Runtime", "Sweep"]
    head += ["model.n_params", "opt.lr", "data.dataset"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow([*head, "eval/loss", "train/loss", "throughput/total_tokens", "eval/c4/bpb"])
        for run in runs:
            meta = [run.name, run.state, "-", "me", "", "2026-11-01T10:00:00.000Z", 3600, ""]
            writer.writerow([*meta, run.params, 0.001, "c4", run.loss, run.loss - 0.05, run.tokens, run.loss / 3])
    return path


def wandb_offline(folder: Path, runs: list[Run]) -> Path:
    """The ``wandb/`` folder of offline runs, by the wandb package."""
    import wandb

    for run in runs:
        tracked = wandb.init(
            project="ladder", name=run.name, dir=str(folder), config={"model": {"n_params": run.params}}
        )
        for step, loss, train in run.points():
            tracked.log({"train/loss": train, "tokens_seen": step * BATCH, "lr": 0.001 * (1 - step / run.steps / 2)})
            tracked.log({"eval/loss": loss})
        tracked.finish(exit_code=0 if run.state == "finished" else 1)
    return folder / "wandb"


def wandb_synced(folder: Path, runs: list[Run]) -> Path:
    """What ``wandb/`` keeps of runs that were synced, without their binary logs; by hand, as that needs the server."""
    for number, run in enumerate(runs):
        files = folder / "wandb" / f"run-20261130_1000{number:02d}-id{number:06d}" / "files"
        files.mkdir(parents=True)
        lines = [
            f"model:\n    value:\n        n_params: {run.params}",
            "_wandb:\n    value:\n        cli_version: 0.31.0",
        ]
        (files / "config.yaml").write_text("\n".join(lines) + "\n")
        summary = {
            "eval/loss": run.loss,
            "train/loss": run.loss - 0.05,
            "tokens_seen": run.tokens,
            "_step": 7,
            "_runtime": 9,
        }
        (files / "wandb-summary.json").write_text(json.dumps(summary | {"_wandb": {"runtime": 9}}))
    return folder / "wandb"


def _mlflow(uri: str, runs: list[Run]) -> None:
    import mlflow
    from mlflow.entities import Metric, Param

    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment("ladder")
    for run in runs:
        made = client.create_run(experiment, run_name=run.name, tags={"corpus": "c4"})
        params = [Param("n_params", str(run.params)), Param("optimizer/lr", "0.001")]
        metrics = [
            metric
            for step, loss, train in run.points()
            for metric in (
                Metric("train_loss", train, 1000 + step, step),
                Metric("val_loss", loss, 1000 + step, step),
                Metric("tokens", step * BATCH, 1000 + step, step),
            )
        ]
        client.log_batch(made.info.run_id, metrics=metrics, params=params)
        client.set_terminated(made.info.run_id, "FINISHED" if run.state == "finished" else "FAILED")


def mlflow_database(folder: Path, runs: list[Run]) -> Path:
    """``mlflow.db``, by MLflow."""
    _mlflow(f"sqlite:///{folder / 'mlflow.db'}", runs)
    return folder / "mlflow.db"


def mlflow_files(folder: Path, runs: list[Run]) -> Path:
    """``mlruns/``, by MLflow."""
    _mlflow((folder / "mlruns").as_uri(), runs)
    return folder / "mlruns"


def tensorboard(folder: Path, runs: list[Run]) -> Path:
    """Event files with hyperparameters, a folder a run, by tensorboardX."""
    from tensorboardX import SummaryWriter

    for run in runs:
        with SummaryWriter(str(folder / "events" / run.name)) as writer:
            for step, loss, train in run.points():
                writer.add_scalar("loss/val", loss, step)
                writer.add_scalar("loss/train", train, step)
                writer.add_scalar("tokens", step * BATCH, step)
            writer.add_hparams({"n_params": run.params, "lr": 0.001, "corpus": "c4"}, {"hp/loss": run.loss}, name="hp")
    return folder / "events"


def trainer(folder: Path, runs: list[Run]) -> Path:
    """Runs of Hugging Face's Trainer by its own state, whose tokens are counted; the model's file by hand."""
    from transformers.trainer_callback import TrainerState

    for run in runs:
        width = run.params // 10_000
        home = folder / "trained" / run.name / f"checkpoint-{run.steps}"
        home.mkdir(parents=True)
        config: dict[str, Any] = {"model_type": "llama", "hidden_size": width, "intermediate_size": 2 * width}
        config |= {"num_attention_heads": 1, "num_hidden_layers": 2, "vocab_size": 1000, "tie_word_embeddings": False}
        (home / "config.json").write_text(json.dumps(config))
        params = llama_params(width)
        rows: list[dict[str, float]] = []
        for step, _, _ in run.points():
            loss, counted = law(params, step * BATCH), {"num_input_tokens_seen": step * BATCH, "step": step}
            rows += [{"loss": loss - 0.05, "learning_rate": 1e-3, **counted}, {"eval_loss": loss, **counted}]
        state = TrainerState(
            global_step=run.steps, max_steps=run.steps, log_history=rows, num_input_tokens_seen=run.tokens
        )
        state.save_to_json(str(home / "trainer_state.json"))
    return folder / "trained"


def llama_params(width: int) -> int:
    """Parameters of the two-layer Llamas above."""
    return 2 * 1000 * width + 2 * (4 * width**2 + 6 * width**2 + 2 * width) + width


def levanter(folder: Path, runs: list[Run]) -> Path:
    """Levanter's JSON logger behind the prefix of a logger; by hand, as Levanter does not install beside this JAX."""
    (folder / "levanter").mkdir()
    for run in runs:
        own = {
            "trainer": {"id": run.name, "seed": 3},
            "optimizer": {"learning_rate": 0.001},
            "model": {"hidden_dim": 64},
        }
        events: list[dict[str, Any]] = [{"event": "hparams", "hparams": own}]
        events.append({"event": "summary", "metrics": {"parameter_count": run.params}})
        for step, loss, train in run.points():
            metrics = {"train/loss": train, "throughput/total_tokens": step * BATCH}
            events.append({"event": "log", "step": step, "metrics": metrics})
            metrics = {
                "eval/loss": loss,
                "eval/macro_loss": loss + 0.1,
                "eval/bpb": loss / 3,
                "eval/c4/loss": loss + 0.2,
            }
            events.append({"event": "log", "step": step, "metrics": metrics})
        if run.state == "finished":
            events.append({"event": "finish", "summary": {"eval/loss": run.loss}})
        lines = [
            "2026-11-30 10:00:00 - 0 - levanter.json_logger - INFO :: " + json.dumps({"tracker": "json_logger", **e})
            for e in events
        ]
        (folder / "levanter" / f"{run.name}.log").write_text("\n".join(["starting", *lines]) + "\n")
    return folder / "levanter"


def nanogpt(folder: Path, runs: list[Run]) -> Path:
    """What nanoGPT's train.py prints, a file a run; by hand."""
    (folder / "nanogpt").mkdir()
    for run in runs:
        lines = ["Overriding: learning_rate = 0.001", f"tokens per iteration will be: {BATCH:,}"]
        lines += [
            f"number of parameters: {run.params / 1e6:.2f}M",
            "num decayed parameter tensors: 18, with 9 parameters",
        ]
        for step, loss, train in run.points():
            lines.append(f"step {step}: train loss {train:.4f}, val loss {loss:.4f}")
            lines.append(f"iter {step}: loss {train:.4f}, time 100.00ms, mfu 30.00%")
        (folder / "nanogpt" / f"{run.name}.log").write_text("\n".join(lines) + "\n")
    return folder / "nanogpt"


def llmc(folder: Path, runs: list[Run]) -> Path:
    """What llm.c's train_gpt2cu prints, a file a run; by hand."""
    (folder / "llmc").mkdir()
    for run in runs:
        lines = ["+-----------------------+--------------------+", f"| num_parameters        | {run.params}          |"]
        lines.append(f"total_batch_size: {BATCH}")
        lines.append(f"| total_batch_size      | {BATCH}             |")
        for step, loss, train in run.points():
            lines.append(
                f"step {step:5d}/{run.steps} | loss {train:.6f} (+0.10z)| norm 0.5 (-0.1z)| lr 1.00e-03 | 100.00 ms"
            )
            lines.append(f"val loss {loss:.6f}")
        (folder / "llmc" / f"{run.name}.txt").write_text("\n".join(lines) + "\n")
    return folder / "llmc"


def excel(folder: Path, runs: list[Run]) -> Path:
    """A workbook whose second sheet holds the table below a title, by openpyxl."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["what we did"])
    sheet = book.create_sheet("runs")
    sheet.append(["The ladder"])
    sheet.append([])
    sheet.append(["Run", "State", "N", "D", "Eval Loss", "corpus"])
    for run in runs:
        sheet.append([run.name, run.state, f"{run.params / 1e6:g}M", run.tokens, run.loss, "c4"])
    book.save(folder / "ladder.xlsx")
    return folder / "ladder.xlsx"


def lm_eval_results(folder: Path, accuracies: dict[str, dict[str, float]]) -> Path:
    """Results of the Language Model Evaluation Harness; by hand, in its fields."""
    for model, tasks in accuracies.items():
        place = folder / "results" / model.replace("/", "__")
        place.mkdir(parents=True)
        results = {
            task: {
                "alias": task,
                "acc,none": value,
                "acc_stderr,none": 0.01,
                "acc_norm,none": value + 0.01,
                "sample_len": 9,
            }
            for task, value in tasks.items()
        }
        content = {
            "results": results,
            "config": {"model": "hf", "model_args": f"pretrained={model}"},
            "model_name": model,
        }
        (place / "results_2026-11-30T10-00-00.000000.json").write_text(json.dumps(content, indent=2))
    return folder / "results"


def _in_its_own_process(write: Callable[[Path, list[Run]], Path]) -> Callable[[Path, list[Run]], Path]:
    """The same by another process: the tool changes the environment, starts servers and raises warnings."""

    def called(folder: Path, runs: list[Run]) -> Path:
        offline = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}
        paths = {"PYTHONPATH": str(Path(__file__).parents[1]), "HOME": str(folder), "TMPDIR": str(folder)}
        command = [sys.executable, "-W", "ignore", "-m", "foreign.written", write.__name__, str(folder)]
        content = json.dumps([asdict(run) for run in runs])
        done = subprocess.run(
            command, env=os.environ | offline | paths, input=content, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.splitlines()[-1])

    return called


# Kind -> its writer, and the packages that it needs.
WRITERS: dict[str, tuple[Callable[[Path, list[Run]], Path], str]] = {
    "wandb-csv": (wandb_csv, ""),
    "wandb-offline": (_in_its_own_process(wandb_offline), "wandb"),
    "wandb-synced": (wandb_synced, ""),
    "mlflow-database": (_in_its_own_process(mlflow_database), "mlflow"),
    "mlflow-files": (_in_its_own_process(mlflow_files), "mlflow"),
    "tensorboard": (tensorboard, "tensorboardX"),
    "trainer": (trainer, "transformers"),
    "levanter": (levanter, ""),
    "nanogpt": (nanogpt, ""),
    "llmc": (llmc, ""),
    "excel": (excel, "openpyxl"),
}


if __name__ == "__main__":
    made = globals()[sys.argv[1]](Path(sys.argv[2]), [Run(**run) for run in json.load(sys.stdin)])
    print(made)
