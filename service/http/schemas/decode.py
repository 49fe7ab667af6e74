"""Codes to what the decoder remembers."""

from pydantic import BaseModel, ConfigDict, Field

from service.http.replies.code_formats import Format
from service.http.schemas.fields import Strict
from service.http.schemas.search import MatchReply


class DecodeRequest(Strict):
    """Codes of a hasher; for a hasher of texts, also where to look for the nearest of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"hasher": "digits", "codes": ["09af1c5522e08b71"]},
                {"hasher": "pydocs@1", "codes": ["09af1c5522e08b71"], "collection": "pydocs", "limit": 3},
            ]
        }
    )
    hasher: str = Field(description="`name@version`, or `name` for its newest version")
    codes: list[str] = Field(description="all of them are decoded, or none where one cannot be used")
    format: Format = Field(
        "hex", description="of the codes: byte i is hex digits 2i and 2i + 1; bits are text of 0 and 1, bit 0 first"
    )
    collection: str | None = Field(
        None, description="for a hasher of texts: the collection, coded by it, whose nearest items are given"
    )
    limit: int | None = Field(None, ge=1, description="with `collection`: how many are given of each code; default 10")


class Decoded(BaseModel):
    """What the decoder remembers of one code: one of these, by the hasher's modality."""

    vector: list[float] | None = Field(None, description="of a hasher of vectors: its features, float32")
    image: str | None = Field(None, description="of a hasher of images: a PNG of the size it sees, as base64")
    nearest: list[MatchReply] | None = Field(
        None, description="of a hasher of texts: the items of the collection nearest to the code, by (distance, id)"
    )


class DecodeReply(BaseModel):
    """Documents in the order of the codes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"hasher": "digits@1", "documents": [{"image": "R0lGODdhAQABAAAAACwAAAAAAQABAAACAkQBADs="}]},
                {
                    "hasher": "pydocs@1",
                    "documents": [
                        {"nearest": [{"id": "a1", "distance": 3, "similarity": 0.9531, "payload": {"price": 30}}]}
                    ],
                },
            ]
        }
    )
    hasher: str = Field(examples=["digits@1"], description="that decoded, with its version")
    documents: list[Decoded] = Field(examples=[[{"vector": [0.5, -1.25]}]], description="one for each code, in order")
