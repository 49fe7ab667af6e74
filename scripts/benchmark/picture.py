"""One chart: what one search takes, side by side, on a logarithmic scale."""

import io
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from scripts.benchmark.figures import Figures, Rival
from scripts.benchmark.plan import Plan
from scripts.benchmark.tables import shown

DPI = 150
OURS, EXACT, APPROXIMATE = "#d55e00", "#0072b2", "#56b4e9"
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
}


def draw(figures: Figures, plan: Plan) -> bytes | None:
    """The PNG of the search times of the plan's main case, quickest first; None where none were measured."""
    bars = sorted(_bars(figures, plan), key=lambda rival: rival.search_ms or 0, reverse=True)
    if not bars:
        return None
    with rc_context(STYLE):
        drawing = Drawing(figsize=(10, 1.6 + 0.42 * len(bars)), layout="constrained")
        axes = drawing.add_subplot()
        times = [bar.search_ms or 0.0 for bar in bars]
        axes.barh([_label(bar) for bar in bars], times, color=[_colour(bar) for bar in bars], height=0.7)
        for height, (bar, taken) in enumerate(zip(bars, times, strict=True)):
            found = f"   recall {bar.recall:.3f}" if bar.recall is not None and _approximate(bar) else ""
            axes.annotate(f"{shown(taken)} ms{found}", (taken, height), (5, 0), textcoords="offset points", va="center")
        axes.set_xscale("log")
        # As plain numbers: without formulas the powers would be shown as their source.
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.minorticks_off()
        axes.set_xlim(min(times) / 2, max(times) * 6)
        axes.grid(axis="x", color="#e4e4e4")
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("median time of one search, ms (logarithmic)")
        case = plan.main
        axes.set_title(
            f"The 10 nearest of {plan.items:,} {case.data} codes of {case.bits} bits, one query at a time", loc="left"
        )
        colours = {"Hammingway": OURS, "exact": EXACT, "approximate": APPROXIMATE}
        axes.legend(handles=[Patch(color=colour, label=name) for name, colour in colours.items()], loc="upper right",
                    frameon=False)  # fmt: skip
        content = io.BytesIO()
        drawing.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def _bars(figures: Figures, plan: Plan) -> list[Rival]:
    measured = [rival for rival in figures.rivals if rival.search_ms is not None]
    if measured:
        return measured
    names = {
        ("search", "raw FAISS, ms"): "FAISS flat",
        ("search", "collection, ms"): "Hammingway, collection",
        ("http", "one client, ms"): "Hammingway, over HTTP",
        ("ivf", "raw FAISS IVF, ms"): "FAISS IVF",
        ("ivf", "one client, ms"): "Hammingway, IVF over HTTP",
    }
    recalls = {
        "FAISS IVF": figures.value("ivf", plan.main, "raw FAISS IVF, recall@10"),
        "Hammingway, IVF over HTTP": figures.value("ivf", plan.main, "recall@10"),
    }
    values = {shown_as: figures.value(part, plan.main, name) for (part, name), shown_as in names.items()}
    return [
        Rival(name, "1", search_ms=value, recall=recalls.get(name))
        for name, value in values.items()
        if value is not None
    ]


def _label(rival: Rival) -> str:
    return rival.name if rival.threads == "1" else f"{rival.name} ({rival.threads} threads)"


def _colour(rival: Rival) -> str:
    if rival.name.startswith("Hammingway"):
        return OURS
    return APPROXIMATE if _approximate(rival) else EXACT


def _approximate(rival: Rival) -> bool:
    return any(kind in rival.name for kind in ("IVF", "HNSW"))
