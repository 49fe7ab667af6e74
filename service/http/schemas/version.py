"""What serves."""

from pydantic import BaseModel, Field


class VersionReply(BaseModel):
    """The versions of the service and of what it is built on."""

    version: str = Field(examples=["0.1.0"], description="of Hammingway")
    python: str = Field(examples=["3.11.2"], description="that runs it")
    faiss: str = Field(examples=["1.15.1"], description="that searches")
    onnxruntime: str = Field(examples=["1.32.0"], description="that encodes and decodes")
    sqlite: str = Field(examples=["3.40.1"], description="that keeps collections")
