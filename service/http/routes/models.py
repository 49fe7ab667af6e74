"""Hashers, as listed and one by one: the cards that training wrote."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from models.errors import HammingwayError
from service.coding.hashers import Hashers
from service.http.access import READ
from service.http.replies.reply import JSON, reply
from service.http.schemas.hashers import HashersReply
from service.http.state import ServiceState

router = APIRouter(prefix="/v1/models", tags=["hashers"])
LISTED = ("modality", "bits", "objective")
EXAMPLE = {"name": "pydocs", "version": 1, "modality": "text", "bits": 64, "objective": "hashing"}
CARD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Its card: these, and all that training noted beside them",
        "content": {JSON: {"example": EXAMPLE}},
    }
}


@router.get("", dependencies=READ, response_model=HashersReply, summary="List hashers")
async def list_all(state: ServiceState) -> Response:
    """All versions of all hashers; those that were damaged are not served, and say why."""
    return await state.readers.run(
        lambda: reply({"models": [_entry(state.hashers, reference) for reference in state.hashers.references()]})
    )


@router.get(
    "/{reference}", dependencies=READ, response_model=dict[str, Any], responses=CARD, summary="Get a hasher's card"
)
async def get(reference: str, state: ServiceState) -> Response:
    """`name@version`, or `name` for its newest version: how it was trained, on what, and how well it does."""
    return await state.readers.run(lambda: reply(state.hashers.get(reference).card))


def _entry(hashers: Hashers, reference: str) -> dict[str, object]:
    try:
        card = hashers.get(reference).card
    except HammingwayError as error:
        return {"reference": reference, "served": False, "detail": str(error)}
    return {"reference": reference, "served": True, **{key: card[key] for key in LISTED}}
