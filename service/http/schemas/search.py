"""Searches and what they find."""

from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.http.schemas.documents import KeptDocument, Query
from service.http.schemas.fields import Payload, Strict
from service.items import Part


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
    # `with` is Python's own word.
    carried: list[Part] = Field(
        ["payload"],
        alias="with",
        max_length=len(get_args(Part)),
        fail_fast=True,
        description="what each match carries beside its distance, `[]` for nothing; `features` and `document` are of a "
        "collection that keeps them",
        examples=[["payload", "code"]],
    )

    @model_validator(mode="after")
    def _one(self) -> "SearchRequest":
        if (self.query is None) == (self.queries is None):
            raise ValueError(f"expected either query or queries, got {'none' if self.query is None else 'both'}")
        return self


class MatchReply(BaseModel):
    """An item that was found."""

    id: str = Field(examples=["a2"], description="of the item")
    distance: int = Field(examples=[3], description="Hamming distance: smaller is nearer")
    similarity: float = Field(examples=[0.9531], description="1 - distance / bits")
    payload: Payload | None = Field(None, description="unless `with` leaves it out; `{}` where it was given none")
    code: str | None = Field(None, examples=["09af1c5522e08b71"], description="with `code`: as hex")
    features: list[float] | None = Field(
        None, examples=[[0.25, -1.5]], description="with `features`: as they were kept"
    )
    document: KeptDocument | None = Field(None, description="with `document`: as it was given")
    score: float | None = Field(None, description="what `rank` ordered by, unless hamming: smaller is nearer")


class SearchReply(BaseModel):
    """Matches in the order (distance, id); a list of lists where `queries` was asked."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {"id": "a1", "distance": 3, "similarity": 0.9531, "payload": {"price": 30}},
                        {"id": "a2", "distance": 8, "similarity": 0.875, "payload": {}},
                    ],
                    "hasher": "pydocs@1",
                },
                {
                    "results": [
                        [{"id": "a2", "distance": 5, "similarity": 0.9219, "payload": {}}],
                        [{"id": "a1", "distance": 5, "similarity": 0.9219, "payload": {"price": 30}}],
                    ],
                    "hasher": "pydocs@1",
                },
            ]
        }
    )
    results: list[MatchReply] | list[list[MatchReply]] = Field(
        description="a list for `query`; for `queries` a list of lists, in their order"
    )
    hasher: str | None = Field(
        examples=["pydocs@1"], description="by which all codes are that were compared; null where items bring their own"
    )
