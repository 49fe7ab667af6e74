"""The section on training: every loss, and the health of the codes on the way."""

from models.training.history import History
from scripts.report import figures
from scripts.report.measures import smoothed
from scripts.report.parts import Picture, Section, Table, plain

WINDOWS = 15
MEANINGS = {
    "total": "The weighted sum of all terms, which training lowers.",
    "reconstruction": "Squared error of what the decoder makes of the code; inputs have a mean square of 1.",
    "sparsity": "Sum of the units' activations; lower means fewer are on.",
    "gaussian_sparsity": "Sum of the units' squared activations; lower means weaker ones.",
    "prediction": "How far the encoder is from the sparse code that inference finds, and that code from the item.",
    "contraction": "How strongly the units react to small changes of an item; lower is steadier.",
    "weight_decay": "The size of the weights of encoder and decoder; lower is smaller.",
    "similarity": "How far the order of neighbours by code is from that by features.",
    "smoothed_similarity": "How far the codes are from drawing whole clusters together.",
    "views": "How far altered copies of items are from being nearest to their originals; lower is steadier.",
    "sharp_views": "The same beside the nearest other items alone; lower is steadier.",
    "balance": "How far the bits are from being on half of the time; 0 is ideal.",
    "decorrelation": "How much bits repeat each other; 0 is ideal.",
}


def training_section(history: History) -> Section:
    """Curves of the losses, of bit entropy and of distinct codes."""
    parts: list[Picture | Table] = []
    for name, values in history.losses.items():
        if values:
            line = smoothed(values, max(5, len(values) // WINDOWS))
            caption = f"{MEANINGS[name]} Good: it falls or holds its level, and ends flat."
            title = f"Loss: {plain(name.replace('_', ' '))}"
            parts.append(Picture(f"loss-{name}.png", title, caption, figures.curve(values, line, "loss")))
    if history.health:
        steps, entropy, distinct = zip(*history.health, strict=True)
        points = {"bit entropy": (steps, entropy), "distinct codes": (steps, distinct)}
        parts.append(
            Picture(
                "health.png",
                "Bit entropy and distinct codes",
                "Mean entropy of the bits, and the share of codes that differ, on the same items throughout. "
                "Good: both near 1. A fall means that codes collapse and items can no longer be told apart.",
                figures.lines(points, "step", "entropy, share", least=0.8),
            )
        )
    words = "What each step of training cost, term by term, and what became of the codes."
    if not parts:
        words = "This hasher was not trained: it is the start, as it was set."
    return Section("training", "Training", words, parts)
