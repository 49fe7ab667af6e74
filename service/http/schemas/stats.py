"""A collection in numbers."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.store.schema import IndexKind


class IndexStats(BaseModel):
    """How a collection is searched now."""

    kind: IndexKind = Field(description="as the collection asks for")
    state: Literal["exact", "building", "ready"] = Field(description="exact until an IVF index is ready")
    above: int | None = Field(None, description="of auto: up to how many items it is exact", examples=[1_000_000])
    lists: int | None = Field(None, examples=[1024], description="of IVF, once it is ready")
    probes: int | None = Field(
        None, examples=[16], description="of IVF, once it is ready: lists that a search looks into"
    )
    indexed: int | None = Field(None, description="items in the IVF index; later ones are searched exactly beside it")
    recall: float | None = Field(None, description="share of the 10 nearest that is found", examples=[0.962])
    recall_sample: int | None = Field(None, description="items whose neighbours the recall was measured on")


class Correlation(BaseModel):
    """Pearson correlations, by magnitude, of each two bits."""

    largest: float = Field(
        examples=[0.31], description="of the two bits that are most alike: 1 where one tells all of the other"
    )
    bits: tuple[int, int] = Field(description="the two of the largest", examples=[[3, 41]])
    mean: float = Field(examples=[0.04], description="of all pairs of bits")
    sample: int = Field(description="codes, drawn at random, that it is of", examples=[5721])


class Histogram(BaseModel):
    """How many of a sample are at each distance, from 0 to the number of bits."""

    counts: list[int] = Field(examples=[[0, 2, 31, 98, 67, 2, 0, 0, 0]], description="by distance, from 0 on")
    sample: int = Field(description="how many there are in all", examples=[200])


class Codes(BaseModel):
    """How good codes are to search by; correlation and distances are of samples, and null without two items."""

    share_of_ones: list[float] = Field(
        description="for each bit: how often it is set; of all items", examples=[[0.5, 0.49, 0.51]]
    )
    entropy: list[float] = Field(
        description="for each bit: 1 where it is set half the time", examples=[[1.0, 0.999, 1.0]]
    )
    mean_entropy: float = Field(description="over all bits", examples=[0.996])
    distinct: int = Field(description="how many different codes there are; of all items", examples=[5420])
    correlation: Correlation | None = Field(
        description="how alike bits are; less is better, as each then tells something of its own"
    )
    pairs: Histogram | None = Field(description="distances of pairs drawn at random")
    nearest: Histogram | None = Field(description="distances of items drawn at random to the nearest other item")


class StatsReply(BaseModel):
    """A collection in numbers; memory and index are those of the process that answered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "pydocs",
                    "count": 3481,
                    "bits": 64,
                    "removed": 12,
                    "memory_bytes": 97468,
                    "index": {"kind": "flat", "state": "exact"},
                }
            ]
        }
    )
    name: str = Field(examples=["pydocs"], description="of the collection")
    count: int = Field(examples=[3481], description="items there are")
    bits: int = Field(examples=[64], description="of a code")
    removed: int = Field(description="rows of removed items that are still in memory", examples=[12])
    memory_bytes: int = Field(examples=[97468], description="that the index takes in this process")
    index: IndexStats
    codes: Codes | None = Field(None, description="only where they are asked for; null of an empty collection")
