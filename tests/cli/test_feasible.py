"""``scaling feasible`` as a user calls it; nothing here compiles for long."""

import json

import pytest

from scaling.cli import main
from scaling.feasibility import assess as assess_module
from scaling.feasibility.compile import Compiled


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["feasible", *args])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_what_fits_by_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    request = ("--model", "llama3-70b", "--topology", "v5p:8x8x8", "--no-compile")
    assert run(*request, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["fits"] is True
    assert (answer["method"], answer["estimate"]) == ("arithmetic", True)
    assert (answer["device_kind"], answer["devices"]) == ("v5p", 512)
    assert sum(answer["breakdown"].values()) == answer["bytes_per_device"] < answer["memory_per_device"]
    state = answer["breakdown"]["params"] + answer["breakdown"]["optimizer"]
    assert state == pytest.approx(12 * 70_553_706_496 / 512, rel=0.01)
    sharding = answer["sharding"]
    shards = sharding["data"] * sharding["fsdp"]
    assert shards * sharding["tensor"] == 512
    assert shards * sharding["microbatch"] * sharding["microbatches"] * 8192 == answer["batch_tokens"]
    assert answer["step_s_lower_bound"] == max(
        answer["roofline"][part] for part in ("compute", "memory", "interconnect")
    )
    assert answer["compile_s"] is None
    assert run(*request) == 0
    text = capsys.readouterr().out
    assert "fits" in text
    assert "FSDP 512" in text
    assert "bound by compute" in text


def test_what_does_not_fit_says_by_how_much_and_what_would(capsys: pytest.CaptureFixture[str]) -> None:
    request = ("--model", "llama3-70b", "--topology", "v5e:4x4")
    assert run(*request, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["fits"] is False
    assert answer["compile_s"] is None
    assert answer["lacking_bytes"] == answer["bytes_per_device"] - answer["memory_per_device"] > 0
    assert answer["enough"].startswith("v5e:")
    assert run(*request) == 0
    text = capsys.readouterr().out
    assert "does not fit" in text
    assert f"{answer['enough']} would fit" in text


def test_pins_that_stand_in_the_way_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    request = ("--model", "llama3-8b", "--topology", "v5p:4x4x4", "--fsdp", "1", "--tensor", "1", "--no-compile")
    assert run(*request) == 0
    assert "v5p:4x4x4 without the pins (FSDP 64, 1 x 8 sequences) would fit" in capsys.readouterr().out
    assert run(*request, "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["enough"], answer["enough_sharding"]["fsdp"]) == ("v5p:4x4x4", 64)


def test_a_batch_that_stands_in_the_way_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", "llama3-70b", "--topology", "v5e:4x4", "--batch-tokens", "64k", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    reported = f"{answer['enough']} with --batch-tokens {answer['enough_batch_tokens']} would fit"
    assert run("--model", "llama3-70b", "--topology", "v5e:4x4", "--batch-tokens", "64k") == 0
    assert reported in capsys.readouterr().out


def test_a_refusal_is_in_the_compilers_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = Compiled(64, 0, 0, 0, 0, "RESOURCE_EXHAUSTED: out of something", 1.0, 1.0, None)
    monkeypatch.setattr(assess_module, "compile_step", lambda *_: silent)
    monkeypatch.setattr(assess_module, "check_tpu_compiler", lambda: None)
    assert run("--model", "llama3-8b", "--topology", "v5p:4x4x4") == 0
    text = capsys.readouterr().out
    assert "does not fit" in text.splitlines()[0]
    assert "the parts by arithmetic" in text.splitlines()[0]
    assert "RESOURCE_EXHAUSTED: out of something" in text
    assert "lacking        not reported by the compiler; what would fit is not known" in text


def test_sequences_are_as_long_as_the_models_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", "LLAMA2-7b", "--topology", "v7:2x2x1", "--no-compile", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["model"], answer["seq_len"], answer["devices_per_chip"]) == ("llama2-7b", 4096, 2)


def test_a_batch_that_had_to_change_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    request = ("--model", "llama3-8b", "--topology", "v5p:4x4x4", "--no-compile", "--json", "--batch-tokens")
    assert run(*request, "4M") == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
    assert run(*request, "490k", "--tensor", "1", "--fsdp", "64") == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert warning["code"] == "batch-rounded"
    assert "524k tokens instead of 490k" in warning["message"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--model", "lama3-8b", "--topology", "v5p:4x4x4"), "did you mean llama3-8b"),
        (("--model", "llama3-8b", "--topology", "v5p:5x5x5"), "no slice of a v5p; there are 2x2x1"),
        (("--model", "llama3-8b", "--topology", "x9:8"), "no device is named 'x9'"),
        (("--model", "llama3-8b", "--topology", "v5p:4x4x4", "--seq-len", "0"), "'0' is not positive"),
        (("--model", "llama3-8b", "--topology", "v5p:4x4x4", "--seq-len", "8192.5"), "not a whole number"),
        (("--model", "llama3-8b", "--topology", "v5p:4x4x4", "--batch-tokens", "-4M"), "'-4M' is not positive"),
        (("--model", "llama3-8b", "--topology", "v5p:4x4x4", "--batch-tokens", "1"), "less than a sequence"),
        (("--model", "llama3-8b", "--topology", "h100:64", "--tensor", "3"), "heads 32 is not a multiple of tensor 3"),
        (("--model", "llama3-8b", "--topology", "v5p:16x16x24"), "not to be shared out"),
        (
            ("--model", "llama3-8b", "--topology", "v5p:4x4x4", "--seq-len", "8k"),
            "seq_len 8000 is not a multiple of 128",
        ),
        (("--model", "llama3-8b", "--topology", "v5p:4x4x4", "--tokens", "1e300"), "1e+300 training tokens"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(args: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*args) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert all(line.startswith("error: ") for line in err.splitlines())
