"""``scaling cost`` and ``scaling models``: arguments in, keys of the contract out."""

import json
from typing import Any

import pytest

from scaling.cli import main
from scaling.llama.zoo import ZOO


def run_json(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as caught:
        main([*args, "--json"])
    assert caught.value.code == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def run_text(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 0
    return capsys.readouterr().out


def faults(capsys: pytest.CaptureFixture[str], *args: str) -> list[str]:
    with pytest.raises(SystemExit) as caught:
        main(args)
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_a_model_is_counted_exactly_and_parameters_by_6nd(capsys: pytest.CaptureFixture[str]) -> None:
    entry = ZOO["llama2-7b"]
    model = run_json(capsys, "cost", "--model", "llama2-7b", "--tokens", "1T", "--device", "a100")
    assert model["flops"] == pytest.approx(entry.flops / 2)
    assert model["flops_convention"] == "exact"
    plain = run_json(capsys, "cost", "--params", "7B", "--tokens", "1T", "--device", "a100")
    assert plain["flops"] == pytest.approx(6 * 7e9 * 1e12)
    assert plain["published"] is None


def test_options_reach_the_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    args = (
        "--params",
        "1B",
        "--tokens",
        "1T",
        "--device",
        "h100",
        "--mfu",
        "40%",
        "--goodput",
        "95%",
        "--price",
        "2",
    )
    result = run_json(capsys, "cost", *args)
    hours = 6e21 / (989e12 * 0.4 * 0.95 * 3600)
    assert result["device_hours"] == pytest.approx(hours)
    assert result["price_usd"] == pytest.approx(2 * hours)
    assert result["days_on"]["512"] == pytest.approx(hours / 512 / 24)
    assert result["energy_mwh"] == pytest.approx(hours * 700 * 1.1 / 1e6)


def test_published_hours_stand_beside_the_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_json(capsys, "cost", "--model", "llama1-65b", "--device", "a100")
    assert result["published"]["device_hours"] == 1_022_362
    assert result["device_hours"] == pytest.approx(1_022_362, rel=0.15)
    text = run_text(capsys, "cost", "--model", "llama1-65b", "--device", "a100")
    assert "1,022,362 on a100 for 1.4T tokens" in text
    assert "2302.13971" in text


def test_what_is_not_published_is_null_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    args = ("cost", "--params", "1B", "--tokens", "1T", "--device", "v7")
    assert run_json(capsys, *args)["price_usd"] is None
    text = run_text(capsys, *args)
    assert "no list price; give --price" in text
    assert "energy        unknown" in text


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("--device", "h100"), "exactly one of --model and --params"),
        (
            ("--model", "llama3-8b", "--params", "8B", "--device", "h100"),
            "exactly one of --model and --params",
        ),
        (("--params", "8B", "--device", "h100"), "--params needs --tokens"),
        (("--model", "llama3-8c", "--device", "h100"), "did you mean llama3-8b"),
        (("--model", "llama3-8b", "--device", "h1000"), "did you mean h100"),
        (("--model", "llama3-8b", "--device", "h100", "--mfu", "140%"), "mfu is 1.4"),
    ],
)
def test_bad_input(args: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = faults(capsys, "cost", *args)
    assert len(told) == 1
    assert line in told[0]


def test_models_lists_the_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    models = run_json(capsys, "models")["models"]
    assert {model["name"]: model["params"] for model in models} == {name: e.params for name, e in ZOO.items()}
    assert {"width", "depth", "tokens", "gpu_hours", "source"} <= set(models[0])
    assert len(run_text(capsys, "models").splitlines()) == len(ZOO) + 1
