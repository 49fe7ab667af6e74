"""Pages: all items of a collection, or those that a filter lets through, some at a time."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import WithJsonSchema

from models.errors import InvalidInputError
from service.errors import InvalidJsonError
from service.filters import Condition, parse_filter
from service.http.access import READ, client_of
from service.http.replies.item_parts import CODE_AND_PAYLOAD, With, told
from service.http.replies.presence import while_there
from service.http.replies.reply import reply
from service.http.requests.body import parse_json
from service.http.requests.cursors import read_cursor, write_cursor
from service.http.schemas.items import ItemsReply
from service.http.state import ServiceState
from service.numbers import WHOLE
from service.store.pages import FIRST

router = APIRouter(prefix="/v1/collections/{collection}", tags=["items"])
DEFAULT_LIMIT = 100
# Left out where there is none: `null` in a URL would be text.
TEXT = WithJsonSchema({"type": "string"})
Cursor = Annotated[str | None, Query(description="of the page before; none for the first page"), TEXT]
Limit = Annotated[
    int | None,
    Query(ge=1, description="most items on the page; default 100"),
    WHOLE,
    WithJsonSchema({"type": "integer", "minimum": 1}),
]
Filter = Annotated[
    str | None,
    Query(description="a filter, as in a search, in JSON"),
    WithJsonSchema({"type": "string", "examples": ['{"price": {"lte": 40}}']}),
]


@router.get("/items", dependencies=READ, response_model=ItemsReply, summary="List items")
async def get(
    collection: str,
    request: Request,
    state: ServiceState,
    cursor: Cursor = None,
    limit: Limit = None,
    filter: Filter = None,
    carried: With = CODE_AND_PAYLOAD,
) -> Response:
    """A page of items in the order of their ids, and the `cursor` of the next one, null where there is none.

    An item that is there from the first page to the last is given exactly once, whatever is written meanwhile: an
    upsert keeps its place. With a `filter` a page may hold fewer items than `limit`, even none, before the last:
    no page looks at more than 10,000 items, or `limit` where that is more, nor for much longer than a tenth of a
    second. So may one whose payloads are more than 64 MiB together.
    """

    def work() -> Response:
        most = state.settings.max_limit
        if limit is not None and limit > most:
            raise InvalidInputError(f"expected at most {most}, got {limit}", "limit")
        after = FIRST if cursor is None else read_cursor(collection, cursor)
        wanted = limit or min(DEFAULT_LIMIT, most)
        hasher, items, last = state.collections.page(
            collection, wanted, after, _condition(filter, state.settings.max_values), frozenset(carried)
        )
        following = None if last is None else write_cursor(collection, last)
        return reply({"items": [told(item, carried) for item in items], "cursor": following, "hasher": hasher})

    # What a filter takes to evaluate is shared fairly between clients.
    if filter is None:
        return await state.readers.run(work)
    return await while_there(request, state.lane.run(client_of(request), work))


def _condition(text: str | None, most_values: int) -> "Condition | None":
    if text is None:
        return None
    try:
        return parse_filter(parse_json(text.encode(), most_values))
    except InvalidJsonError as error:
        raise InvalidInputError(str(error), "filter") from None
