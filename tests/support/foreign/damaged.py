"""Logs of other tools after a few accidents: bytes, lines, keys and values that are not what they were."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

ODD = [
    *(
        None,
        True,
        False,
        -1,
        0,
        1e308,
        -1e308,
        float("nan"),
        float("inf"),
        10**400,
        "",
        " ",
        "nan",
        "1e999",
        "20M",
        "x",
    ),
    *("\u202e", "a\nb", "\x00", [], {}, [1], {"a": {"b": 1}}, [[]], {"step": 1}, "../x", "finished", 5e-324, 2**63),
]
NAMES = [
    "loss",
    "eval_loss",
    "val/loss",
    "tokens",
    "n_params",
    "step",
    "",
    "é",
    "__class__",
    "a" * 300,
    "eval/bpb",
    "lr",
]


def damage(source: Path, chance: random.Random) -> None:
    """Some accidents to the files of a log, in place."""
    files = sorted(path for path in ([source] if source.is_file() else source.rglob("*")) if path.is_file())
    for _ in range(chance.choice([1, 1, 2, 4])):
        file = chance.choice(files)
        if not file.is_file():
            continue
        content = file.read_bytes()
        match chance.randrange(9):
            case 0:  # cut off
                file.write_bytes(content[: chance.randrange(len(content) + 1)])
            case 1:  # bytes
                file.write_bytes(_with_odd_bytes(content, chance))
            case 2:  # lines
                file.write_bytes(_with_odd_lines(content, chance))
            case 3 if source.is_dir():
                file.unlink()
            case 4 if source.is_dir():  # elsewhere
                shutil.copy(
                    file, file.with_name(chance.choice([f"{file.stem}-2{file.suffix}", "x.json", "results_x.json"]))
                )
            case 5:  # another encoding
                file.write_bytes(
                    content.decode("latin-1").encode(chance.choice(["utf-16", "utf-8", "cp037"]), "replace")
                )
            case 6 | 7:
                file.write_bytes(_with_odd_json(content, chance))
            case _:  # a number of another order
                file.write_bytes(_with_odd_number(content, chance))


def _with_odd_bytes(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice([1, 3, 30])):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _with_odd_lines(content: bytes, chance: random.Random) -> bytes:
    lines = content.split(b"\n")
    at = chance.randrange(len(lines))
    line = lines.pop(at)
    lines[at:at] = [line] * chance.choice([0, 2, 3]) + chance.choice(
        [[], [b"{"], [b"\xff\xfe"], [b"a: [1"], [line[::-1]]]
    )
    if chance.random() < 0.2:
        chance.shuffle(lines)
    return b"\n".join(lines)


def _with_odd_number(content: bytes, chance: random.Random) -> bytes:
    digits = [index for index, byte in enumerate(content[:100_000]) if chr(byte).isdigit()]
    if not digits:
        return content
    place = chance.choice(digits)
    odd = chance.choice([str(10 ** chance.randrange(30)), "-", "nan", "1e999", "NaN", "x", "0", ""])
    return content[:place] + odd.encode() + content[place + 1 :]


def _with_odd_json(content: bytes, chance: random.Random) -> bytes:
    """A value, a key or a type somewhere in a JSON file, or in a line of it."""
    lines = content.split(b"\n")
    places = [None, *(at for at, line in enumerate(lines) if b"{" in line)]
    for at in chance.sample(places, len(places)):
        text = content if at is None else lines[at]
        begin = text.find(b"{")
        try:
            found = json.loads(text[begin:])
        except ValueError:
            continue
        made = text[:begin] + json.dumps(_odd(found, chance)).encode()
        return made if at is None else b"\n".join([*lines[:at], made, *lines[at + 1 :]])
    return content


def _odd(value: Any, chance: random.Random) -> Any:
    if not isinstance(value, dict | list) or not value or chance.random() < 0.1:
        return chance.choice(ODD)
    if isinstance(value, list):
        at = chance.randrange(len(value))
        return [*value[:at], _odd(value[at], chance), *value[at + 1 :]]
    key = chance.choice(list(value))
    if chance.random() < 0.2:
        return {chance.choice(NAMES) if name == key else name: inner for name, inner in value.items()}
    return {**value, key: _odd(value[key], chance)}
