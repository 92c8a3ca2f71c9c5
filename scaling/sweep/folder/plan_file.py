"""The plan in ``plan.json``: ``sweep``, the validated sweep, and ``runs``, each with ``id`` and ``role``."""

import json
import re
import textwrap
from typing import Any

_ID = re.compile(r"[0-9a-f]{12}")
_ROLES = ("fit", "target")
Plan = dict[str, Any]


def read_plan(text: bytes) -> Plan:
    """Reads a plan from its JSON and checks every id, as it names a folder; ValueError if it is no plan."""
    plan = json.loads(text)
    if not isinstance(plan, dict) or not isinstance(plan.get("sweep"), dict) or not isinstance(plan.get("runs"), list):
        raise ValueError("not a sweep's plan")
    if not isinstance(plan["sweep"].get("name", ""), str):
        raise ValueError("the sweep's name is no text")
    for run in plan["runs"]:
        known = isinstance(run, dict) and isinstance(run.get("id"), str) and _ID.fullmatch(run["id"])
        if not known or run.get("role") not in _ROLES:
            raise ValueError(f"not a planned run: {textwrap.shorten(json.dumps(run), 60, placeholder='...')}")
    return plan
