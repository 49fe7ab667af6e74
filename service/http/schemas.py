"""The shapes of requests and replies, and how a request's parts become the service's own."""

import binascii
from typing import Annotated, Any, Literal

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from models.features import Document as AnyDocument
from models.versions import NAME
from service import items
from service.collections import NewCollection
from service.store import schema

LONGEST_ID_BYTES = 512
KINDS: tuple[items.Kind, ...] = ("text", "image", "vector", "code")


def _from_base64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"expected an image as base64, got {type(value).__name__}")
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"expected an image as base64, got {len(value)} characters that are not: {error}") from None


def _id(value: str) -> str:
    length = len(value.encode())
    if not 1 <= length <= LONGEST_ID_BYTES:
        raise ValueError(f"expected an id of 1 to {LONGEST_ID_BYTES} bytes, got {length}")
    # Clients take dots for a way upwards: `DELETE .../items/..` would delete the collection.
    if value in (".", "..") or any(ord(character) < 32 or character == "\x7f" for character in value):
        raise ValueError(f"expected an id that is neither . nor .. and has no control characters, got {value[:80]!r}")
    return value


def _to_json(value: Any) -> bytes:
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"expected a payload that is not nested that deeply: {error}") from None


def collection_name(value: str) -> str:
    """A name that may be given to a collection."""
    if not NAME.fullmatch(value):
        raise ValueError(f"expected small letters, digits, - and _ (at most 64), got {value[:80]!r}")
    return value


Id = Annotated[str, AfterValidator(_id), Field(min_length=1, examples=["a1"])]
Image = Annotated[bytes, BeforeValidator(_from_base64), WithJsonSchema({"type": "string", "format": "base64"})]
# A vector of a million wrong numbers is wrong at the first.
Vector = Annotated[list[float], Field(fail_fast=True)]
Payload = Annotated[dict[str, Any], Field(examples=[{"price": 30}])]

GivenPayload = Annotated[bytes, BeforeValidator(_to_json), WithJsonSchema({"type": "object"})]


class Strict(BaseModel):
    """A part of a request: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Document(Strict):
    """Exactly one of its kinds."""

    text: str | None = Field(None, description="for a hasher of texts")
    image: Image | None = Field(None, description="PNG, JPEG, WebP, GIF, BMP or TIFF, as base64")
    vector: Vector | None = Field(None, description="finite numbers, as many as the hasher takes")
    code: str | None = Field(None, description="hex: byte i of the packed code is digits 2i and 2i + 1")

    @model_validator(mode="after")
    def _one(self) -> "Document":
        given = [kind for kind in self.kinds() if getattr(self, kind) is not None]
        if len(given) != 1:
            came = " and ".join(given) or "none of them"
            raise ValueError(f"expected exactly one of {', '.join(self.kinds())}, got {came}")
        return self

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """What a document may be."""
        return KINDS

    def document(self) -> tuple[items.Kind, AnyDocument]:
        """The one kind that was given, with its document."""
        for kind in KINDS:
            if (value := getattr(self, kind)) is not None:
                return kind, value
        raise AssertionError("validated to have one")


class Item(Document):
    """What is indexed: an id, a document, and a payload that comes back with matches."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "a1", "text": "red running shoes", "payload": {"price": 30}}]}
    )
    id: Id
    payload: GivenPayload | None = Field(None, description="comes back with matches, and is what a filter looks at")

    def item(self) -> items.Item:
        """The service's own item."""
        kind, document = self.document()
        return items.Item(self.id, kind, document, self.payload)


class Query(Document):
    """A document, or the id of an item of the collection."""

    id: Id | None = Field(None, description="of an item of the collection, which does not find itself")

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """A query may be an id, too."""
        return (*KINDS, "id")

    def query(self) -> items.Query:
        """The service's own query."""
        return items.Query("id", self.id) if self.id is not None else items.Query(*self.document())


