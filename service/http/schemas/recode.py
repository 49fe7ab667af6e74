"""Re-codings as they are asked for and as they are."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.http.schemas.fields import Strict
from service.store.schema import Stage

Switch = Literal["automatic", "manual"]


class RecodeRequest(Strict):
    """The hasher that is to code a collection."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"hasher": "pydocs@2"}, {"hasher": "pydocs", "switch": "manual"}]}
    )
    hasher: str = Field(description="`name@version`, or `name` for its newest version")
    switch: Switch = Field(
        "automatic",
        description="search by the new codes as soon as all items have one, or when `.../recode/switch` says so",
    )


class SwitchRequest(Strict):
    """A switch that is not to wait for every item."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"without_refused": True}]})
    without_refused: bool = Field(
        False, description="although the new hasher refused some items, which are then not in the collection"
    )


class RecodingReply(BaseModel):
    """A re-coding: writes go to both codes until it is finished or rolled back."""

    collection: str = Field(examples=["pydocs"], description="that is re-coded")
    old: str = Field(examples=["pydocs@1"], description="the hasher before")
    new: str = Field(examples=["pydocs@2"], description="the hasher after")
    stage: Stage = Field(
        examples=["coding"],
        description="`coding`: items get their new codes; `ready`: it can be switched; `switched`: searches go by the "
        "new codes, and it can be finished or rolled back",
    )
    switch: Switch = Field(examples=["automatic"], description="as it was asked for")
    job: int = Field(examples=[7], description="that codes the items, in /v1/jobs/{job}")
