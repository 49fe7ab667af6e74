"""The database's tables, and the rows that come out of them.

Every upsert gives its item a new, higher sequence number; `removals` notes what was replaced or deleted.
A follower that remembers the last numbers it saw reads only what came since. Every transaction adds a row to a table
with AUTOINCREMENT, so that the sum of those counters says how much was ever committed.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from models.codes import LONGEST_CODE_BITS
from models.errors import InvalidInputError

APPLICATION_ID = 0x48616D67
FORMAT = 3
TABLES = (
    """CREATE TABLE collections (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT UNIQUE,
    bits INTEGER NOT NULL,
    hasher TEXT,
    index_kind TEXT NOT NULL,
    lists INTEGER,
    probes INTEGER,
    keep_features TEXT NOT NULL,
    keep_documents INTEGER NOT NULL,
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
    """CREATE TABLE documents (
    sequence INTEGER PRIMARY KEY,
    document BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT""",
    """CREATE TABLE removals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL,
    sequence INTEGER NOT NULL
) STRICT""",
    """CREATE TABLE recodings (
    old INTEGER PRIMARY KEY,
    new INTEGER NOT NULL UNIQUE,
    job INTEGER NOT NULL,
    stage TEXT NOT NULL,
    automatic INTEGER NOT NULL,
    last INTEGER NOT NULL,
    position INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) STRICT""",
    """CREATE TABLE deletions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    blocks INTEGER NOT NULL,
    block INTEGER NOT NULL,
    position INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) STRICT""",
    """CREATE TABLE deleted_blocks (
    deletion INTEGER NOT NULL,
    block INTEGER NOT NULL,
    collection INTEGER NOT NULL,
    sequences BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (deletion, block)
) STRICT""",
    """CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL,
    content BLOB NOT NULL,
    checksum INTEGER NOT NULL
) STRICT""",
)

IndexKind = Literal["flat", "ivf", "auto"]
KeepFeatures = Literal["none", "float16", "int8"]
Consistency = Literal["strong", "session", "bounded", "eventually"]
Stage = Literal["coding", "ready", "switched"]


@dataclass(frozen=True)
class IndexSettings:
    """How a collection is searched; `lists` and `probes` of an IVF index are chosen by the service where None.

    `auto`: exactly up to `above` items, with an IVF index of more; None leaves the number to the service.
    """

    kind: IndexKind = "flat"
    lists: int | None = None
    probes: int | None = None
    # Not told where there is none, as the checksums of collections are of what is told: see `kept_kind`.
    above: int | None = field(default=None, repr=False)


@dataclass(frozen=True)
class CollectionSettings:
    """What a collection is created with; `hasher` is `name@version`, or None where items bring their own codes."""

    bits: int
    hasher: str | None = None
    index: IndexSettings = IndexSettings()
    keep_features: KeepFeatures = "none"
    keep_documents: bool = False
    # Of stores that let it be chosen, and that keep the hasher elsewhere. Not told: the checksums are of what is.
    consistency: Consistency | None = field(default=None, repr=False)
    hasher_checksum: str | None = field(default=None, repr=False)


def require_storable(settings: CollectionSettings) -> None:
    """Raise InvalidInputError for settings that would not be read back as they were written.

    Their checksum is of their text: SQLite would keep 8.0 as 8, and the row would be taken for a damaged one.
    """
    bits, index = settings.bits, settings.index
    if type(bits) is not int or bits % 8 or not 8 <= bits <= LONGEST_CODE_BITS:
        raise InvalidInputError(f"expected a multiple of 8 up to {LONGEST_CODE_BITS}, got {bits!r}", "bits")
    texts = {"hasher": settings.hasher, "hasher_checksum": settings.hasher_checksum}
    numbers = {"index/lists": index.lists, "index/probes": index.probes, "index/above": index.above}
    for name, text in texts.items():
        if type(text) not in (str, type(None)):
            raise InvalidInputError(f"expected text or none, got {text!r}", name)
    for name, number in numbers.items():
        if type(number) not in (int, type(None)):
            raise InvalidInputError(f"expected a whole number or none, got {number!r}", name)
    if type(settings.keep_documents) is not bool:
        raise InvalidInputError(f"expected true or false, got {settings.keep_documents!r}", "keep_documents")
    for name, value, values in (
        ("index/kind", index.kind, get_args(IndexKind)),
        ("keep_features", settings.keep_features, get_args(KeepFeatures)),
        ("consistency", settings.consistency, (None, *get_args(Consistency))),
    ):
        if type(value) not in (str, type(None)) or value not in values:
            raise InvalidInputError(f"expected one of {', '.join(map(str, values))}, got {value!r}", name)


@dataclass(frozen=True)
class CollectionRow:
    """A collection as kept; its number is never used again.

    One that is hidden, as the other half of a re-coding, has no name: an empty one here, NULL in the database.
    """

    number: int
    name: str
    settings: CollectionSettings
    # The re-coding that it is part of, of stores that tell it with the row.
    recoding: int | None = field(default=None, repr=False, compare=False)


class StoredItem(NamedTuple):
    """An item as kept: `code` is packed, `payload` is JSON text in UTF-8 or None.

    `features` and `document`, where they are kept, as `kept_features` and `kept_documents` pack them.
    """

    id: str
    code: bytes
    payload: bytes | None = None
    features: bytes | None = None
    document: bytes | None = None


@dataclass(frozen=True)
class Recoding:
    """Two collections that are written together: `old` is coded anew into `new`, by a job of that number.

    `coding` and `ready`: `new` is hidden; `switched`: `old` is. The items of `old` up to sequence number `position` are
    done, those up to `last` are to be; later ones were written to both. `automatic`: switched as soon as it is ready.
    """

    old: int
    new: int
    job: int
    stage: Stage
    automatic: bool
    last: int
    position: int

    def other(self, collection: int) -> int:
        """The one that is written together with this one."""
        return self.new if collection == self.old else self.old
