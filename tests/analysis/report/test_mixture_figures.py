"""Figures of mixtures: marks stand where the numbers are, labels are readable, and nothing runs out of the figure."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from mixing.choices import NAMES, choice, landscape, scored

from analysis import plots
from analysis.plots.mixtures.candidates import candidate_losses, law_misses, law_rows, laws_size
from analysis.plots.mixtures.landscape import CANDIDATES
from analysis.plots.mixtures.parallel import parallel, width_of
from analysis.plots.mixtures.simplex import share_line, simplex
from analysis.plots.panels import size_of
from analysis.plots.style import ACTUAL, FORECAST

SEED = 3  # all candidates differ, and three of them are scored


def drawn(draw: Callable[[Axes], Axes], size: tuple[float, float]) -> Figure:
    made = plots.figure(draw, *size)
    FigureCanvasAgg(made)
    return made


def figures(sources: int, domains: int) -> Iterator[Figure]:
    made = choice(SEED, sources, domains)
    found, score = landscape(made, tried=40), scored(made, SEED)
    where = {2: share_line, 3: simplex}.get(sources, parallel)
    yield drawn(lambda axes: where(found, axes), (width_of(sources), 5.0))
    count = domains + (domains > 1)
    yield drawn(lambda axes: candidate_losses(made, score, axes), size_of(count))
    yield drawn(lambda axes: law_misses(made, axes), laws_size(made))


def texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Bbox, float]]:
    """Every text that is drawn, with its place in pixels and its rotation."""
    found: list[Text] = []
    usual = Text.draw

    def noted(text: Text, renderer: RendererBase) -> None:
        found.append(text)
        usual(text, renderer)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", noted)
        figure.canvas.draw()
    shown = [text for text in found if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(), float(text.get_rotation())) for text in dict.fromkeys(shown)]


@pytest.mark.parametrize(("sources", "domains"), [(2, 1), (3, 3), (5, 5), (17, 13)])
def test_texts_stay_inside_and_apart(sources: int, domains: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for figure in figures(sources, domains):
        found, edge = texts(figure, monkeypatch), figure.bbox
        assert len(found) > 8
        for text, box, _ in found:
            assert box.x0 >= edge.x0 - 1, text
            assert box.y0 >= edge.y0 - 1, text
            assert box.x1 <= edge.x1 + 1, text
            assert box.y1 <= edge.y1 + 1, text
        upright = [(text, box) for text, box, rotation in found if rotation % 90 == 0]
        assert overlaps(upright) == []


def overlaps(found: Sequence[tuple[str, Bbox]]) -> list[tuple[str, str]]:
    """Texts that lie over one another by more than a pixel."""
    return [
        (one, other)
        for (one, first), (other, second) in combinations(found, 2)
        if min(first.x1, second.x1) - max(first.x0, second.x0) > 1.5
        and min(first.y1, second.y1) - max(first.y0, second.y0) > 1.5
    ]


def test_the_check_of_overlaps_sees_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def crowded(axes: Axes) -> Axes:
        axes.text(0.5, 0.5, "one")
        axes.text(0.51, 0.5, "other")
        return axes

    found = texts(drawn(crowded, (4, 3)), monkeypatch)
    assert overlaps([(text, box) for text, box, _ in found if text in ("one", "other")]) == [("one", "other")]


def test_candidates_lie_where_their_shares_are_in_the_triangle() -> None:
    made = choice(SEED, 3, 3)
    [axes, *_] = drawn(lambda axes: simplex(landscape(made), axes), (6.4, 5.0)).axes
    corners = np.array([[0, 0], [1, 0], [0.5, np.sqrt(0.75)]])
    for name in NAMES:
        colour, marker, _ = CANDIDATES[name]
        [mark] = [line for line in axes.lines if line.get_marker() == marker and line.get_color() == colour]
        place = np.array(list(made.candidates[name].shares.values())) @ corners
        assert np.concatenate([mark.get_xdata(), mark.get_ydata()]) == pytest.approx(place)
    tried = max((line for line in axes.lines if line.get_marker() == "o"), key=lambda line: len(line.get_xdata()))
    assert len(tried.get_xdata()) == len(landscape(made).tried)
    edges = [each.get_edgecolor()[:, :3] for each in axes.collections]
    outlines = [each for each in edges if len(each) and np.allclose(each, rgb(FORECAST))]
    assert len(outlines) == 1
    legend = axes.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[:5] == ["chosen", "proportional", "uniform", "best tried", "tried"]
    level = f"{100 * made.level:.4g}%"
    assert labels[5:] == [f"not told from the chosen one ({level})", "hull of those tried"]


def rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))


def test_the_share_of_a_source_is_read_along_its_side() -> None:
    made = choice(SEED, 3, 3)
    [axes, *_] = drawn(lambda axes: simplex(landscape(made), axes), (6.4, 5.0)).axes
    percents = [text for text in axes.texts if text.get_text() == "80%"]
    # The 80 % of the first source stand below the left end of the lower side, near its own corner.
    assert min(np.hypot(*text.get_position()) for text in percents) < 0.25
    assert [text.get_text().strip("←→ ")[:8] for text in axes.texts if "%" not in text.get_text()][1:] == [
        "source_1",
        "source_2",
    ]


@pytest.mark.parametrize("sources", [4, 17])
def test_parallel_coordinates_hold_every_share(sources: int) -> None:
    made = choice(SEED, sources, 3)
    [axes, bar] = drawn(lambda axes: parallel(landscape(made), axes), (width_of(sources), 4.4)).axes
    order = np.argsort([-share for share in made.shares.values()], kind="stable")
    for name in NAMES:
        colour, marker, _ = CANDIDATES[name]
        shares = np.array(list(made.candidates[name].shares.values()))[order]
        [mark] = [line for line in axes.lines if line.get_marker() == marker and line.get_color() == colour]
        assert mark.get_ydata() == pytest.approx(shares)
    bars = [line.get_ydata() for line in axes.lines if line.get_linewidth() == 9]
    ranges = list(made.ranges.values())
    assert np.array(bars) == pytest.approx(np.array([ranges[place] for place in order]))
    assert len(axes.get_xticklabels()) == sources
    assert axes.get_ylabel() == "share of the training tokens"
    assert bar.get_ylabel() == "objective (nats per token)"
    lines = axes.collections[0]
    assert lines.get_array().tolist() == sorted(landscape(made).objective, reverse=True)  # the best on top


def test_the_line_of_two_sources() -> None:
    made = choice(SEED, 2, 2)
    [axes] = drawn(lambda axes: share_line(landscape(made), axes), (6.4, 4.2)).axes
    colour, marker, _ = CANDIDATES["chosen"]
    [mark] = [line for line in axes.lines if line.get_marker() == marker and line.get_color() == colour]
    assert mark.get_xdata()[0] == pytest.approx(next(iter(made.shares.values())))
    assert axes.get_xlim() == (0, 1)
    low, high = next(iter(made.ranges.values()))
    spans = [each.get_extents() for each in axes.patches]
    boxes = [axes.transData.inverted().transform_bbox(span) for span in spans]
    assert any(box.x0 == pytest.approx(low) and box.x1 == pytest.approx(high) for box in boxes)


def test_each_domain_and_the_objective_have_their_candidates() -> None:
    made = choice(SEED, 3, 4)
    score = scored(made, SEED)
    figure = drawn(lambda axes: candidate_losses(made, score, axes), size_of(5))
    panels = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_title(loc="left") for axes in panels][1:] == ["domain_1", "domain_2", "domain_3", "objective"]
    for axes, domain in zip(panels, made.losses, strict=False):
        for place, name in enumerate(NAMES):
            span = made.candidates[name].losses[domain]
            colour, marker, _ = CANDIDATES[name]
            [mark] = [line for line in axes.lines if line.get_marker() == marker and line.get_color() == colour]
            assert (mark.get_xdata()[0], mark.get_ydata()[0]) == pytest.approx((place, span.value))
        actual = [line.get_ydata()[0] for line in axes.lines if line.get_color() == ACTUAL]
        assert actual == pytest.approx(
            [score.candidates[n].losses[domain].actual for n in NAMES if n in score.candidates]
        )
        ends = np.concatenate([each.get_segments() for each in axes.collections])[:, :, 1]
        spans = [each.losses[domain] for each in made.candidates.values()]
        assert np.sort(ends.ravel()) == pytest.approx(np.sort([end for span in spans for end in (span.low, span.high)]))


def test_laws_stand_in_the_order_of_their_weights() -> None:
    made = choice(SEED, 3, 3)
    figure = drawn(lambda axes: law_misses(made, axes), laws_size(made))
    [left, right] = [axes for axes in figure.axes if axes.axison]
    names = law_rows(made)
    assert [text.get_text() for text in left.get_yticklabels()] == names
    assert [bar.get_width() for bar in right.patches] == pytest.approx([100 * made.weights[name] for name in names])
    missed = [line.get_xdata()[0] for line in left.lines if line.get_marker() == "o"]
    assert missed == pytest.approx([100 * value for name in names if (value := made.misses[name]) is not None])
    assert left.get_xlabel() == "missed of left-out runs (%)"
    assert right.get_xlabel() == "weight in the forecast (%)"
