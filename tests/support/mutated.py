"""Sweep files and tables after a few accidents: bytes, lines, keys and values that are not what they were."""

import bz2
import contextlib
import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
from synthetic import sweep

SWEEPS = [path.read_bytes() for path in sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))]
ODD_VALUES = [
    "0", "-1", "1e999", "-1e999", "1e-999", "1e308", "1e18", "1e15", "1e16", "99999999999999999999999999", "0x10",
    "1_000", ".5", "5.", "1e", "40%", "0%", "-5%", "3e18", "15T", "nan", "inf", "-inf", ".nan", ".inf", "NaN",
    "None", "null", "~", "true", "false", "yes", "no", "on", "12:30", "2026-01-01", "[]", "{}", "[[]]", "[1]",
    "{a:1}", "llama3-8b", "llama9-8b", "transfer", "llama", "wsd", "cosine", "float16", "sotu", "python", "../x",
    "/etc/passwd", "${HOME}", "%s", "$(x)", "*a", "&a", "!!python/object:os.system", "!!binary", "!!set", "0.5x",
    "-1x", "x", "1e400x", "é", "𝒳", "\u202e", "-", "?", "|", ">", "'", '"', "`", "@", "#", "%",
]  # fmt: skip
KEYS = [
    "name", "model", "corpus", "fit", "target", "grid", "recipe", "schedule", "dtype", "eval_tokens", "mesh",
    "microbatches", "remat", "sizes", "flops", "tokens", "tokens_per_param", "seeds", "trunk", "size", "seq_len",
    "vocab", "head_dim", "heads", "depth", "width", "width_per_layer", "kv_ratio", "ffn_ratio", "epochs",
    "learning_rate", "batch_tokens", "weight_decay", "warmup", "kind", "decay", "data", "fsdp", "tensor", "from",
    "path", "tests", "x", "__class__", "<<",
]  # fmt: skip


def mutated_sweep(chance: random.Random) -> bytes:
    """A sweep file after a few accidents."""
    text = chance.choice(SWEEPS)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        lines = text.split(b"\n")
        at = chance.randrange(len(lines))
        match chance.randrange(12):
            case 0:  # bytes
                place = chance.randrange(len(text) + 1)
                text = (
                    text[:place] + bytes(chance.randrange(256) for _ in range(3)) + text[place + chance.randrange(4) :]
                )
            case 1:  # cut off
                text = text[: chance.randrange(len(text) + 1)]
            case 2:  # a line gone, twice, or elsewhere
                line = lines.pop(at)
                lines[at:at] = [line] * chance.choice([0, 2, 3])
                text = b"\n".join(lines)
            case 3:
                chance.shuffle(lines)
                text = b"\n".join(lines)
            case 4:  # indented otherwise
                lines[at] = b" " * chance.randrange(6) + lines[at].lstrip()
                text = b"\n".join(lines)
            case 5 | 6 | 7:  # a value
                key, colon, _ = lines[at].partition(b":")
                if colon:
                    lines[at] = key + b": " + chance.choice(ODD_VALUES).encode()
                text = b"\n".join(lines)
            case 8:  # a key
                key, colon, value = lines[at].partition(b":")
                if colon:
                    lines[at] = key[: len(key) - len(key.lstrip())] + chance.choice(KEYS).encode() + b":" + value
                text = b"\n".join(lines)
            case 9:  # a key of one's own
                text += f"\n{chance.choice(KEYS)}: {chance.choice(ODD_VALUES)}\n".encode()
            case 10:  # a number another order of magnitude
                digits = [index for index, byte in enumerate(text) if chr(byte).isdigit()]
                if digits:
                    place = chance.choice(digits)
                    text = text[:place] + str(10 ** chance.randrange(12)).encode() + text[place + 1 :]
            case 11:  # an anchor and its alias
                text = text.replace(b": ", b": &a ", 1) + b"\nx: *a\n"
    return text


ODD_CELLS: list[object] = [
    None, float("nan"), float("inf"), float("-inf"), 0, -1, 0.0, -0.0, 1e308, 1e-308, 5e-324, 10**15, 2**53 + 1, 2**63 - 1,
    "", " ", "1e5", "1,000", "abc", "nan", "inf", "-inf", "1e999", "0x10", "12:30", "2026-01-01", "true", "𝒳é\u202e", "a\nb",
    "a\x00b", '"', "'", ",", ";", "$x", "<script>", "=1+1", True, False, "done", "fit", "target", "diverged", 1e5, 3.0, 0.5,
    "20M", "0.1B", "1,600,000,000", "1,600B", "5,407", "38%", "7b", "1 600", "d512", "NA", "N/A", "-", "1.6 billion",
    "finished", "CRASHED", "CANCELLED by 1000", "Running", b"\xff\xfe", b"text",
]  # fmt: skip
COLUMNS = [
    "params", "tokens", "loss", "flops", "run_id", "trunk_id", "role", "status", "seed", "corpus", "lr", "N", "D",
    "C", "epochs", "unique_tokens", "batch_tokens", "schedule", "params_nonembedding", "tokenizer", "seq_len",
    "loss_stderr", "width", "é", "__class__", "index", "level_0", "", " ", "a b", "$x", "1",
    "eval/loss", "Eval Loss", " loss", "train_loss", "perplexity", "tokens (B)", "params_M", "State", "Name", "run name",
    "a`b", "a,b", 'a"b', "two\nlines", "step", "val_loss", "bits_per_byte",
]  # fmt: skip
WHERES = [
    "flops <= 1e12",
    "loss > 0 and role == 'fit'",
    "params in [1, 2]",
    "loss == [1]",
    "loss",
    "1",
    "not 1",
    "nan < 1",
    "loss < 10 ** 9",
    "tokens < 99999999999999999999999999",
    "corpus < 1",
    "loss == None",
    "role == role",
    "1 < loss < 3",
    "`eval/loss` > 0",
    "`a``b` == 1",
    "`",
    "``",
    "a.b.c > 1",
    "State == 'finished'",
    "`two\nlines` != '`'",
    "params > '1'",
]
NAMINGS = [
    {"params": "N"}, {"loss": "perplexity"}, {"loss": "eval/loss"}, {"tokens": "tokens (B)"}, {"run_id": "Name"},
    {"status": "State"}, {"loss": " loss"}, {"params": "two\nlines"}, {"loss": "bits_per_byte", "params": "params_M"},
]  # fmt: skip


