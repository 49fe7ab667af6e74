"""Collections as they are asked for and as they are."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from service.collections.collections import NewCollection
from service.http.schemas.fields import Strict
from service.store import schema


class IndexSettings(Strict):
    """How a collection is searched."""

    kind: schema.IndexKind = Field(
        description="exact, or FAISS's binary IVF: quicker, and may miss some; `auto`: exact up to so many items"
    )
    lists: int | None = Field(None, description="of IVF; default: about the square root of the number of items")
    probes: int | None = Field(None, description="lists that a search looks into; default: by measured recall")
    above: int | None = Field(None, description="of auto: IVF of more items than so many; default: 1,000,000")

    def settings(self) -> schema.IndexSettings:
        """The service's own settings."""
        return schema.IndexSettings(self.kind, self.lists, self.probes, self.above)


class CollectionChange(Strict):
    """What of a collection may change."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"index": {"kind": "ivf"}}, {"index": {"kind": "auto", "above": 200_000}}]}
    )
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
    keep_documents: bool | None = Field(
        None, description="keep the documents of items, so that any hasher can code them anew; default: false"
    )
    consistency: Literal["strong", "session", "bounded", "eventually"] | None = Field(
        None, description="of a collection in Milvus: what a search sees of the writes before it; default: strong, all"
    )

    @model_validator(mode="after")
    def _one(self) -> "CollectionSettings":
        if (self.hasher is None) == (self.bits is None):
            raise ValueError(f"expected either a hasher or bits, got {'none' if self.hasher is None else 'both'}")
        return self

    def settings(self) -> NewCollection:
        """What the service is asked for."""
        index = None if self.index is None else self.index.settings()
        return NewCollection(self.hasher, self.bits, index, self.keep_features, self.keep_documents, self.consistency)


MADE: dict[str, JsonValue] = {
    "name": "pydocs",
    "bits": 64,
    "hasher": "pydocs@1",
    "count": 0,
    "index": {"kind": "flat"},
    "keep_features": "none",
    "keep_documents": False,
}


class CollectionReply(BaseModel):
    """A collection as it is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                MADE | {"count": 5721},
                MADE | {"count": 412_000, "index": {"kind": "auto", "above": 200_000}},
            ]
        }
    )
    name: str = Field(examples=["pydocs"], description="as it was created")
    bits: int = Field(examples=[64], description="of a code")
    hasher: str | None = Field(examples=["pydocs@1"], description="null where items bring their own codes")
    count: int = Field(examples=[5721], description="items there are")
    index: IndexSettings = Field(examples=[{"kind": "flat"}])
    keep_features: Literal["none", "float16", "int8"] = Field(
        examples=["none"], description="how the features of items are kept"
    )
    keep_documents: bool = Field(examples=[False], description="whether the documents of items are kept")
    consistency: Literal["strong", "session", "bounded", "eventually"] | None = Field(
        None, description="only of a collection in Milvus"
    )


class CollectionsReply(BaseModel):
    """All collections, by name."""

    collections: list[CollectionReply] = Field(description="each as `GET` on it gives it")
