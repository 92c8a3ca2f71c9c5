"""Anchors, aliases and merge keys: values as YAML 1.1 merges them, and errors in the line where a value stands."""

import random
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from sweep.spec.sweep_texts import GOOD

from analysis.yaml_locations import read_yaml
from scaling.errors import InputError
from scaling.sweep.spec.data_file import load_build
from scaling.sweep.spec.sweep_file import parse_sweep

MERGED = """\
name: merged
model: {seq_len: 64, depth: 1, heads: 2}
corpus: sotu
fit:
  - &base {sizes: [5k, 8k, 13k], flops: 3e8, seeds: 2}
  - {<<: *base, flops: [6e8, 1.2e9]}
target: {size: 13k, flops: 1e10}
"""
PLAIN = MERGED.replace("<<: *base", "sizes: [5k, 8k, 13k], seeds: 2").replace("&base ", "")


def lines(text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        parse_sweep(text, "x.yaml", overrides)
    return caught.value.errors


def plain(text: str) -> object:
    located, violations = read_yaml(text, "x.yaml")
    assert violations == []
    assert located is not None
    return located.plain()


def test_a_merged_sweep_is_the_one_written_out() -> None:
    merged, written = parse_sweep(MERGED, "x.yaml"), parse_sweep(PLAIN, "x.yaml")
    assert merged.canonical() == written.canonical()
    assert merged.where("fit", 1, "sizes", 2) == "x.yaml:5:28"  # in the base
    assert merged.where("fit", 1, "flops", 1) == "x.yaml:6:30"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", {"x": "1", "y": "3"}),
        ("a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}", {"x": "1", "y": "3"}),  # whatever the order
        ("a: &a {x: 1}\nc: &c {x: 2, y: 2}\nb: {<<: [*a, *c]}", {"x": "1", "y": "2"}),  # the first counts
        ("a: &a {x: 1, y: 1}\nc: &c {<<: *a, y: 2}\nb: {<<: *c, z: 3}", {"x": "1", "y": "2", "z": "3"}),
        ("a: &a {n: {x: 1, y: 1}}\nb: {<<: *a}", {"n": {"x": "1", "y": "1"}}),
        ("a: &a {n: {x: 1, y: 1}}\nb: {<<: *a, n: {z: 1}}", {"n": {"z": "1"}}),  # keys merge, not their values
        ("b:\n  <<: {x: 1}\n  y: 2", {"x": "1", "y": "2"}),
        ("b: {<<: [{x: 1}, {x: 2, y: 2}]}", {"x": "1", "y": "2"}),
        ("b: {<<: []}", {}),
        ('b: {"<<": 1}', {"<<": "1"}),  # in quotes it is a word
    ],
)
def test_merging(text: str, value: object) -> None:
    root = plain(text)
    assert isinstance(root, dict)
    assert root["b"] == value


def test_what_is_repeated_is_nobody_elses() -> None:
    spec = parse_sweep(MERGED, "x.yaml", ["fit.1.seeds=3"])
    assert [len(block.seeds) for block in spec.fit] == [2, 3]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("13k], flops", "abc], flops", ["5:28: fit.0.sizes.2: ", "5:28: fit.1.sizes.2: "]),
        ("seeds: 2}", "seed: 2}", ["5:46: fit.0: unknown key 'seed'", "5:46: fit.1: unknown key 'seed'"]),
        ("flops: [6e8, 1.2e9]", "flops: -1", ["6:24: fit.1.flops.0: '-1' is not positive"]),
        ("flops: [6e8, 1.2e9]", "tokens: 1M", ["6:5: fit.1: needs exactly one of flops, tokens and"]),
        ("flops: [6e8, 1.2e9]", "<<: *base", ["6:17: duplicate key '<<', first given at x.yaml:6:6; merge several"]),
        ("flops: 3e8,", "flops: 3e8, flops: 1,", ["5:46: duplicate key 'flops', first given at x.yaml:5:34"]),
        ("*base", "13k", ["6:10: << takes a mapping, or a list of mappings"]),
        ("*base", "[*base, [*base]]", ["6:18: << takes a mapping, or a list of mappings"]),
        ("*base", "*bass", ["6:10: found undefined alias 'bass'; a value that begins with * needs quotes"]),
        ("seeds: 2}", "<<: *base}", ["5:5: contains itself: an alias stands inside the value that it repeats"]),
        ("seeds: 2}", "seeds: {<<: *base}}", ["5:5: contains itself"]),
    ],
)
def test_an_error_is_reported_where_the_value_stands(old: str, new: str, expected: list[str]) -> None:
    assert old in MERGED
    found = [line for line in lines(MERGED.replace(old, new, 1)) if "missing key" not in line]
    assert len(found) == len(expected)
    for line, words in zip(found, expected, strict=True):
        assert line.startswith(f"x.yaml:{words}")


