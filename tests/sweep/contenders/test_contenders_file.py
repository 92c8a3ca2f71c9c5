"""Files with contenders: what they mean, and what is wrong with them, each with its place."""

import pytest

from scaling.errors import InputError
from scaling.sweep.contenders.contenders_file import Contenders, has_contenders, parse_contenders

FILE = """\
name: both
model: {seq_len: 32, heads: 2, depth: 1}
corpus: {name: sotu, epochs: 2}
schedule: {kind: wsd, decay: 40%}
fit: {sizes: [{width: 8, depth: 1}, {width: 12, depth: 1}], flops: [1e8, 3e8], seeds: 2}
target: {size: {width: 12, depth: 1}, flops: 3e9, seeds: 3}
contenders:
  plain: {}
  other: {recipe: {weight_decay: 0}}
"""
OTHER = "{recipe: {weight_decay: 0}}"


def parse(text: str = FILE, *overrides: str) -> Contenders:
    return parse_contenders(text, "x.yaml", overrides)


def with_other(keys: str) -> str:
    return FILE.replace(OTHER, keys)


def violations(text: str, *overrides: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse(text, *overrides)
    return list(caught.value.errors)


def test_each_contender_is_a_sweep_with_its_own_keys() -> None:
    specs = parse().contenders
    assert list(specs) == ["plain", "other"]
    assert [spec.name for spec in specs.values()] == ["both-plain", "both-other"]
    assert [spec.recipe.weight_decay for spec in specs.values()] == [None, 0]
    same = [{**spec.canonical(), "name": "", "recipe": {}} for spec in specs.values()]
    assert same[0] == same[1]
    assert specs["other"].where("recipe", "weight_decay") == "x.yaml:9:34"
    assert specs["other"].where("fit", 0, "seeds") == "x.yaml:5:87"


def test_a_file_with_contenders_is_known_by_that_key() -> None:
    assert has_contenders(FILE)
    assert not has_contenders(FILE.replace("contenders:", "contender:"))
    assert not has_contenders("- contenders\n")


def test_an_empty_contender_is_the_shared_sweep() -> None:
    assert parse(FILE.replace("plain: {}", "plain:")).contenders["plain"] == parse().contenders["plain"]


def test_mappings_are_merged_and_lists_and_sizes_replaced() -> None:
    keys = "{corpus: python, fit: {flops: [1e8]}, target: {size: 9k}, model: {qk_norm: true}}"
    other = parse(with_other(keys)).contenders["other"]
    assert (other.corpus.name, other.corpus.epochs) == ("python", 2)
    assert (other.fit[0].flops, other.fit[0].seeds, len(other.fit[0].sizes)) == ((1e8,), (0, 1), 2)
    assert (other.target.size.params, other.target.size.width) == (9000, None)
    assert other.target.seeds == (0, 1, 2)
    assert (other.model.qk_norm, other.model.heads) == (True, 2)


def test_what_takes_the_place_of_a_shared_key_removes_it() -> None:
    keys = "{schedule: cosine, target: {tokens: 1M}, model: {head_dim: 4}, corpus: {path: texts}}"
    other = parse(with_other(keys)).contenders["other"]
    assert (other.schedule.kind, other.schedule.decay) == ("cosine", None)
    assert other.target.horizon == ("tokens", 1e6)
    assert (other.model.head_dim, other.model.heads) == (4, None)
    assert (other.corpus.path, other.corpus.name) == ("texts", None)


def test_overrides_are_of_all_contenders_or_of_one() -> None:
    specs = parse(FILE, "target.seeds=4", "contenders.other.recipe=transfer", "contenders.other.recipe.warmup=20%")
    assert [len(spec.target.seeds) for spec in specs.contenders.values()] == [4, 4]
    assert [spec.recipe.warmup for spec in specs.contenders.values()] == [None, 0.2]
    added = parse(FILE, "contenders.third.schedule=cosine").contenders
    assert [spec.schedule.kind for spec in added.values()] == ["wsd", "wsd", "cosine"]


@pytest.mark.parametrize(
    ("keys", "reported"),
    [
        ("{recipe: {weight_decay: -1}}", "x.yaml:9:34: contenders.other.recipe.weight_decay: '-1' is negative"),
        ("{recipe: {decay: 0}}", "x.yaml:9:20: contenders.other.recipe: unknown key 'decay'"),
        ("{recipes: transfer}", "x.yaml:9:11: contenders.other: unknown key 'recipes'; did you mean 'recipe'?"),
        ("{grid: {warmup: 1%}}", "x.yaml:9:11: contenders.other.grid: contenders tune nothing; "),
        ("{name: other}", "x.yaml:9:11: contenders.other.name: a contender is called by its key"),
        ("[transfer]", "x.yaml:9:10: contenders.other: must be a mapping, not a list"),
        ("{fit: {trunk: true}, schedule: cosine}", "x.yaml:9:3: contenders.other: trunk: only runs of schedule wsd"),
        ("{model: {heads: 3}}", "x.yaml:5:15: contenders.other: fit.0.sizes.0: width 8 is not a multiple of heads 3"),
    ],
)
def test_what_is_wrong_with_a_contender_has_its_place(keys: str, reported: str) -> None:
    found = violations(with_other(keys))
    assert found[0].startswith(reported), found


@pytest.mark.parametrize(
    ("old", "new", "reported"),
    [
        ("flops: 3e9", "flops: -3", ["x.yaml:6:46: target.flops: '-3' is not positive"]),
        ("target:", "x-target:", ["x.yaml:1:1: missing key 'target', which contenders are compared at"]),
        ("name: both\n", "", ["x.yaml:1:1: missing key 'name'"]),
        ("schedule:", "grid: {warmup: 1%}\nschedule:", ["x.yaml:4:1: grid: contenders tune nothing; tune each"]),
        (f"  other: {OTHER}\n", "", ["x.yaml:7:1: contenders: 1 given; two or more are compared"]),
        ("name: both", "name: Both", ["x.yaml:1:7: name: 'Both' cannot name a folder"]),
        ("  other:", "  ../other:", ["x.yaml:9:3: contenders.../other: '../other' cannot name a folder"]),
        ("name: both", "name: both\ncompare_on: x", ["x.yaml:2:13: compare_on: plain is not evaluated on 'x'"]),
        ("name: both", "name: both\ncompare_on: [x]", ["x.yaml:2:13: compare_on: must be the name of a set, not"]),
    ],
)  # fmt: skip
def test_what_is_wrong_for_all_is_reported_once(old: str, new: str, reported: list[str]) -> None:
    assert old in FILE
    found = violations(FILE.replace(old, new, 1))
    assert len(found) == len(reported), found
    assert all(line.startswith(start) for line, start in zip(found, reported, strict=True)), found


def test_contenders_must_be_a_mapping() -> None:
    head = FILE.split("contenders:", maxsplit=1)[0]
    (line,) = violations(head + "contenders: [plain, other]\n")
    assert line == "x.yaml:7:13: contenders: maps names to keys of a sweep, not a list"


def test_an_override_that_is_wrong_is_named() -> None:
    (line,) = violations(FILE, "contenders.other.recipe.weight_decay=-1")
    override = "override 'contenders.other.recipe.weight_decay=-1'"
    assert line == f"{override}: contenders.other.recipe.weight_decay: '-1' is negative"


def test_compare_on_names_a_set_of_every_contender() -> None:
    found = parse(FILE, "evaluate={speech: sotu}", "compare_on=speech")
    assert found.compare_on == "speech"
    (line,) = violations(FILE, "contenders.other.evaluate={speech: sotu}", "compare_on=speech")
    assert line.startswith("override 'compare_on=speech': compare_on: plain is not evaluated on 'speech'")
