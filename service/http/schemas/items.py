"""Items into a collection and out of it."""

from pydantic import BaseModel, ConfigDict, Field

from service.http.schemas.documents import Item
from service.http.schemas.fields import Payload, Strict


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
