"""What replaces the defaults of a cost: a utilisation from a share, a model or a table, and a file of prices."""

import difflib
import math
from pathlib import Path

from analysis.diagnostics.codes import Diagnostic
from analysis.runs.table import read_table
from scaling.costing import Counting, measured_utilization, published_utilization
from scaling.errors import InputError
from scaling.hardware import Device, Utilization, device_of_kind, find_device
from scaling.llama.zoo import ZOO
from scaling.quantity import format_quantity, parse_quantity

# Times the FLOPs of the largest measured run, beyond which the user is warned.
_FARTHEST = 100.0


def read_utilization(
    text: str, flops: float, counting: Counting, device: Device
) -> tuple[Utilization, list[Diagnostic]]:
    """The utilisation by a share, a published Llama or a table of runs, and warnings.

    Args:
        text: ``40%``; a name of the zoo, whose published hours imply one; or a sweep's folder or a table with a
            column ``mfu``, whose largest runs measured it.
        flops: of the run that it is for.
        counting: of those FLOPs.
        device: that it is for; of a table that tells devices, only its runs are taken.

    Raises:
        InputError: if it is none of these, or the table has no measured runs.
    """
    try:
        return Utilization(parse_quantity(text), "unsaid", "given", counting="unsaid"), []
    except ValueError:
        pass
    if text.lower() in ZOO:
        return published_utilization(ZOO[text.lower()], counting), []
    if not Path(text).exists():
        close = difflib.get_close_matches(text.lower(), ZOO, n=1, cutoff=0.5)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"`mfu` {text}: neither a share such as 40%, nor a published Llama, nor a file{hint}")
    return _measured(text, flops, device)


def _measured(path: str, flops: float, device: Device) -> tuple[Utilization, list[Diagnostic]]:
    rows = read_table(path).frame
    if "mfu" not in rows:
        raise InputError(f"{path}: no column 'mfu' to take the utilisation from")
    if "status" in rows:
        rows = rows[rows["status"].isna() | (rows["status"] == "done")]
    rows = rows[rows["mfu"].notna()]
    kinds = rows.reindex(columns=["device"])["device"].dropna().astype(str)
    own = kinds[[device_of_kind(kind) == device for kind in kinds]]
    rows = rows if own.empty else rows.loc[own.index]
    where = " and ".join(sorted(set(kinds if own.empty else own)))
    sizes = (rows["flops"] if "flops" in rows else 6.0 * rows["params"] * rows["tokens"]).tolist()
    source = f"{path} on {where}" if where else path
    utilization = measured_utilization(sizes, rows["mfu"].tolist(), source)
    warnings = []
    if own.empty:
        on = f"on {where}" if where else "on a device that it does not name"
        message = f"{path} measured the MFU {on}, not on {device.name}; another device attains another share"
        warnings.append(Diagnostic("other-device", message))
    reach = flops / max(sizes)
    if reach > _FARTHEST:
        message = (
            f"the run has {format_quantity(reach)} times the FLOPs of the largest that measured the MFU; "
            "wide models keep a device busier than narrow ones, and many devices less busy than one"
        )
        warnings.append(Diagnostic("far-extrapolation", message))
    return utilization, warnings


def read_prices(path: Path) -> dict[str, float]:
    """Reads US dollars per device hour from YAML 1.2: a mapping from devices, in any case, to positive numbers.

    Raises:
        InputError: one line per error, each with file:line:column where there is a line.
    """
    from scaling.sweep.spec.fields import show
    from scaling.sweep.spec.yaml_locations import read_yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not text in UTF-8") from None
    root, violations = read_yaml(text, str(path))
    prices: dict[str, float] = {}
    items = root.value if root is not None and isinstance(root.value, dict) else {}
    for key, item in items.items():
        try:
            device = find_device(key).name
            if device in prices:
                raise InputError(f"{device} has a price already")
        except InputError as error:
            violations.append((item.key or item.location, error.errors[0]))
            continue
        prices[device] = _price(item.value)
        if not prices[device] > 0:
            message = f"{device}: a price is a positive number of US dollars, not {show(item.plain())}"
            # Where a value is missing, the parser only knows where it would have ended.
            violations.append((item.key if item.key and item.value is None else item.location, message))
    if violations:
        ordered = sorted(violations, key=lambda each: (each[0].line, each[0].column))
        raise InputError(f"{place}: {message}" for place, message in ordered)
    if not prices:
        raise InputError(f"{path}: no prices; write one device a line, for example h100: 2.49")
    return prices


def _price(value: object) -> float:
    """A number as people write it; NaN for anything else."""
    try:
        return parse_quantity(value) if isinstance(value, str) else math.nan
    except ValueError:
        return math.nan
