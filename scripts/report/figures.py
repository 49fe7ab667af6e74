"""Charts as PNG: one size and style, one chart an image, so that text stays readable on a telephone."""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from scripts.report.measures import Floats

DPI = 180
SIZE = (4.3, 3.0)
BLUE, ORANGE, GREEN, PINK, SKY, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#666666"
STYLE: dict[Any, Any] = {
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    # A label may hold a dollar sign, which is no formula.
    "text.parse_math": False,
}


def render(draw: Callable[[Axes], object], size: tuple[float, float] = SIZE) -> bytes:
    """The PNG of what `draw` draws on empty axes of `size` inches."""
    with rc_context(STYLE), warnings.catch_warnings():
        # Labels may be in any script; what the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        content = io.BytesIO()
        figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def curve(raw: list[float], line: Floats, name: str) -> bytes:
    """A value of every step (n,), pale, under its moving average."""

    def draw(axes: Axes) -> None:
        steps = np.arange(1, len(raw) + 1)
        axes.plot(steps, raw, color=SKY, alpha=0.5, linewidth=0.8, label="each step")
        axes.plot(steps, line, color=BLUE, label="moving average")
        axes.set(xlabel="step", ylabel=name, xlim=(1, max(2, len(raw))))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _legend_below(axes)

    return render(draw)


def lines(
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    levels: Mapping[str, float] | None = None,
    ticks: Sequence[int] | None = None,
    least: float | None = None,
) -> bytes:
    """Named lines through (x, y) points, and level dashed ones; with `ticks` x is on a log scale, marked there.

    With `least`, y starts there or lower and ends at 1, so that a tremble does not look like an earthquake.
    """

    def draw(axes: Axes) -> None:
        marker, colours = "o" if ticks else "", (BLUE, ORANGE, PINK, GREEN, SKY)
        for number, (name, (across, up)) in enumerate(points.items()):
            width = 2.4 if number == 0 else 1.5
            axes.plot(across, up, marker=marker, markersize=4, color=colours[number % 5], linewidth=width, label=name)
        for name, level in (levels or {}).items():
            axes.axhline(level, color=GREY, linestyle="--", linewidth=1.4, label=name)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        if least is not None:
            axes.set_ylim(min(least, *axes.get_ylim()), 1.02)
        if ticks:
            axes.set_xscale("log", base=2)
            axes.set_xticks(ticks, [str(tick) for tick in ticks])
            axes.minorticks_off()
        _legend_below(axes)

    return render(draw, (SIZE[0], SIZE[1] + 0.2 * (1 + (len(points) + len(levels or {})) // 2)))


def balance(share: Floats) -> bytes:
    """The share of ones (bits,) of each bit, around one half."""

    def draw(axes: Axes) -> None:
        axes.bar(np.arange(len(share)), share, width=0.9 if len(share) <= 64 else 1.0, color=BLUE)
        axes.axhline(0.5, color=ORANGE, linestyle="--", linewidth=1.4)
        axes.set(xlabel="bit", ylabel="share of ones", ylim=(0, 1), xlim=(-0.6, len(share) - 0.4))

    return render(draw)


def correlation(matrix: Floats) -> bytes:
    """A correlation matrix (bits, bits), blue below zero and red above."""

    def draw(axes: Axes) -> None:
        image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        axes.grid(visible=False)
        axes.set(xlabel="bit", ylabel="bit")
        axes.figure.colorbar(image, ax=axes, label="correlation", shrink=0.9)

    return render(draw, (SIZE[0], 3.5))


def distances(near: NDArray[np.intp], random: NDArray[np.intp]) -> bytes:
    """Histograms of the Hamming distances (n,) of neighbours and of random pairs, as shares of each."""

    def draw(axes: Axes) -> None:
        last = int(max(near.max(), random.max()))
        edges = np.arange(last + 2) - 0.5
        for name, found, colour in (("true neighbours", near, BLUE), ("random pairs", random, ORANGE)):
            axes.stairs(np.bincount(found, minlength=last + 1) / len(found), edges, fill=True, alpha=0.55, color=colour,
                        label=name)  # fmt: skip
        axes.set(xlabel="Hamming distance", ylabel="share of pairs", xlim=(-0.5, last + 0.5))
        _legend_below(axes)

    return render(draw, (SIZE[0], SIZE[1] + 0.3))


def histogram(values: Floats, xlabel: str, ylabel: str) -> bytes:
    """A histogram of values (n,)."""

    def draw(axes: Axes) -> None:
        axes.hist(values, bins=40, color=BLUE)
        axes.axvline(float(np.median(values)), color=ORANGE, linestyle="--", linewidth=1.4, label="median")
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.legend()

    return render(draw)


def spectrum(values: NDArray[np.float32]) -> bytes:
    """Singular values (m, s) of m items against their rank: the median, and the band that holds 80 % of the items."""

    def draw(axes: Axes) -> None:
        low, middle, high = np.percentile(values, (10, 50, 90), axis=0)
        ranks = np.arange(1, values.shape[1] + 1)
        axes.fill_between(ranks, low, high, color=SKY, alpha=0.4, linewidth=0, label="80% of the items")
        axes.plot(ranks, middle, color=BLUE, label="median")
        axes.set(xlabel="rank", ylabel="singular value", xlim=(1, max(2, len(ranks))))
        axes.set_ylim(bottom=0)
        axes.legend()

    return render(draw)


def _legend_below(axes: Axes) -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncols=2, columnspacing=1.2, handlelength=1.6)
