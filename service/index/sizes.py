"""From how many items on a collection has an IVF index, and of how few it is searched exactly again."""

from service.index.ivf import fewest
from service.store.schema import IndexSettings

# Exact search of as many takes about a millisecond on one core, at 128 bits.
ABOVE = 1_000_000
# Once built it is kept for half as many: a collection that grows and shrinks by a few is not indexed again and again.
KEPT_SHARE = 2


def above(settings: IndexSettings) -> int | None:
    """Up to how many items `auto` is exact; None of another kind."""
    return settings.above or ABOVE if settings.kind == "auto" else None


def least(settings: IndexSettings, built: bool) -> int | None:
    """How many items it takes to have an IVF index, to keep it where it is `built`; None: none is ever wanted."""
    if settings.kind == "flat":
        return None
    needed = max(fewest(settings.lists), (above(settings) or 0) + 1)
    return needed // KEPT_SHARE if built else needed
