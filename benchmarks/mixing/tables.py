"""Published tables of runs on mixtures, read from the folder that ``SCALING_PUBLISHED`` names."""

from pathlib import Path

import pandas as pd

from analysis.mixing.reading import read_mixtures
from analysis.mixing.table import MixtureTable

# Parameters and training tokens of RegMix's models (2407.01492).
SIZES = {"1m": (1e6, 1e9), "60m": (6e7, 1e9), "1B": (1e9, 25e9)}


def regmix(folder: Path, size: str, split: str = "test") -> pd.DataFrame:
    """RegMix's runs of one size: ``params tokens mix_<source> loss_<domain>``."""
    place = folder / "mixtures" / "regmix"
    shares = pd.read_csv(place / f"{split}_mixture_{size}.csv").set_index("index")
    losses = pd.read_csv(place / f"{split}_pile_loss_{size}.csv").set_index("index")
    shares = shares.div(shares.sum(axis=1), axis=0)  # written with three digits
    shares.columns = [f"mix_{name.removeprefix('train_the_pile_')}" for name in shares.columns]
    losses.columns = [
        f"loss_{name.removeprefix('metric/the_pile_').removesuffix('_val_loss')}" for name in losses.columns
    ]
    params, tokens = SIZES[size]
    return shares.join(losses, how="inner").assign(params=params, tokens=tokens).reset_index(drop=True)


def two_scales(folder: Path) -> MixtureTable:
    """64 of RegMix's proxies at 1M and 64 other mixtures at 60M parameters, and its 64 runs at 1B."""
    parts = [regmix(folder, "1m", "train")[:64], regmix(folder, "60m")[64:128], regmix(folder, "1B")]
    return read_mixtures(pd.concat(parts, ignore_index=True))


def published(folder: Path) -> dict[str, MixtureTable]:
    """Every published table, by its name on the page."""
    place, sizes = folder / "mixtures", {"params": "params_nonembedding"}
    return {
        "two domains of the Pile": read_mixtures(place / "2mix.csv", mix="p_*", columns=sizes),
        # Some rows have no losses, and the first checkpoints are of models that have hardly begun.
        "three domains of the Pile": read_mixtures(
            pd.read_csv(place / "3mix.csv").dropna().query("tokens > 4e9"), mix="p_*", columns=sizes
        ),
        "four domains of the Pile": read_mixtures(place / "pile4" / "pile4.csv", mix="p_*"),
        "RegMix, 1M and 60M to 1B": two_scales(folder),
    }
