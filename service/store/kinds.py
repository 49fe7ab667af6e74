"""How the kind of an index is kept: in one column, `auto` with its number of items, as `auto above 50000`.

A column more would be another format of every database, for what few collections have.
"""

from service.store.schema import IndexSettings

ABOVE = " above "


def kept_kind(index: IndexSettings) -> str:
    """The kind as it is kept."""
    return index.kind if index.above is None else f"{index.kind}{ABOVE}{index.above}"


def index_settings(kept: object, lists: int | None, probes: int | None) -> IndexSettings:
    """The settings of a kind as it is kept; what is damaged gives some that the row's checksum does not fit."""
    kind, _, above = str(kept).partition(ABOVE)
    return IndexSettings(kind, lists, probes, int(above) if above.isdecimal() else None)  # type: ignore[arg-type]