class EncodeRequest(Strict):
    """Documents to be coded by a hasher."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"hasher": "pydocs", "inputs": [{"text": "sort a list"}], "format": "hex"}]}
    )
    hasher: str = Field(description="`name@version`, or `name` for its newest version")
    inputs: list[Document] = Field(description="documents of the hasher's modality")
    format: Literal["hex", "base64", "bits"] = Field(
        "hex", description="of the codes: byte i is hex digits 2i and 2i + 1; bits are text of 0 and 1, bit 0 first"
    )
    logits: bool = Field(False, description="give the encoder's float32 output, too")


class EncodeReply(BaseModel):
    """Codes in the order of the inputs."""

    hasher: str = Field(examples=["pydocs@1"])
    bits: int = Field(examples=[64])
    codes: list[str] = Field(examples=[["09af1c5522e08b71"]])
    logits: list[list[float]] | None = None


class IndexSettings(Strict):
    """How a collection is searched."""

    kind: Literal["flat", "ivf"] = Field(description="exact, or FAISS's binary IVF: quicker, and may miss some")
    lists: int | None = Field(None, description="of IVF; default: about the square root of the number of items")
    probes: int | None = Field(None, description="lists that a search looks into; default: by measured recall")

    def settings(self) -> schema.IndexSettings:
        """The service's own settings."""
        return schema.IndexSettings(self.kind, self.lists, self.probes)


class CollectionChange(Strict):
    """What of a collection may change."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"index": {"kind": "ivf"}}]})
    index: IndexSettings = Field(description="in place of how it is searched now")


class CollectionSettings(Strict):
    """A hasher, or a code length where items bring their own codes."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"hasher": "pydocs"}, {"bits": 128, "index": {"kind": "ivf"}}]}
    )
    hasher: str | None = Field(None, description="`name@version`, or `name` for its newest version")
    bits: int | None = Field(None, description="a multiple of 8")
    index: IndexSettings | None = Field(None, description="default: flat, which is exact")
    keep_features: Literal["none", "float16", "int8"] | None = Field(
        None, description="keep the features of items, for `rank` rescored; default: none"
    )

    @model_validator(mode="after")
    def _one(self) -> "CollectionSettings":
        if (self.hasher is None) == (self.bits is None):
            raise ValueError("expected either a hasher or bits")
        return self

    def settings(self) -> NewCollection:
        """What the service is asked for."""
        index = None if self.index is None else self.index.settings()
        return NewCollection(self.hasher, self.bits, index, self.keep_features)


class CollectionReply(BaseModel):
    """A collection as it is."""

    name: str = Field(examples=["pydocs"])
    bits: int = Field(examples=[64])
    hasher: str | None = Field(examples=["pydocs@1"], description="null where items bring their own codes")
    count: int = Field(examples=[5721])
    index: IndexSettings = Field(examples=[{"kind": "flat"}])
    keep_features: Literal["none", "float16", "int8"] = Field(examples=["none"])


class CollectionsReply(BaseModel):
    """All collections, by name."""

    collections: list[CollectionReply]


class IndexRequest(Strict):
    """Items to upsert: all of them, or none where one cannot be used."""

    items: list[Item] = Field(description="each id once")


class Rejected(BaseModel):
    """A line of an NDJSON body that was not indexed."""

    line: int = Field(examples=[7], description="counted from 1")
    status: int = Field(examples=[422])
    title: str = Field(examples=["Invalid input"])
    detail: str = Field(examples=["expected exactly one of text, image, vector, code, got none of them"])


class IndexReply(BaseModel):
    """What is on disk now."""

    indexed: int = Field(examples=[2])
    rejected: list[Rejected] = Field(default=[], description="only after NDJSON")


class ItemReply(BaseModel):
    """An item as it is kept: its document is not."""

    id: str = Field(examples=["a1"])
    code: str = Field(examples=["09af1c5522e08b71"])
    payload: Payload


