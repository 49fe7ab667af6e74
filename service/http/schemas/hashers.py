"""Hashers as they are listed."""

from pydantic import BaseModel, Field


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
