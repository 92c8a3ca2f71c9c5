"""``scaling cost`` and ``scaling models``: arguments in, keys of the contract out."""

import json
import statistics
from pathlib import Path
from typing import Any

import pytest

from scaling.cli import main
from scaling.costing import default_utilization, published_mfu
from scaling.hardware import DEVICES
from scaling.llama.counts import CONVENTIONS
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


def violations(capsys: pytest.CaptureFixture[str], *args: str) -> list[str]:
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
    assert plain["flops_convention"] == "6nd"
    assert plain["published"] is None
    direct = run_json(capsys, "cost", "--flops", "4.2e22", "--device", "a100")
    assert direct["flops_convention"] == "given"
    # A utilisation is only for FLOPs that are counted as its own are.
    assert [each["mfu_convention"] for each in (model, plain, direct)] == ["exact", "6nd", "exact"]
    assert direct["device_hours"] / plain["device_hours"] == pytest.approx(plain["mfu"] / direct["mfu"])
    assert plain["mfu"] < direct["mfu"]
    assert plain["warnings"] == []


def test_6nd_beside_a_model_is_the_same_run(capsys: pytest.CaptureFixture[str]) -> None:
    entry = ZOO["llama3-8b"]
    for name in ("llama3-8b", "llama3-405b"):
        args = ("cost", "--params", str(entry.params), "--tokens", "15T", "--device", "h100", "--mfu", name)
        textbook = run_json(capsys, *args)
        assert textbook["mfu_convention"] == "6nd"
        assert textbook["mfu"] == pytest.approx(published_mfu(ZOO[name]) * ZOO[name].flops_6nd / ZOO[name].flops)
    assert run_json(capsys, *args[:-1], "llama3-8b")["device_hours"] == pytest.approx(entry.gpu_hours)
    default = run_text(capsys, *args[:-2])
    assert "TFLOP/s, with 6ND: about the median" in default


