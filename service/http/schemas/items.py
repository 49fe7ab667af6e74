"""Items into a collection and out of it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.http.schemas.documents import Item, KeptDocument
from service.http.schemas.fields import Payload, Strict


class IndexRequest(Strict):
    """Items to upsert: all of them, or none where one cannot be used."""

    items: list[Item] = Field(description="each id once")


class Rejected(BaseModel):
    """A line of an NDJSON body that was not indexed."""

    line: int = Field(examples=[7], description="counted from 1")
    status: int = Field(examples=[422], description="what a request with this line alone would be answered with")
    title: str = Field(examples=["Invalid input"], description="the kind of mistake, as of an error")
    detail: str = Field(
        examples=["expected exactly one of text, image, vector, code, got none of them"],
        description="what was expected and what came",
    )


class IndexReply(BaseModel):
    """What is on disk now."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"indexed": 2},
                {
                    "indexed": 1,
                    "rejected": [
                        {
                            "line": 2,
                            "status": 422,
                            "title": "Invalid input",
                            "detail": "expected exactly one of text, image, vector, code, got none of them",
                        }
                    ],
                },
            ]
        }
    )
    indexed: int = Field(examples=[2], description="items that are on disk by this request")
    rejected: list[Rejected] = Field(default=[], description="only after NDJSON")


class ListedItem(BaseModel):
    """An item as it is kept."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "a1", "code": "09af1c5522e08b71", "payload": {"price": 30}}]}
    )
    id: str = Field(examples=["a1"], description="as it was indexed")
    code: str | None = Field(None, examples=["09af1c5522e08b71"], description="as hex, unless `with` leaves it out")
    payload: Payload | None = Field(None, description="unless `with` leaves it out; `{}` where it was given none")
    features: list[float] | None = Field(
        None, examples=[[0.25, -1.5]], description="with `features`: as they were kept"
    )
    document: KeptDocument | None = Field(None, description="with `document`: as it was given")


class ItemReply(ListedItem):
    """An item as it is kept, by itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": "a1", "code": "09af1c5522e08b71", "payload": {"price": 30}, "hasher": "pydocs@1"}]
        }
    )
    hasher: str | None = Field(examples=["pydocs@1"], description="whose code it is; null of a code as given")


class ItemsReply(BaseModel):
    """A page of items in the order of their ids (by code point)."""

    items: list[ListedItem] = Field(
        examples=[[{"id": "a1", "code": "09af1c5522e08b71", "payload": {"price": 30}}]],
        description="at most `limit`; they may be fewer before the last page",
    )
    cursor: str | None = Field(examples=["PaJXUWEy"], description="of the next page; null where there is none")
    hasher: str | None = Field(examples=["pydocs@1"], description="whose codes these are; null of codes as given")


class DeleteRequest(Strict):
    """Items to delete, by id or by filter; ids that no item has are passed over."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"ids": ["a1", "a2"]}, {"filter": {"price": {"lte": 40}}}]}
    )
    ids: list[str] | None = Field(None, description="each deleted where it is there")
    filter: dict[str, Any] | None = Field(
        None,
        description="as in a search: all items that it lets through are deleted. One that names no field is refused",
        examples=[{"price": {"lte": 40}}],
    )

    @model_validator(mode="after")
    def _one(self) -> "DeleteRequest":
        if (self.ids is None) == (self.filter is None):
            raise ValueError(f"expected either ids or a filter, got {'none' if self.ids is None else 'both'}")
        return self


class DeleteReply(BaseModel):
    """How many items were there."""

    deleted: int = Field(examples=[1], description="items that were there, and are not any more")
