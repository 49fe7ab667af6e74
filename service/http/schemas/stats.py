"""A collection in numbers."""

from typing import Literal

from pydantic import BaseModel, Field


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
