"""Documents to codes."""

from pydantic import BaseModel, ConfigDict, Field

from service.http.replies.code_formats import Format
from service.http.schemas.documents import Document
from service.http.schemas.fields import Strict


class EncodeRequest(Strict):
    """Documents to be coded by a hasher."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"hasher": "pydocs", "inputs": [{"text": "sort a list"}], "format": "hex"},
                {
                    "hasher": "vectors",
                    "inputs": [{"vector": [0.5, -1.25, 0.0, 0.75, -0.5, 1.0, 0.25, -2.0, 0.0, 1.5, -0.75, 0.125]}],
                    "format": "base64",
                    "logits": True,
                },
            ]
        }
    )
    hasher: str = Field(description="`name@version`, or `name` for its newest version")
    inputs: list[Document] = Field(description="documents of the hasher's modality")
    format: Format = Field(
        "hex", description="of the codes: byte i is hex digits 2i and 2i + 1; bits are text of 0 and 1, bit 0 first"
    )
    logits: bool = Field(False, description="give the encoder's float32 output, too")


class EncodeReply(BaseModel):
    """Codes in the order of the inputs."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"hasher": "pydocs@1", "bits": 64, "codes": ["09af1c5522e08b71"]},
                {
                    "hasher": "vectors@1",
                    "bits": 8,
                    "codes": ["5Q=="],
                    "logits": [[1.5, -0.25, 0.75, -2.0, -0.5, 1.25, 0.5, 2.0]],
                },
            ]
        }
    )
    hasher: str = Field(examples=["pydocs@1"], description="that coded, with its version")
    bits: int = Field(examples=[64], description="of a code")
    codes: list[str] = Field(examples=[["09af1c5522e08b71"]], description="in the format that was asked for")
    logits: list[list[float]] | None = Field(
        None, examples=[[[1.5, -0.25]]], description="of each input, `bits` numbers: a bit is set where its is above 0"
    )
