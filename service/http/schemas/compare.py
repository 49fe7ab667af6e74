"""Two documents, codes or items side by side."""

from pydantic import BaseModel, ConfigDict, Field

from service.http.schemas.documents import Query
from service.http.schemas.fields import Strict


class CompareRequest(Strict):
    """Two of what a collection may be searched by."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"a": {"text": "sort a list"}, "b": {"text": "order the items"}},
                {"a": {"id": "a1"}, "b": {"id": "a2"}},
            ]
        }
    )
    a: Query = Field(description="a document, a code or the id of an item")
    b: Query = Field(description="likewise; it need not be of the same kind")


class SideReply(BaseModel):
    """One of the two."""

    code: str = Field(examples=["09af1c5522e08b71"], description="as hex")
    magnitudes: list[float] | None = Field(
        None,
        examples=[[0.75]],
        description="|logit| of each of `differing`: how far the encoder was from giving the other bit. "
        "Only of documents, and of items whose features are kept",
    )


class CompareReply(BaseModel):
    """How far apart they are, and in which bits."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "distance": 1,
                    "similarity": 0.9844,
                    "bits": 64,
                    "differing": [17],
                    "a": {"code": "09af1c5522e08b71", "magnitudes": [0.75]},
                    "b": {"code": "09af1e5522e08b71", "magnitudes": [0.25]},
                    "hasher": "pydocs@1",
                },
                {
                    "distance": 1,
                    "similarity": 0.9844,
                    "bits": 64,
                    "differing": [0],
                    "a": {"code": "09af1c5522e08b71"},
                    "b": {"code": "08af1c5522e08b71"},
                    "hasher": "pydocs@1",
                },
            ]
        }
    )
    distance: int = Field(examples=[1], description="Hamming distance: how many bits differ")
    similarity: float = Field(examples=[0.9844], description="1 - distance / bits")
    bits: int = Field(examples=[64], description="of a code")
    differing: list[int] = Field(
        examples=[[17]], description="the bits that differ, ascending, from 0: bit j is bit j % 8 of byte j // 8"
    )
    a: SideReply
    b: SideReply
    hasher: str | None = Field(
        examples=["pydocs@1"], description="by which both are coded; null where items bring their own codes"
    )
