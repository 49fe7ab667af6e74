"""Whether the process lives and is ready."""

from pydantic import BaseModel, Field


class StatusReply(BaseModel):
    """Live, or ready."""

    status: str = Field(examples=["ready"], description="`live` or `ready`")
