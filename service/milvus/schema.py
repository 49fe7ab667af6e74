"""How a collection is kept in Milvus: its fields, and what its properties say of it.

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

PREFIX = "hammingway_"
PROPERTY, INDEX_PROPERTY = "hammingway.collection", "hammingway.index"
LONGEST_TEXT = 65_535
LONGEST_PAYLOAD = 65_535
DEFAULT_LISTS = 1024
# Of 1024 lists: so many found 0.96 of the 10 nearest of clustered codes of 128 bits by FAISS (scripts.benchmark).
PROBED = 64


def milvus_name(name: str) -> str:
    """Milvus takes no hyphen; a collection's own name has no capital."""
    return PREFIX + name.replace("-", "H")


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


def properties(name: str, settings: CollectionSettings) -> dict[str, str]:
    """What every replica has to know of a collection."""
    told = {
        "format": 1,
        "name": name,
        "bits": settings.bits,
        "hasher": settings.hasher,
        "hasher_checksum": settings.hasher_checksum,
        "keep_features": settings.keep_features,
        "consistency": settings.consistency or "strong",
    }
    return {PROPERTY: orjson.dumps(told).decode(), **index_properties(settings.index)}


def index_properties(index: IndexSettings) -> dict[str, str]:
    """The part of it that may change."""
    return {INDEX_PROPERTY: orjson.dumps([index.kind, index.lists, index.probes]).decode()}


def collection_row(described: Mapping[str, Any]) -> CollectionRow | None:
    """A collection as Milvus describes it, or None of one that the service did not make."""
    found = described.get("properties", {})
    if PROPERTY not in found or INDEX_PROPERTY not in found:
        return None
    told, index = orjson.loads(found[PROPERTY]), IndexSettings(*orjson.loads(found[INDEX_PROPERTY]))
    settings = CollectionSettings(
        told["bits"],
        told["hasher"],
        index,
        told["keep_features"],
        consistency=told["consistency"],
        hasher_checksum=told["hasher_checksum"],
    )
    return CollectionRow(int(described["collection_id"]), told["name"], settings)


def rows(items: Sequence[StoredItem], keeps_features: bool) -> list[dict[str, Any]]:
    """Items as they are sent to Milvus."""
    # Microseconds, and 12 random bits, so that those of two replicas differ.
    first, random = time.time_ns() // 1000, secrets.randbits(12)
    found = []
    for place, item in enumerate(items):
        payload = orjson.loads(item.payload or b"{}")
        row = {
            "id": item.id,
            "code": item.code,
            "written": (first + place) << 12 | random,
            "lists": _holds_a_list(payload),
            "payload": payload,
        }
        if keeps_features:
            row["features"] = base64.b64encode(item.features or b"").decode()
        found.append(row)
    return found


def stored_item(row: Mapping[str, Any]) -> StoredItem:
    """An item as it comes from Milvus, with what was asked for of it; without a code where that was not."""
    code = row.get("code", b"")
    features = row.get("features")
    return StoredItem(
        row["id"],
        code if isinstance(code, bytes) else b"".join(code),
        orjson.dumps(row["payload"]) if "payload" in row else None,
        None if features is None else base64.b64decode(features),
    )


def _holds_a_list(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_a_list, value.values()))
    return isinstance(value, list)