@pytest.mark.parametrize("repeat", ["[{}]", "{{<<: [{}]}}"])
def test_expansions_that_explode_are_one_line(repeat: str) -> None:
    text = "l0: &l0 {x: 1}\n"
    for level in range(1, 12):
        text += f"l{level}: &l{level} " + repeat.format(", ".join([f"*l{level - 1}"] * 9)) + "\n"
    located, violations = read_yaml(text, "x.yaml")
    assert located is None
    assert [message for _, message in violations] == ["values are too many, or nested too deeply"]


def test_keys_for_anchors_alone() -> None:
    text = "x-seeds: &seeds {seeds: 2}\nx-more: {anything: [goes]}\n" + MERGED.replace(", seeds: 2}", ", <<: *seeds}")
    assert parse_sweep(text, "x.yaml").canonical() == parse_sweep(PLAIN, "x.yaml").canonical()
    (line,) = lines(text.replace("x-seeds", "defaults"))
    assert line.startswith("x.yaml:1:1: unknown key 'defaults'; the keys here are name, ")
    assert line.endswith(", and x-... for what aliases repeat")
    (line,) = lines(text, "corpus={name: sotu, x-a: 1}")
    assert "unknown key 'x-a'" in line


def test_a_data_file_merges_too(tmp_path: Path) -> None:
    merged, written = tmp_path / "merged.yaml", tmp_path / "written.yaml"
    source = "{path: a.jsonl, text: body, weight: 1}"
    merged.write_text(f"name: mix\nsources:\n  - &a {source}\n  - {{<<: *a, path: b.jsonl, weight: 2}}\n")
    second = source.replace("a.jsonl", "b.jsonl").replace(": 1", ": 2")
    written.write_text(f"name: mix\nsources:\n  - {source}\n  - {second}\n")
    assert load_build(merged) == load_build(written)
    merged.write_text(merged.read_text().replace("weight: 1", "weight: none"))
    with pytest.raises(InputError, match=rf"{merged}:3:\d+: sources\.0\.weight: "):
        load_build(merged)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("!!python/object/apply:os.system [ls]", "3:9: the tag !!python/object/apply:os.system is not read here"),
        ("!mine sotu", "3:9: the tag !mine is not read here; write the value without it"),
        ("!!binary aGk=", "3:9: the tag !!binary is not read here"),
        ("{name: python, tests: yes}", "3:31: corpus.tests: must be true or false, not 'yes'"),
        ("{name: python, tests: !!bool yes}", "3:31: corpus.tests: must be true or false, not 'yes'"),
        ("{name: sotu, 1: 2}", "3:22: corpus: unknown key '1'"),
        ("{name: sotu, epochs: 0x10}", "3:30: corpus.epochs: '0x10' is not a number"),
        ("{name: sotu, epochs: 0o10}", "3:30: corpus.epochs: '0o10' is not a number"),
        ("{name: sotu, epochs: 1:30}", "3:30: corpus.epochs: '1:30' is not a number"),
        ("sotu\t# a tab", "3:13: a tab cannot stand here; use spaces"),
        ("sotu\n---\nname: b", "4:1: a file is one document, and this begins another"),
        ("sotu\n...\nname: b", "5:1: a file is one document, and this begins another"),
    ],
)
def test_what_other_readers_take_otherwise_is_one_line(value: str, line: str) -> None:
    assert any(found.startswith(f"x.yaml:{line}") for found in lines(GOOD.replace("corpus: sotu", f"corpus: {value}")))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 010", "010"),
        ("a: yes", "yes"),
        ("%YAML 1.1\n---\na: no", "no"),
        ("a: 12:30", "12:30"),
        ("a: 2026-01-01", "2026-01-01"),
        ("a: 1_000", "1_000"),
        ("a: !!str 3", "3"),
        ("a: !!null x", "x"),
        ("a: !!bool True", True),
        ("a: ~", None),
        ("a: 1\n...\n", "1"),
    ],
)
def test_words_stay_words(text: str, value: object) -> None:
    assert plain(text) == {"a": value}


def test_merges_are_those_of_another_reader() -> None:
    """Random bases that merge one another, own keys before and after, against what ruamel constructs."""
    rng = random.Random(0)
    for _ in range(200):
        lines = []
        for number in range(rng.randint(1, 6)):
            own = [f"{key}: {rng.randint(0, 99)}" for key in "pqrst" if rng.random() < 0.4]
            bases = rng.sample(range(number), rng.randint(0, min(number, 3)))
            if bases:
                names = ", ".join(f"*b{base}" for base in bases)
                merge = f"<<: {names}" if len(bases) == 1 and rng.random() < 0.7 else f"<<: [{names}]"
                own.insert(rng.randint(0, len(own)), merge)
            lines.append(f"b{number}: &b{number} {{{', '.join(own)}}}")
        text = "\n".join(lines)
        theirs = YAML(typ="safe", pure=True).load(text)
        assert plain(text) == {
            base: {key: str(value) for key, value in items.items()} for base, items in theirs.items()
        }
