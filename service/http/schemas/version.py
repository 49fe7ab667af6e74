"""What serves."""

from pydantic import BaseModel, Field


class VersionReply(BaseModel):
    """The versions of the service and of what it is built on."""

    version: str = Field(examples=["0.1.0"])
    python: str = Field(examples=["3.11.2"])
    faiss: str = Field(examples=["1.15.1"])
    onnxruntime: str = Field(examples=["1.32.0"])
    sqlite: str = Field(examples=["3.40.1"])
