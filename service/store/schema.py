"""The database's tables, and the rows that come out of them.

Every upsert gives its item a new, higher sequence number; `removals` notes what was replaced or deleted.
A follower that remembers the last numbers it saw reads only what came since. Every transaction adds a row to a table
with AUTOINCREMENT, so that the sum of those counters says how much was ever committed.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

APPLICATION_ID = 0x48616D67
FORMAT = 1
TABLES = (
    """CREATE TABLE collections (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    bits INTEGER NOT NULL,
    hasher TEXT,
    index_kind TEXT NOT NULL,
    lists INTEGER,
    probes INTEGER,
    keep_features TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT""",
    """CREATE TABLE items (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    id TEXT NOT NULL,
    code BLOB NOT NULL,
    payload BLOB,
    checksum INTEGER NOT NULL
) STRICT""",
    "CREATE UNIQUE INDEX items_by_id ON items (collection, id)",
    """CREATE TABLE features (
    sequence INTEGER PRIMARY KEY,
    features BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT""",
    """CREATE TABLE removals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    sequence INTEGER NOT NULL
) STRICT""",
)

IndexKind = Literal["flat", "ivf"]
KeepFeatures = Literal["none", "float16", "int8"]


@dataclass(frozen=True)
class IndexSettings:
    """How a collection is searched; `lists` and `probes` of an IVF index are chosen by the service where None."""

    kind: IndexKind = "flat"
    lists: int | None = None
    probes: int | None = None


@dataclass(frozen=True)
class CollectionSettings:
    """What a collection is created with; `hasher` is `name@version`, or None where items bring their own codes."""

    bits: int
    hasher: str | None = None
    index: IndexSettings = IndexSettings()
    keep_features: KeepFeatures = "none"


@dataclass(frozen=True)
class CollectionRow:
    """A collection as kept; its number is never used again."""

    number: int
    name: str
    settings: CollectionSettings


class StoredItem(NamedTuple):
    """An item as kept: `code` is packed, `payload` is JSON text in UTF-8 or None, `features` as `features.py` packs."""

    id: str
    code: bytes
    payload: bytes | None = None
    features: bytes | None = None
