"""Near-duplicates as they are asked for and as they are told."""

from pydantic import ConfigDict, Field

from service.http.schemas.fields import Strict


class DuplicatesRequest(Strict):
    """How near duplicates are to be, and from where to go on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"max_distance": 2}, {"max_distance": 2, "after": "a1"}]})
    max_distance: int = Field(ge=0, description="inclusive; at most half of the bits")
    after: str | None = Field(
        None, description="to go on with a reply that was cut off: the first id of the last group that came whole"
    )
