"""Errors in sweep files: each is reported on one line that begins with its place."""

from pathlib import Path

import pytest
from sweep.spec.sweep_texts import GOOD, GRID

from scaling.errors import InputError
from scaling.sweep.spec.sweep_file import load_sweep, parse_sweep


def violations(text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as error:
        parse_sweep(text, "x.yaml", overrides)
    return error.value.errors


def test_every_violation_at_once_each_in_its_place() -> None:
    text = """\
name: ../up
model: {seq_len: 128, head_dim: 15, width_per_layer: 16, tie_embeding: true, qk_norm: yes}
corpus: sotuu
fit:
  - {sizes: [8k, 16k], flop: [1e10], flops: 1e10, seeds: 0}
  - {sizes: [], tokens: [-3]}
  - 7
target: {size: 120k, flops: 3e12, flops: 4}
dtpe: float32
seq_len: 3
dtype: fp32
schedule: {kind: cosine, decay: 20%}
recipe: {learning_rate: abc, warmup: 1.5}
"""
    found = violations(text)
    assert [violation.split(": ")[0] for violation in found] == [
        "x.yaml:1:7",
        "x.yaml:2:33",
        "x.yaml:2:58",
        "x.yaml:2:87",
        "x.yaml:3:9",
        "x.yaml:5:24",
        "x.yaml:5:58",
        "x.yaml:6:13",
        "x.yaml:6:26",
        "x.yaml:7:5",
        "x.yaml:8:35",
        "x.yaml:9:1",
        "x.yaml:10:1",
        "x.yaml:11:8",
        "x.yaml:12:11",
        "x.yaml:13:25",
        "x.yaml:13:38",
    ]
    wanted = [
        "cannot name a folder",
        "15 is odd; RoPE rotates pairs",
        "unknown key 'tie_embeding'; did you mean 'tie_embeddings'?",
        "must be true or false, not 'yes'",
        "'docs', 'law' or 'scripture', not 'sotuu'; did you mean 'sotu'?",
        "unknown key 'flop'; did you mean 'flops'?",
        "'0' is not positive",
        "the list is empty",
        "'-3' is not positive",
        "must be a mapping, not '7'",
        "duplicate key 'flops', first given at x.yaml:8:22",
        "unknown key 'dtpe'; did you mean 'dtype'?",
        "unknown key 'seq_len'; it belongs under 'model'",
        "must be 'float32' or 'bfloat16', not 'fp32'",
        "cosine takes no decay",
        "'abc' is not a number",
        "'1.5' is not a fraction between 0 and 1",
    ]
    for violation, words in zip(found, wanted, strict=True):
        assert violation.endswith(words) or words in violation


def test_shapes_that_do_not_divide_are_reported_beside_other_violations() -> None:
    text = """\
name: a
model: {seq_len: 128, head_dim: 16, width_per_layer: 16, kv_ratio: 2}
corpus: sotu
fit:
  - tokens: 1M
    sizes:
      - {width: 60, depth: 2}
      - {width: 48, depth: 2}
      - {width: 64, depth: 3, kv_heads: 3}
      - {width: 66, depth: 3, heads: 22, kv_heads: 22}
      - {width: 64}
      - llama3-9b
      - 1k
target: {size: 33k}
"""
    assert [violation.removeprefix("x.yaml:") for violation in violations(text)][:5] == [
        "7:9: fit.0.sizes.0: width 60 is not a multiple of head_dim 16; give heads too",
        "8:9: fit.0.sizes.1: heads 3 is not a multiple of kv_ratio 2; give kv_heads too",
        "9:9: fit.0.sizes.2: heads 4 is not a multiple of kv_heads 3",
        "10:9: fit.0.sizes.3: head_dim 3 (width 66 / heads 22) is odd; RoPE needs pairs",
        "11:9: fit.0.sizes.4: a size is a number of parameters, a model's name or {width: ..., depth: ...}",
    ]
    assert "llama3-8b" in violations(text)[5]
    assert "no shape of this family is near 1k" in violations(text)[6]
    assert violations(text)[7] == (
        "x.yaml:14:9: target: needs exactly one of flops, tokens and tokens_per_param; none is given"
    )


def test_two_sizes_of_one_shape_are_both_named() -> None:
    (violation,) = violations(GOOD.replace("[7.5k, 33k]", "[7.5k, 33k, {width: 32, depth: 2}]"))
    assert violation == "x.yaml:5:25: fit.0.sizes.2: is the same shape, 32 wide and 2 deep, as 33k"


@pytest.mark.parametrize(
    ("old", "new", "violation"),
    [
        ("seeds: 2", "seeds: [1, 1]", "5:54: fit.0.seeds: 1 is given twice"),
        ("3e10]", "10B]", "5:33: fit.0.flops: 1e+10 is given twice"),
        ("seeds: 2", "tokens: 3", "5:5: fit.0: needs exactly one of flops, tokens and tokens_per_param; "),
        ("name: small", "nam: small", "1:1: unknown key 'nam'; did you mean 'name'?"),
        ("size: 120k", "size: [120k]", "7:16: target.size: a size is a number"),
        ("[7.5k, 33k]", "[1e40]", "5:14: fit.0.sizes.0.params: '1e40' is larger than anything"),
        ("head_dim: 16", "head_dim: 1.5", "2:33: model.head_dim: '1.5' is not a whole number"),
        ("head_dim: 16", "vocab: 100", "2:30: model.vocab: 100 is smaller than the vocabulary"),
        ("head_dim: 16", "head_dim: true", "2:33: model.head_dim: must be a number such as 3e18"),
        ("head_dim: 16", "head_dim: ", "2:8: model: needs exactly one of head_dim and heads"),
        ("corpus: sotu", "corpus: {path: x, name: sotu}", "3:9: corpus: has a name and a path"),
        ("corpus: sotu", "corpus: {name: sotu, tests: true}", "3:9: corpus: tests and site_packages belong"),
        ("corpus: sotu", "corpus: {names: [code], name: sotu}", "3:9: corpus: has a name and names; choose one"),
        ("corpus: sotu", "corpus: {names: [code], path: x}", "3:9: corpus: has names and a path; choose one"),
        ("corpus: sotu", "corpus: {names: [code, docz]}", "3:24: corpus.names.1: must be 'speech', 'code', 'docs', "),
        ("corpus: sotu", "corpus: {names: docz}", "3:17: corpus.names.0: must be 'speech', 'code', 'docs', 'law' or "),
        ("corpus: sotu", "corpus: {names: []}", "3:17: corpus.names: the list is empty"),
        ("corpus: sotu", "corpus: {names: [code, docs, code]}", "3:17: corpus.names: 'code' is given twice"),
        ("corpus: sotu", "corpus: {names: {code: 1}}", "3:17: corpus.names: must be a list, not a mapping"),
        ("corpus: sotu", "corpus: {names: [code], tests: true}", "3:9: corpus: tests and site_packages belong"),
        ("corpus: sotu", "corpus: [sotu]", "3:9: corpus: must be a mapping, not a list"),
        ("name: small", 'name: "\\ud800"', "1:7: an escape gives half a character, U+D800 to U+DFFF"),
        ("corpus: sotu", "? [a]\n: b\ncorpus: sotu", "3:3: a key must be a word"),
        ("corpus: sotu", "corpus: &a [*a]", "3:9: contains itself: an alias stands inside"),
    ],
)
def test_violation(old: str, new: str, violation: str) -> None:
    assert old in GOOD
    assert any(found.startswith(f"x.yaml:{violation}") for found in violations(GOOD.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("text", "violation"),
    [
        ("", "x.yaml:1:1: a sweep file maps keys to values; the file is empty"),
        ("# nothing\n", "x.yaml:1:1: a sweep file maps keys to values; the file is empty"),
        ("- 1", "x.yaml:1:1: a sweep file maps keys to values; not a list"),
        ("name", "x.yaml:1:1: a sweep file maps keys to values; not 'name'"),
        ("a: [1", "x.yaml:1:6: while parsing a flow sequence: expected ',' or ']', but got the end"),
        ("a: b: c", "x.yaml:1:5: mapping values are not allowed here"),
        ("a:\n\tb: 1", "x.yaml:2:1: a tab cannot stand here; use spaces"),
        ("a: 1\nb: \x01", "x.yaml:2:4: character U+0001 is not allowed"),
        ("--- 1\n--- 2", "x.yaml:2:1: a file is one document, and this begins another"),
        ("a: *b", "x.yaml:1:4: found undefined alias 'b'; a value that begins with * needs quotes"),
        ("[" * 1000, "x.yaml:1:23: values are too many, or nested too deeply"),
    ],
)
def test_what_is_no_mapping_is_one_line(text: str, violation: str) -> None:
    assert violations(text) == (violation,)


@pytest.mark.parametrize(
    ("override", "violation"),
    [
        ("x", "write key=value, for example target.seeds=4"),
        ("=3", "write key=value, for example target.seeds=4"),
        ("a..b=3", "write key=value, for example target.seeds=4"),
        ("a" + ".a" * 30 + "=3", "write key=value, for example target.seeds=4"),
        ("target.size=[", "while parsing a flow node: expected the node content, but found the end"),
        ("targt.size=3", "unknown key 'targt'; did you mean 'target'?"),
        ("name=", "name: must be text, not nothing"),
        ("fit.2.flops=3", "fit has no item '2'; its items are 0 to 1"),
        ("fit.x.flops=3", "fit has no item 'x'; its items are 0 to 1"),
        ("name.x=3", "name is a single value and has no 'x'"),
        ("model.vocab=100", "model.vocab: 100 is smaller than the vocabulary of the bytes tokenizer, 256"),
        ("target={size: 33k, size: 1k, flops: 1}", "duplicate key 'size', first given at "),
    ],
)
def test_bad_override_is_named(override: str, violation: str) -> None:
    (found,) = violations(GOOD, override)
    assert found.startswith(f"override '{override}': {violation}")


def test_load_reports_unreadable_files(tmp_path: Path) -> None:
    binary, huge = tmp_path / "binary", tmp_path / "huge"
    binary.write_bytes(b"\x7fELF\xd0\x00")
    huge.write_bytes(b"# " * 2**20)
    for path, words in (
        (tmp_path / "none.yaml", "No such file"),
        (tmp_path, "Is a directory"),
        (binary, "byte 0xd0 is not UTF-8"),
        (huge, "larger than 1 MiB"),
        ("\0", "null byte"),
    ):
        with pytest.raises(InputError, match=words) as error:
            load_sweep(path)
        assert len(error.value.errors) == 1
        assert error.value.errors[0].startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("old", "new", "violation"),
    [
        ("0.5x", "halfx", "x.yaml:4:24: grid.learning_rate.0: 'halfx' is neither a positive number nor a multiple"),
        ("0.5x", "-1x", "x.yaml:4:24: grid.learning_rate.0: '-1x' is neither"),
        ("0.5x", "1.0x", "x.yaml:4:23: grid.learning_rate: 1x is given twice"),
        ("learning_rate", "rate", "x.yaml:4:8: grid: unknown key 'rate'"),
        ("{learning_rate: [0.5x, 1x, 3e-3], warmup: 5%}", "{}", "x.yaml:4:7: grid: is empty"),
        ("fit:", "target: {size: 8k, flops: 1e10}\nfit:", "takes no target"),
        ("grid: {learning_rate: [0.5x, 1x, 3e-3], warmup: 5%}\n", "", "missing key 'target'"),
        ("fit:", "recipe: {learning_rate: 1e-3}\nfit:", "learning_rate is given both by recipe and by grid"),
        (
            "learning_rate: [0.5x, 1x, 3e-3]",
            "weight_decay: 0.1}\nrecipe: {weight_decay: 0",
            "weight_decay is given both by recipe and by grid",
        ),
        ("3e-3", "0", "x.yaml:4:34: grid.learning_rate.2: '0' is neither a positive number"),
        ("0.5x", "0x", "x.yaml:4:24: grid.learning_rate.0: '0x' is neither"),
        ("fit:", "recipe: {form: x}\nfit:", "x.yaml:5:10: recipe: unknown key 'form'; did you mean 'from'?"),
        ("fit:", "recipe: {source: x}\nfit:", "unknown key 'source'; the keys here are name, from, learning_rate"),
        ("fit:", "recipe: {from: ''}\nfit:", "x.yaml:5:16: recipe.from: must be text"),
        (
            "fit:",
            "recipe: {optimizer: sgd}\nfit:",
            "x.yaml:5:21: recipe.optimizer: must be 'adamw' or 'muon', not 'sgd'",
        ),
        ("fit:", "recipe: {name: llama, optimizer: muon}\nfit:", "x.yaml:5:9: recipe: llama is a recipe of AdamW's"),
    ],
)
def test_violations_of_a_grid(old: str, new: str, violation: str) -> None:
    found = violations(GRID.replace(old, new))
    assert len(found) == 1
    assert violation in found[0]
