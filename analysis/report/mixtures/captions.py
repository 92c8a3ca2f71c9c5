"""The sentence under each figure of a choice, made from its numbers."""

import numpy as np

from analysis.mixing.choice import CHOSEN, Choice
from analysis.mixing.score import ChoiceScore
from analysis.plots.mixtures.candidates import law_rows
from analysis.plots.mixtures.landscape import Landscape
from analysis.report.mixtures.sentences import NAMES, same
from analysis.report.words import change, count, told_apart


def of_landscape(found: Landscape) -> str:
    """Caption of the mixtures: the range of the objective among those tried, and how many may be as good."""
    number, low, high = len(found.tried), float(found.objective.min()), float(found.objective.max())
    ends = "all have one objective" if low == high else f"the objective goes from {' to '.join(told_apart(low, high))}"
    told = f"{found.alike} of them cannot be told" if found.alike else "each of them can be told"
    text = (
        f"At the target {ends} over {count(number, 'mixture')} that were tried; {told} from the chosen one at "
        f"{100 * found.level:.4g}%."
    )
    if found.grid is not None:
        text += f" Of all that may be chosen {_part(found.grid.part)} cannot be told from it."
    return text


def _part(share: float) -> str:
    return "less than 1%" if 0 < share < 0.01 else f"{share:.0%}"


def of_losses(choice: Choice, score: ChoiceScore | None) -> str:
    """Caption of the candidates' losses: where the chosen mixture gains and loses against the proportional one."""
    name = "proportional"
    chosen, other = choice.candidates[CHOSEN], choice.candidates[name]
    if same(chosen.shares, other.shares):
        text = f"The chosen mixture is {NAMES[name]}"
    else:
        moved = {domain: span.value / other.losses[domain].value - 1 for domain, span in chosen.losses.items()}
        lower = sum(share < 0 for share in moved.values())
        least, most = (end(moved, key=lambda domain: moved[domain]) for end in (min, max))
        text = (
            f"Against {NAMES[name]} the chosen one is expected lower on {lower} of {count(len(moved), 'domain')}: "
            f"{change(moved[least])} on {least}"
        )
        if least != most:
            text += f", {change(moved[most])} on {most}"
    if score is None:
        return f"{text}."
    every = [loss.covered for each in score.candidates.values() for loss in each.losses.values()]
    return f"{text}; {sum(every)} of {count(len(every), 'interval')} held the actual loss."


def of_laws(choice: Choice) -> str:
    """Caption of the laws: the one with the largest weight, and the one that missed most."""
    first = law_rows(choice)[0]
    missed = {name: value for name, value in choice.misses.items() if value is not None and name in choice.weights}
    text = f"{first} has the largest weight, {choice.weights[first]:.0%}"
    if len(choice.weights) == 1:
        text = f"{first} is the only law"
    if first in missed:
        text += f", and missed {missed[first]:.2%} of the losses of mixtures and larger runs left out of its fit"
    worst = max(missed, key=lambda name: missed[name], default=first)
    if worst != first:
        text += f"; {worst} missed most, {missed[worst]:.2%}, and has {choice.weights[worst]:.0%}"
    return f"{text}."


def of_domains(choice: Choice, score: ChoiceScore | None) -> str:
    """Caption of the losses over FLOPs: what is expected of the chosen mixture, and what came."""
    losses = {name: span.value for name, span in choice.losses.items()}
    least, most = (end(losses, key=lambda name: losses[name]) for end in (min, max))
    text = f"On the chosen mixture the target's losses are expected from {losses[least]:.4g} on {least}"
    text += f" to {losses[most]:.4g} on {most}" if least != most else ""
    if score is None or CHOSEN not in score.candidates:
        return f"{text}."
    scored = score.candidates[CHOSEN].losses.values()
    missed = float(np.mean([abs(each.error) for each in scored]))
    held = f"{sum(each.covered for each in scored)} of {count(len(scored), 'interval')}"
    return f"{text}; they missed by {missed:.2%} on average, and {held} held the loss."
