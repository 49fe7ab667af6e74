"""Hashers as they are listed."""

from pydantic import BaseModel, Field


class HasherReply(BaseModel):
    """A hasher as listed; `detail` says why one is not served."""

    reference: str = Field(examples=["pydocs@1"], description="`name@version`")
    served: bool = Field(description="whether requests may name it")
    modality: str | None = Field(
        None,
        examples=["text"],
        description="what its documents are: text, image or vector; null where its card cannot be read",
    )
    bits: int | None = Field(None, examples=[64], description="of its codes; null where its card cannot be read")
    objective: str | None = Field(
        None, examples=["hashing"], description="what it was trained by; null where its card cannot be read"
    )
    detail: str | None = Field(None, description="why it is not served")


class HashersReply(BaseModel):
    """All hashers, by name and version."""

    models: list[HasherReply] = Field(description="those that are not served among them")
