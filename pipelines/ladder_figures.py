"""The two pictures of a ladder: scores against training time and against length."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from seqloom.pipelines.position import lower_is_better
from seqloom.pipelines.scores import AS_THEY_ARE, metric_name, score_text
from seqloom.tasks.confusion import NAMES_STYLE
from seqloom.tasks.figure_style import GREY

# Apart for colour-blind readers (Okabe and Ito 2008), neighbours most of all.
COLOURS = ("#56B4E9", "#E69F00", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#222222")
MARKERS = "osD^vPX"
FEW = 30  # examples: with fewer, a score says little


class Curve(NamedTuple):
    """How the score of a config rose while it was trained.

    Args:
        name: Of the config.
        minutes: When each validation was.
        values: The score of each.
        end: Minutes of the whole training; None if unknown.
        test: Its score on the test split.
    """

    name: str
    minutes: Sequence[float]
    values: Sequence[float]
    end: float | None
    test: float


class Length(NamedTuple):
    """The score of examples of about one length, and how many there are."""

    score: float
    number: int


def score_against_time(curves: Sequence[Curve], metric: str) -> Figure:
    """Draw the validation score over the minutes of training, and the test score.

    Args:
        curves: One for each config, in the order of the ladder.
        metric: The metric's key, such as `bleu`.
    """
    with matplotlib.rc_context(NAMES_STYLE):
        figure = Figure(figsize=(8.2, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        handles = [_draw_curve(axes, curve, i) for i, curve in enumerate(curves)]
        _scale_minutes(axes, curves)
        _scale_scores(axes, metric, "validation")
        axes.set_xlabel("minutes of training")
        axes.set_title(_time_title(curves, metric))
        names = [f"{c.name}  {score_text({metric: c.test}, metric)}" for c in curves]
        order = _best_first([curve.test for curve in curves], metric)
        legend = figure.legend(
            [handles[i] for i in order],
            [names[i] for i in order],
            loc="outside right center",
            title=f"test {metric_name(metric)}, outlined",
            alignment="left",
        )
        legend.get_title().set_color(GREY)
    return figure


def _draw_curve(axes: Axes, curve: Curve, number: int):
    look = _look(number)
    [line] = axes.plot(curve.minutes, curve.values, markersize=4, **look)
    if curve.end is not None:
        axes.plot(
            curve.end,
            curve.test,
            **{**look, "linestyle": "none"},
            markersize=9,
            markeredgecolor="#222222",
            markeredgewidth=1.3,
            zorder=4,
        )
    return line


def _look(number: int) -> dict[str, Any]:
    """Colour and marker of the config with this number; later ones are dashed."""
    index = number % len(COLOURS)
    dashed = (number // len(COLOURS)) % 2
    return {
        "color": COLOURS[index],
        "marker": MARKERS[index],
        "linestyle": "--" if dashed else "-",
    }


def _scale_minutes(axes: Axes, curves: Sequence[Curve]) -> None:
    """Minutes from 0 on; logarithmic if one config takes much longer than another."""
    ends = [curve.end for curve in curves if curve.end]
    if ends and max(ends) > 15 * min(ends):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.set_xlim(left=0)


def _scale_scores(axes: Axes, metric: str, split: str) -> None:
    axes.set_ylabel(f"{split} {metric_name(metric)}")
    if metric in AS_THEY_ARE or metric.endswith("loss"):
        axes.set_ylim(bottom=0)
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.4g}%"))
        axes.margins(y=0.1)


def _time_title(curves: Sequence[Curve], metric: str) -> str:
    if not curves:
        return "Nothing was trained"
    best = curves[_best_first([curve.test for curve in curves], metric)[0]]
    after = "" if best.end is None else f" after {_minutes(best.end)}"
    return f"{best.name} is best: {_score(best.test, metric)}{after}"


def _minutes(value: float) -> str:
    if value < 1:
        return f"{60 * value:.0f} seconds"
    return f"{value:.0f} minutes" if value >= 9.5 else f"{value:.1f} minutes"


def _score(value: float, metric: str) -> str:
    text = score_text({metric: value}, metric)
    unit = "" if metric in AS_THEY_ARE or metric.endswith("loss") else " %"
    return f"{text}{unit} {metric_name(metric)}"


def _best_first(scores: Sequence[float], metric: str) -> list[int]:
    sign = 1 if lower_is_better(metric) else -1
    return sorted(range(len(scores)), key=lambda i: sign * scores[i])


def score_by_length(lines: Mapping[str, Mapping[str, Length]], metric: str) -> Figure:
    """Draw how the test score of each config changes with the length of the source.

    Args:
        lines: For each config, in the order of the ladder: a `Length` for each range of
            lengths such as `6-10`, in order.
        metric: The metric's key, such as `bleu`.
    """
    ranges = list(dict.fromkeys(name for line in lines.values() for name in line))
    with matplotlib.rc_context(NAMES_STYLE):
        figure = Figure(figsize=(8.2, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        for number, (name, line) in enumerate(lines.items()):
            there = [i for i, length in enumerate(ranges) if length in line]
            scores = [line[ranges[i]].score for i in there]
            axes.plot(there, scores, markersize=6, label=name, **_look(number))
        counts = {length: _count(lines, length) for length in ranges}
        labels = [f"{name.replace('-', '–')}\n{counts[name]:,}" for name in ranges]
        axes.set_xticks(range(len(ranges)), labels)
        axes.grid(False, axis="x")
        for i, name in enumerate(ranges):
            if counts[name] < FEW:
                axes.axvspan(i - 0.5, i + 0.5, color="#F4F4F4", zorder=0)
        axes.set_xlim(-0.5, max(len(ranges), 1) - 0.5)
        _scale_scores(axes, metric, "test")
        side = "source" if metric == "bleu" else "text"
        axes.set_xlabel(f"words of the {side}, and how many have so many")
        axes.set_title(_length_title(lines, counts, metric))
        if any(count < FEW for count in counts.values()):
            note = f"grey: fewer than {FEW}"
            figure.text(0.995, 0.01, note, ha="right", color=GREY, fontsize=8.5)
        figure.legend(*_from_the_top(axes, lines), loc="outside right center")
    return figure


def _count(lines: Mapping[str, Mapping[str, Length]], name: str) -> int:
    return max(line[name].number for line in lines.values() if name in line)


def _from_the_top(axes: Axes, lines: Mapping[str, Mapping[str, Length]]):
    """Handles and names in the order in which the lines end."""
    handles, names = axes.get_legend_handles_labels()
    ends = [
        list(lines[name].values())[-1].score if lines[name] else 0 for name in names
    ]
    order = np.argsort([-end for end in ends], kind="stable")
    return [handles[i] for i in order], [names[i] for i in order]


def _length_title(
    lines: Mapping[str, Mapping[str, Length]], counts: Mapping[str, int], metric: str
) -> str:
    """The gap between the best and the worst at the longest sources."""
    title = f"Test {metric_name(metric)} by length"
    long = [name for name, count in counts.items() if count >= FEW]
    if not long:
        return title
    scores = {
        name: line[long[-1]].score for name, line in lines.items() if long[-1] in line
    }
    names = list(scores)
    order = _best_first(list(scores.values()), metric)
    if len(order) < 2:
        return title
    best, worst = names[order[0]], names[order[-1]]
    return (
        f"At {long[-1].replace('-', '–')} words: {best} "
        f"{score_text({metric: scores[best]}, metric)}, {worst} "
        f"{_score(scores[worst], metric)}"
    )
