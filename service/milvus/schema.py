"""How a collection is kept in Milvus: its fields, and what its properties say of it.

Its name is an alias there, of the Milvus collection that has its items: a re-coding makes another one, and the alias
passes to that in one step.

The id itself is the key: a hash of it, as an integer, would take half the memory a row, but of a billion ids two would
share one, and the id has to be kept beside it anyway. `lists` says whether the payload holds a list anywhere: of those
no comparison of Milvus's says what the service's filters do. `written` numbers items in the order they came.
"""

import base64
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from pymilvus import CollectionSchema, DataType, MilvusClient

from service.items import LONGEST_ID_BYTES
from service.store.schema import CollectionRow, CollectionSettings, IndexSettings, StoredItem

NAMED, ITEMS, GONE = "hammingway_", "hammingwayitems_", "hammingwaygone_"
PROPERTY, INDEX_PROPERTY, RECODING = "hammingway.collection", "hammingway.index", "hammingway.recoding"
FORMAT = 2
LONGEST_TEXT = 65_535
LONGEST_PAYLOAD = 65_535
# A document is in several texts, each of so many bytes in base64.
MOST_PIECES, PIECE_BYTES = 32, LONGEST_TEXT // 4 * 3
LONGEST_DOCUMENT = 2**20
DEFAULT_LISTS = 1024
# Of 1024 lists: so many found 0.96 of the 10 nearest of clustered codes of 128 bits by FAISS, 0.99 by Milvus
# (scripts.benchmark).
PROBED = 64


def alias(name: str) -> str:
    """By what Milvus finds a collection; it takes no hyphen, and a collection's own name has no capital."""
    return NAMED + name.replace("-", "H")


def items_name(number: int) -> str:
    """The Milvus collection with the items of a collection."""
    return f"{ITEMS}{number}"


def gone_name(number: int) -> str:
    """The same from when it is deleted: of all who would delete it one can give it that name."""
    return f"{GONE}{number}"


def fields(settings: CollectionSettings) -> CollectionSchema:
    """The schema of a new collection."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=LONGEST_ID_BYTES)
    schema.add_field("code", DataType.BINARY_VECTOR, dim=settings.bits)
    schema.add_field("written", DataType.INT64)
    schema.add_field("lists", DataType.BOOL)
    schema.add_field("payload", DataType.JSON)
    if settings.keep_features != "none":
        schema.add_field("features", DataType.VARCHAR, max_length=LONGEST_TEXT)
    if settings.keep_documents:
        pieces = {"element_type": DataType.VARCHAR, "max_length": LONGEST_TEXT, "max_capacity": MOST_PIECES}
        schema.add_field("document", DataType.ARRAY, **pieces)
    return schema


def without_items(description: str) -> CollectionSchema:
    """The schema of what is there for its name and its properties alone."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False, description=description)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("none", DataType.BINARY_VECTOR, dim=8)
    return schema


def index_parameters(index: IndexSettings) -> Any:
    """What Milvus is to build."""
    parameters = MilvusClient.prepare_index_params()
    if index.kind == "flat":
        parameters.add_index("code", index_type="BIN_FLAT", index_name="code", metric_type="HAMMING")
    else:
        parameters.add_index(
            "code", index_type="BIN_IVF_FLAT", index_name="code", metric_type="HAMMING", params={"nlist": lists(index)}
        )
    return parameters


def lists(index: IndexSettings) -> int:
    """Of an IVF index."""
    return index.lists or max(DEFAULT_LISTS, index.probes or 1)


def probes(index: IndexSettings, exact: bool) -> int:
    """How many lists a search looks into: all of them where it has to be exact."""
    return lists(index) if exact else index.probes or max(1, lists(index) // PROBED)


def properties(row: CollectionRow) -> dict[str, str]:
    """What every replica has to know of a collection."""
    settings = row.settings
    told = {
        "format": FORMAT,
        "number": row.number,
        "name": row.name,
        "bits": settings.bits,
        "hasher": settings.hasher,
        "hasher_checksum": settings.hasher_checksum,
        "keep_features": settings.keep_features,
        "keep_documents": settings.keep_documents,
        "consistency": settings.consistency or "strong",
    }
    return {
        PROPERTY: orjson.dumps(told).decode(),
        **index_properties(settings.index),
        **recoding_property(row.recoding),
    }


def index_properties(index: IndexSettings) -> dict[str, str]:
    """The part of it that may change."""
    return {INDEX_PROPERTY: orjson.dumps([index.kind, index.lists, index.probes]).decode()}


def recoding_property(recoding: int | None) -> dict[str, str]:
    """Which re-coding it is part of, if any."""
    return {RECODING: "" if recoding is None else str(recoding)}


def collection_row(described: Mapping[str, Any]) -> CollectionRow | None:
    """A collection as Milvus describes it, or None of one that the service did not make, or that is just deleted."""
    if described["collection_name"].startswith(GONE):
        return None
    found = described.get("properties", {})
    told = orjson.loads(found.get(PROPERTY, "{}"))
    if told.get("format") != FORMAT:
        return None
    index = IndexSettings(*orjson.loads(found[INDEX_PROPERTY]))
    settings = CollectionSettings(
        told["bits"],
        told["hasher"],
        index,
        told["keep_features"],
        told["keep_documents"],
        consistency=told["consistency"],
        hasher_checksum=told["hasher_checksum"],
    )
    recoding = found.get(RECODING)
    return CollectionRow(told["number"], told["name"], settings, int(recoding) if recoding else None)


def rows(items: Sequence[StoredItem], settings: CollectionSettings, versions: Sequence[int]) -> list[dict[str, Any]]:
    """Items as they are sent to Milvus, each with when it was written."""
    found = []
    for item, version in zip(items, versions, strict=True):
        payload = orjson.loads(item.payload or b"{}")
        row = {
            "id": item.id,
            "code": item.code,
            "written": version,
            "lists": _holds_a_list(payload),
            "payload": payload,
        }
        if settings.keep_features != "none":
            row["features"] = base64.b64encode(item.features or b"").decode()
        if settings.keep_documents:
            row["document"] = _pieces(item.document or b"")
        found.append(row)
    return found


def moment() -> int:
    """As what is written now is numbered: microseconds, and 12 bits more."""
    return time.time_ns() // 1000 << 12


def new_versions(count: int) -> list[int]:
    """When so many items are written, in their order: those of two replicas differ, also within a microsecond."""
    first, random = moment(), secrets.randbits(12)
    return [first + (place << 12) | random for place in range(count)]


def stored_item(row: Mapping[str, Any]) -> StoredItem:
    """An item as it comes from Milvus, with what was asked for of it; without a code where that was not."""
    code = row.get("code", b"")
    features, pieces = row.get("features"), row.get("document")
    return StoredItem(
        row["id"],
        code if isinstance(code, bytes) else b"".join(code),
        orjson.dumps(row["payload"]) if "payload" in row else None,
        None if features is None else base64.b64decode(features),
        None if pieces is None else b"".join(map(base64.b64decode, pieces)),
    )


def every_field(settings: CollectionSettings) -> list[str]:
    """The names of all that is kept of an item."""
    features = ["features"] if settings.keep_features != "none" else []
    return ["id", "code", "written", "payload", *features, *(["document"] if settings.keep_documents else [])]


def _pieces(document: bytes) -> list[str]:
    starts = range(0, len(document), PIECE_BYTES)
    return [base64.b64encode(document[start : start + PIECE_BYTES]).decode() for start in starts]


def _holds_a_list(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_a_list, value.values()))
    return isinstance(value, list)
