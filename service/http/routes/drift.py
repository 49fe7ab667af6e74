"""Drift: whether what comes in is still what the hasher was trained on."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from service.http.access import READ
from service.http.replies.reply import reply
from service.http.schemas.drift import DriftReply
from service.http.state import ServiceState
from service.numbers import WHOLE

router = APIRouter(prefix="/v1/collections/{collection}", tags=["collections"])
MOST_ITEMS = 100_000
Items = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="how many of the latest items to look at"), WHOLE]


@router.get("/drift", dependencies=READ, response_model=DriftReply, summary="Drift")
async def drift(collection: str, state: ServiceState, items: Items = 1000) -> Response:
    """Whether the latest items differ, by more than chance, from items that were held out in training.

    Their bits: how often each is set. Where features are kept, their reconstruction errors, too. One verdict in a
    thousand is a false alarm, or two where features are kept. The latest are those written last: after an import that
    was sorted they may all be of one kind, which is told as drift.
    """

    def work() -> Response:
        hasher, count, found = state.analyses.drift(collection, items)
        return reply({"hasher": hasher, "items": count, **asdict(found)})

    return await state.analysts.run(work)
