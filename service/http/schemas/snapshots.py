"""Snapshots that were taken."""

from pydantic import BaseModel, Field


class SnapshotReply(BaseModel):
    """A snapshot that was taken; it lies in `snapshots` in the data folder."""

    snapshot: str = Field(examples=["pydocs-20260102T030405Z-0a1b2c3d.sqlite"], description="the file's name")
    items: int = Field(examples=[3481], description="in it")
    bytes: int = Field(examples=[548864], description="its size")
    sha256: str = Field(
        examples=["2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"],
        description="also beside the file, as sha256sum writes it",
    )