def test_6nd_with_an_mfu_of_every_matmul_is_warned_of(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ("cost", "--params", "1B", "--tokens", "1B", "--device")
    codes = {
        name: [w["code"] for w in run_json(capsys, *args, *name.split())["warnings"]]
        for name in ("v5p", "v4", "b200", "v5p --mfu 40%", f"h100 --mfu {runs}")
    }
    assert codes == {
        "v5p": ["mixed-conventions"],
        "v4": [],
        "b200": [],
        "v5p --mfu 40%": [],
        f"h100 --mfu {runs}": ["mixed-conventions"],
    }
    assert run_json(capsys, "cost", "--model", "llama3-8b", "--device", "v5p")["warnings"] == []


def test_what_6nd_leaves_out_is_reported_correctly(capsys: pytest.CaptureFixture[str]) -> None:
    more = {name: round(100 * (ZOO[name].flops / ZOO[name].flops_6nd - 1)) for name in ("llama1-65b", "llama3-8b")}
    text = run_text(capsys, "cost", "--params", "7B", "--tokens", "1T", "--device", "a100")
    assert f"adds {more['llama1-65b']} % to Llama 1 65B and {more['llama3-8b']} % to Llama 3 8B" in text


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


@pytest.mark.parametrize("name", list(DEVICES))
def test_every_device_has_a_default_with_its_source_and_a_range(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_json(capsys, "cost", "--flops", "1e24", "--device", name)
    low, high = result["device_hours_range"]
    assert low < result["device_hours"] < high or result["device_hours"] == high
    assert result["mfu_source"] == default_utilization(DEVICES[name]).source
    assert result["goodput"] == (1.0 if DEVICES[name].utilization.of == "hours" else 0.9)
    assert result["goodput_source"]
    assert result["price_source"] == DEVICES[name].price_source


def test_published_hours_stand_beside_the_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_json(capsys, "cost", "--model", "llama1-65b", "--device", "a100")
    assert result["published"]["device_hours"] == 1_022_362
    assert result["device_hours"] == pytest.approx(1_022_362, rel=0.15)
    text = run_text(capsys, "cost", "--model", "llama1-65b", "--device", "a100", "--tokens", "700B")
    assert "device hours for 1.4T tokens: 1,022,362 on a100, MFU 49.5%" in text
    assert "2302.13971" in text
    # Half the tokens, half the hours: the ratio stays.
    assert f"{result['device_hours'] / 1_022_362:.2f} times the published hours" in text


def test_both_cards_hours_of_llama_3_stand_beside_the_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_json(capsys, "cost", "--model", "llama3-8b", "--device", "h100")
    text = " ".join(run_text(capsys, "cost", "--model", "llama3-8b", "--device", "h100").split())
    assert "15T tokens: 1,300,000 on h100, MFU 18.8%, with 6ND 15.6%; llama3.1-8b: 1,460,000 on h100, MFU 16.7%" in text
    ratios = [result["device_hours"] / hours for hours in (1.3e6, 1.46e6)]
    assert f"the estimate is {ratios[0]:.2f} and {ratios[1]:.2f} times the published hours" in text
    assert result["device_hours_range"][1] == pytest.approx(1.46e6)


def test_that_a_context_is_assumed_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert "FLOPs assume Llama 3's context" in run_json(capsys, "models", "llama3.2-1b")["models"][0]["source"]


def test_the_table_of_published_hours(capsys: pytest.CaptureFixture[str]) -> None:
    rows = run_json(capsys, "cost", "--published")["comparison"]
    assert {row["model"] for row in rows} == set(ZOO)
    text = run_text(capsys, "cost", "--published")
    for row in rows:
        assert f"{row['device_hours']:,.0f}" in text
    assert "45% on a100 and 32% on h100" in text
    assert "Llama 3 8B and 70B imply 18.8% and 31.7%" in text.replace("\n", " ")


def test_a_published_run_lends_its_utilisation(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_json(capsys, "cost", "--flops", "1e24", "--device", "h200", "--mfu", "Llama3-405B")
    assert result["mfu"] == pytest.approx(published_mfu(ZOO["llama3-405b"]))
    assert result["goodput"] == 1.0
    assert "published hours of llama3-405b" in result["mfu_source"]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    file = tmp_path / "runs.csv"
    rows = ["1e7,1e9,3.1,0.05,H100,done", "1e8,1e9,2.9,0.2,H100,done", "1e8,2e9,2.8,0.3,H100,done"]
    rows += ["1e9,2e10,,,H100,running", "1e8,1e9,3.0,,H100,done"]
    file.write_text("params,tokens,loss,mfu,device,status\n" + "\n".join(rows) + "\n")
    return file


def test_measured_runs_tell_the_utilisation(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_json(capsys, "cost", "--flops", "1e19", "--device", "h100", "--mfu", str(runs))
    assert result["mfu"] == pytest.approx(statistics.median([0.2, 0.3]))
    assert result["goodput"] == 0.9
    assert f"{runs} on H100: median of the 2 largest of 3 runs" in result["mfu_source"]
    assert result["warnings"] == []
    far = run_json(capsys, "cost", "--flops", "1e24", "--device", "h100", "--mfu", str(runs))
    assert [warning["code"] for warning in far["warnings"]] == ["far-extrapolation"]


def test_a_share_measured_elsewhere_is_not_mixed_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "runs.csv"
    rows = [
        "1e8,1e9,3,0.5,NVIDIA A100-SXM4-80GB",
        "1e8,1e9,3,0.3,h100",
        "1e8,1e9,3,0.1,NVIDIA H100 PCIe",
        "1e8,1e9,3,0.2,",
    ]
    file.write_text("params,tokens,loss,mfu,device\n" + "\n".join(rows) + "\n")
    args = ("cost", "--flops", "1e19", "--mfu", str(file), "--device")
    for name, mfu in (("a100", 0.5), ("h100", 0.3)):
        own = run_json(capsys, *args, name)
        assert own["mfu"] == mfu
        assert own["warnings"] == []
    (warning,) = run_json(capsys, *args, "b200")["warnings"]
    assert warning["code"] == "other-device"
    assert "on NVIDIA A100-SXM4-80GB and NVIDIA H100 PCIe and h100, not on b200" in warning["message"]
    file.write_text("params,tokens,loss,mfu\n1e8,1e9,3,0.5\n")
    (warning,) = run_json(capsys, *args, "h100")["warnings"]
    assert "on a device that it does not name, not on h100" in warning["message"]


def test_runs_without_a_measurement_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "runs.csv"
    file.write_text("params,tokens,loss\n1e7,1e9,3.1\n")
    args = ("cost", "--flops", "1e19", "--device", "h100", "--mfu", str(file))
    assert violations(capsys, *args) == [f"error: {file}: no column 'mfu' to take the utilisation from"]
    file.write_text("params,tokens,loss,mfu\n1e7,1e9,3.1,\n")
    assert "no finished run with a measured mfu" in violations(capsys, *args)[0]


def test_a_goodput_on_top_of_hours_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    args = ("cost", "--flops", "1e24", "--goodput", "90%", "--device")
    assert [w["code"] for w in run_json(capsys, *args, "h100")["warnings"]] == ["goodput-twice"]
    assert run_json(capsys, *args, "v5p")["warnings"] == []


def test_days_on_the_users_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    args = ("cost", "--model", "llama3-405b", "--device", "h100", "--devices", "24576")
    result = run_json(capsys, *args)
    assert result["days_on"]["24576"] == pytest.approx(result["device_hours"] / 24576 / 24)
    assert f"{result['days_on']['24576']:.3g} days on 24,576 h100" in run_text(capsys, *args)


def test_prices_of_the_users(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("H100: 2.49  # a quote\nv5p: 1_000\n")
    args = ("cost", "--flops", "1e24", "--prices", str(file), "--device")
    result = run_json(capsys, *args, "h100")
    assert (result["usd_per_hour"], result["price_source"]) == (2.49, str(file))
    assert result["price_usd"] == pytest.approx(2.49 * result["device_hours"])
    assert run_json(capsys, *args, "v5p")["usd_per_hour"] == 1000
    # A device that the file leaves out keeps its list price.
    assert run_json(capsys, *args, "a100")["price_source"] == DEVICES["a100"].price_source


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        (
            "h100: -3\nhh100: 2\nh100: 3\na100: [1]\nv4: cheap\nV4: 2\nv5e:\n",
            [
                ":1:7: h100: a price is a positive number of US dollars, not '-3'",
                ":2:1: no device is named 'hh100'; did you mean h100 or h200?",
                ":3:1: duplicate key 'h100'",
                ":4:7: a100: a price is a positive number of US dollars, not a list",
                ":5:5: v4: a price is a positive number of US dollars, not 'cheap'",
                ":6:1: v4 has a price already",
                ":7:1: v5e: a price is a positive number of US dollars, not nothing",
            ],
        ),
        ("", [": no prices; write one device a line, for example h100: 2.49"]),
        ("- 3\n", [": no prices; write one device a line, for example h100: 2.49"]),
        ("h100: 2\n\tv4: 3\n", [":2:1: "]),
    ],
)
def test_every_violation_of_a_file_of_prices(
    text: str, reported: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    lines = violations(capsys, "cost", "--flops", "1e24", "--device", "h100", "--prices", str(file))
    assert len(lines) == len(reported)
    for line, expected in zip(lines, reported, strict=True):
        assert line.startswith(f"error: {file}{expected}")


def test_what_is_not_published_is_null_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    args = ("cost", "--params", "1B", "--tokens", "1T", "--device", "v7")
    assert run_json(capsys, *args)["price_usd"] is None
    text = run_text(capsys, *args)
    assert "no list price; give --price" in text
    assert "energy        unknown" in text


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("--device", "h100"), "exactly one of --model, --params and --flops"),
        (("--model", "llama3-8b", "--params", "8B", "--device", "h100"), "exactly one of"),
        (("--params", "8B", "--device", "h100"), "--params needs --tokens"),
        (("--flops", "1e24", "--tokens", "1T", "--device", "h100"), "--tokens: does not apply to --flops"),
        (("--model", "llama3-8c", "--device", "h100"), "did you mean llama3-8b"),
        (("--model", "llama3-8b"), "give --device: a100 h100"),
        (("--model", "llama3-8b", "--device", "h1000"), "did you mean h100"),
        (("--model", "llama3-8b", "--device", "h100", "--mfu", "140%"), "mfu is 1.4"),
        (("--model", "llama3-8b", "--device", "h100", "--mfu", "lama3-8b"), "nor a file; did you mean llama3-8b?"),
        (("--model", "llama3-8b", "--device", "h100", "--tokens", "-1"), "'-1' is not positive"),
        (("--model", "llama3-8b", "--device", "h100", "--mfu", "1e-300"), "mfu is 1e-300"),
        (("--model", "llama3-8b", "--device", "h100", "--price", "1e308"), "price is more than 1,000,000 US dollars"),
        (("--model", "llama3-8b", "--device", "h100", "--devices", "9" * 400), "more than 1,000,000,000 devices"),
        (("--flops", "1e50", "--device", "h100"), "every computer on Earth"),
        (("--flops", "1e24", "--device", "h100", "--devices", "0"), "--devices"),
        (("--flops", "1e24", "--device", "h100", "--prices", "none.yaml"), "none.yaml: No such file"),
        (("--flops", "1e24", "--device", "h100", "--price", "2", "--prices", "none.yaml"), "not both"),
        (("--published", "--device", "h100"), "--device: does not apply to --published"),
    ],
)
def test_bad_input(args: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    reported = violations(capsys, "cost", *args)
    assert len(reported) == 1
    assert line in reported[0]


def test_models_lists_the_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    models = run_json(capsys, "models")["models"]
    assert {model["name"]: model["params"] for model in models} == {name: e.params for name, e in ZOO.items()}
    assert {"width", "depth", "tokens", "gpu_hours", "mfu", "learning_rate", "batch_tokens", "source"} <= set(models[0])
    assert set(models[0]["flops_per_token"]) == set(CONVENTIONS)
    lines = run_text(capsys, "models").splitlines()
    assert max(map(len, lines)) < 120
    for line, entry in zip(lines[1:], ZOO.values(), strict=False):
        assert f"{entry.params:,}" in line
    assert all(any(line.startswith(f"[{number}]") for line in lines) for number in range(1, 7))


def test_models_tells_all_about_one(capsys: pytest.CaptureFixture[str]) -> None:
    model = run_json(capsys, "models", "llama3-8b")["models"][0]
    assert model["gpu_hours_31"] == 1.46e6
    exact = model["flops_per_token"]["exact"]
    assert exact["causal"] < exact["full"] == ZOO["llama3-8b"].flops / 15e12
    text = run_text(capsys, "models", "llama3-8b")
    assert all(convention.formula in text for convention in CONVENTIONS.values())
    assert "3e-4" in text
    assert "batch not published" in text
    assert "1,460,000" in text


def test_models_names_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean llama3-8b" in violations(capsys, "models", "llama-3-8b")[0]