def _mutated(frame: pd.DataFrame, chance: random.Random) -> pd.DataFrame:
    """A table after a few accidents."""
    frame = frame.sample(n=chance.choice([*[len(frame)] * 12, 20, 9, 5, 2, 1, 0]), random_state=chance.randrange(2**32))
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
        if frame.shape[1] == 0:
            break
        name = chance.choice(list(frame.columns))
        match chance.randrange(8):
            case 0 | 1 | 2 if len(frame):
                column = frame[name].astype(object).tolist() if not isinstance(frame[name], pd.DataFrame) else []
                for _ in range(chance.choice([1, 1, 3, len(column)]) if column else 0):
                    column[chance.randrange(len(column))] = chance.choice(ODD_CELLS)
                if column:
                    frame = frame.assign(**{name: pd.Series(column, frame.index, dtype=object)})
            case 3:
                frame = frame.drop(columns=name)
            case 4:
                frame = frame.rename(columns={name: chance.choice(COLUMNS)})
            case 5:
                frame = pd.concat([frame, frame[[name]]], axis=1)
            case 6 if len(frame) and not isinstance(frame[name], pd.DataFrame):
                frame = frame.assign(**{name: [chance.choice(ODD_CELLS)] * len(frame)})
            case 7 if pd.api.types.is_numeric_dtype(frame.dtypes.iloc[list(frame.columns).index(name)]):
                frame = frame.assign(**{name: frame[name] * chance.choice([0, -1, 1e-300, 1e30, 1e150, 1e300])})
    return frame


def _plain(value: Any) -> object:
    return value.decode("latin-1") if isinstance(value, bytes) else value.item()


def _write(frame: pd.DataFrame, path: Path, chance: random.Random) -> None:
    """A table in the format of its path, in one encoding or another; sometimes damaged afterwards."""
    encoding = chance.choice([*["utf-8"] * 16, "utf-8-sig", "utf-16", "latin-1", "cp037"])
    if path.suffix == ".parquet":
        unique = frame.loc[:, ~frame.columns.duplicated()]
        with contextlib.suppress(Exception):  # arrow has no type for a column of everything
            unique.to_parquet(path)
        if not path.exists():
            unique.map(str).to_parquet(path)
    elif path.suffix in (".jsonl", ".json"):
        rows = [
            dict(zip(map(str, frame.columns), row, strict=True)) for row in frame.itertuples(index=False, name=None)
        ]
        lines = [json.dumps(row, default=_plain) for row in rows]
        joined = "\n".join(lines) if path.suffix == ".jsonl" else f"[{', '.join(lines)}]"
        path.write_bytes(joined.encode(encoding, errors="replace"))
    else:
        text = io.StringIO()
        writer = csv.writer(text, delimiter=chance.choice([*[","] * 9, ";", "\t", "|"]), escapechar="\\")
        writer.writerow(frame.columns)
        writer.writerows(frame.itertuples(index=False, name=None))
        path.write_bytes(text.getvalue().encode(encoding, errors="replace"))
    if chance.random() < 0.15:
        content = bytearray(path.read_bytes())
        for _ in range(chance.choice([1, 3, 30])):
            if content:
                content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content[: chance.choice([len(content), len(content), chance.randrange(len(content) + 1)])])


def mutated_table(folder: Path, chance: random.Random) -> Path:
    """A file of runs after a few accidents, made in a folder; in one format and encoding or another."""
    path = folder / f"fuzzed.{chance.choice(['csv', 'csv', 'tsv', 'jsonl', 'json', 'parquet'])}"
    path.unlink(missing_ok=True)
    frame = _mutated(sweep(seed=chance.randrange(4)).drop(columns=["sweep", "wall_s"]), chance)
    if chance.random() < 0.1:  # a step log of a few runs
        frame = pd.concat([frame.assign(tokens=frame["tokens"] * k) for k in (1, 2, 3)]) if "tokens" in frame else frame
    _write(frame, path, chance)
    if chance.random() < 0.1:
        path.write_bytes(chance.choice([gzip.compress, bz2.compress])(path.read_bytes()))
    if chance.random() < 0.2:  # whatever its suffix says
        path = path.rename(
            folder / f"fuzzed{chance.choice(['.txt', '.csv', '.parquet', '', '.xlsx', '.jsonl', '.csv.gz'])}"
        )
    return path
