"""Items by themselves: what `with` may ask for in a URL, and how they are told."""

from collections.abc import Collection
from typing import Annotated

from fastapi import Query

from service.http.replies.carried import carried
from service.items import Part, Shown

CODE_AND_PAYLOAD: list[Part] = ["code", "payload"]
# `with` is Python's own word.
With = Annotated[
    list[Part],
    Query(
        alias="with",
        description="what comes beside the id, by default code and payload; may be repeated; `features` and `document` "
        "are of a collection that keeps them",
    ),
]


def told(item: Shown, parts: Collection[Part]) -> dict[str, object]:
    """An item, by names in JSON."""
    return {"id": item.id, **carried(item, parts)}