class DeleteRequest(Strict):
    """Items to delete; ids that no item has are passed over."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["a1", "a2"]}]})
    ids: list[str] = Field(description="each deleted where it is there")


class DeleteReply(BaseModel):
    """How many items were there."""

    deleted: int = Field(examples=[1])


class SearchRequest(Strict):
    """One query, or many of the same collection."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"query": {"text": "sort a list"}, "limit": 5}, {"queries": [{"id": "a1"}, {"id": "a2"}]}]
        }
    )
    query: Query | None = Field(None, description="a document, a code or the id of an item")
    queries: list[Query] | None = Field(None, description="in place of `query`: a list of results for each, in order")
    limit: int | None = Field(None, ge=1, description="default 10; with `max_distance`, the largest that is allowed")
    max_distance: int | None = Field(None, ge=0, description="inclusive")
    filter: dict[str, Any] | None = Field(
        None,
        description="conditions on the payload, all of which have to hold; always exact. A field, named by its path "
        "(`author.name`), is given a value to equal, or operators: `eq`, `in`, `gt`, `gte`, `lt`, `lte`, `exists`. "
        "`and` and `or` take a list of filters, `not` takes one. A list matches where one of its elements does",
        examples=[{"price": {"lte": 40}}],
    )
    rank: Literal["hamming", "asymmetric", "rescored"] = Field(
        "hamming",
        description="what orders the nearest: their Hamming distance, the query's logits, or the features kept of them",
    )
    candidates: int | None = Field(
        None,
        ge=1,
        description="how many of the nearest are ranked anew, `limit` at least; default: 100 asymmetric, 1000 rescored",
    )
    exact: bool = Field(False, description="pass by an IVF index")

    @model_validator(mode="after")
    def _one(self) -> "SearchRequest":
        if (self.query is None) == (self.queries is None):
            raise ValueError("expected either query or queries")
        return self


class MatchReply(BaseModel):
    """An item that was found."""

    id: str = Field(examples=["a2"])
    distance: int = Field(examples=[3], description="Hamming distance: smaller is nearer")
    similarity: float = Field(examples=[0.9531], description="1 - distance / bits")
    payload: Payload
    score: float | None = Field(None, description="what `rank` ordered by, unless hamming: smaller is nearer")


class SearchReply(BaseModel):
    """Matches in the order (distance, id); a list of lists where `queries` was asked."""

    results: list[MatchReply] | list[list[MatchReply]]
    hasher: str | None = Field(examples=["pydocs@1"])


class IndexStats(BaseModel):
    """How a collection is searched now."""

    kind: Literal["flat", "ivf"]
    state: Literal["exact", "building", "ready"] = Field(description="exact until an IVF index is ready")
    lists: int | None = Field(None, examples=[1024])
    probes: int | None = Field(None, examples=[16])
    indexed: int | None = Field(None, description="items in the IVF index; later ones are searched exactly beside it")
    recall: float | None = Field(None, description="share of the 10 nearest that is found", examples=[0.962])
    recall_sample: int | None = Field(None, description="items whose neighbours the recall was measured on")


class StatsReply(BaseModel):
    """A collection in numbers; memory and index are those of the process that answered."""

    name: str = Field(examples=["pydocs"])
    count: int = Field(examples=[3481])
    bits: int = Field(examples=[64])
    removed: int = Field(description="rows of removed items that are still in memory", examples=[12])
    memory_bytes: int = Field(examples=[97468])
    index: IndexStats


class SnapshotReply(BaseModel):
    """A snapshot that was taken; it lies in `snapshots` in the data folder."""

    snapshot: str = Field(examples=["pydocs-20260102T030405Z-0a1b2c3d.sqlite"])
    items: int = Field(examples=[3481])
    bytes: int = Field(examples=[548864])
    sha256: str = Field(description="also beside the file, as sha256sum writes it")


class HasherReply(BaseModel):
    """A hasher as listed; `detail` says why one is not served."""

    reference: str = Field(examples=["pydocs@1"])
    served: bool
    modality: str | None = Field(None, examples=["text"])
    bits: int | None = Field(None, examples=[64])
    objective: str | None = Field(None, examples=["hashing"])
    detail: str | None = None


class HashersReply(BaseModel):
    """All hashers, by name and version."""

    models: list[HasherReply]


class StatusReply(BaseModel):
    """Live, or ready."""

    status: str = Field(examples=["ready"])
