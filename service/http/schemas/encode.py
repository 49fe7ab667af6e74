"""Documents to codes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.http.schemas.documents import Document
from service.http.schemas.fields import Strict


class EncodeRequest(Strict):
    """Documents to be coded by a hasher."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"hasher": "pydocs", "inputs": [{"text": "sort a list"}], "format": "hex"}]}
    )
    hasher: str = Field(description="`name@version`, or `name` for its newest version")
    inputs: list[Document] = Field(description="documents of the hasher's modality")
    format: Literal["hex", "base64", "bits"] = Field(
        "hex", description="of the codes: byte i is hex digits 2i and 2i + 1; bits are text of 0 and 1, bit 0 first"
    )
    logits: bool = Field(False, description="give the encoder's float32 output, too")


class EncodeReply(BaseModel):
    """Codes in the order of the inputs."""

    hasher: str = Field(examples=["pydocs@1"])
    bits: int = Field(examples=[64])
    codes: list[str] = Field(examples=[["09af1c5522e08b71"]])
    logits: list[list[float]] | None = None
