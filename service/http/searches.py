"""Searches from their bodies to their replies; those that wait at one time and ask for the same are made together.

A search whose queries take long to encode gives way: they are encoded in threads that are for documents alone, and
then the search is made with the others. So does one that has to read many items first, by a filter that is new: they
are read in slices, by turns of all clients, in a thread that is for that alone.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from fastapi import Request
from fastapi.responses import Response

from models.errors import InvalidInputError
from service.coding.encoding import Going
from service.collections.collections import Answer, Collections
from service.errors import FaultsError, TakesLongError, let_go
from service.filters import parse_filter
from service.http.replies.matches import matches_told, require_bounded
from service.http.replies.presence import while_there
from service.http.replies.reply import reply
from service.http.requests import multipart
from service.http.requests.body import Body, parse, validate
from service.http.schemas.search import SearchRequest
from service.items import Match, Query, Wanted
from service.search import rescoring
from service.settings import Settings
from service.store.errors import StoreBusyError
from service.threads.combining import Combining
from service.threads.fair_pool import FairPool
from service.threads.lane import Lane
from service.threads.pool import Pool

ATTEMPTS = 20
DEFAULT_LIMIT = 10
# What is found at one time for searches that are made together: each of them can hold as much, and waits for all.
MOST_FOUND_TOGETHER = 100_000
# So many of the nearest are looked at for any query: what it takes to encode it counts, too.
LEAST_FOUND = 100
# What a search may encode in its own thread: 5 ms of texts, each of which counts as so many characters more, or as much
# of vectors.
MOST_CHARACTERS_AT_ONCE, SHORTEST_TEXT = 4000, 20
MOST_NUMBERS_AT_ONCE = 50_000
# Of replies that are ready at one time, and not told yet.
MOST_UNTOLD_BYTES = 2**20
# Looked at, for each match that there may be: what is looked at is held while it is ranked, and is not told.
CANDIDATES_A_MATCH = 10


@dataclass(frozen=True)
class Asked:
    """A search as it came: a collection's name, and a body that is not parsed yet, multipart where it has a divider."""

    collection: str
    body: Body
    divider: bytes | None = None
    # The same, understood, with its queries encoded.
    encoded: "_Search | None" = None


@dataclass(frozen=True)
class _Search:
    """A search that was understood, by its place among all; `single` where one query was asked, not a list."""

    place: int
    collection: str
    queries: list[Query]
    single: bool
    wanted: Wanted

    @property
    def size(self) -> int:
        """How many items it may find."""
        return len(self.queries) * max(LEAST_FOUND, rescoring.most(self.wanted))


class EncodesLongError(Exception):
    """A search whose queries take long to encode; `search` is what was understood of it."""

    def __init__(self, search: _Search) -> None:
        super().__init__("expected a search whose queries are encoded at once, got one that takes long")
        self.search = search


Told = tuple[int, Response | Exception]
Combined = Combining[Asked, Response]


@dataclass(frozen=True)
class Searches:
    """Searches that are made together, `hurried`, and the lane in which those that take long read what they need.

    `encode` makes the codes of queries that take long, in the threads of `encoders`.
    """

    hurried: Combined
    lane: Lane
    encoders: FairPool
    encode: Callable[[Asked, _Search, Going], _Search]

    async def run(self, asked: Asked, client: Hashable, request: Request | None = None) -> Response:
        """The reply; raises BusyError where too many wait, and what is wrong with the search.

        `client` is whom the search is for: clients take turns. What takes long ends where the request's client left.
        """
        for _ in range(ATTEMPTS):
            try:
                return await self.hurried.run(asked)
            except EncodesLongError as error:
                # Its traceback refers to the search as it came, and in a circle to itself.
                error.__traceback__ = None
                encoding = self.encoders.run(client, partial(self.encode, asked, error.search))
                encoded = await (encoding if request is None else while_there(request, encoding))
                asked = replace(asked, body=asked.body.emptied(), encoded=encoded)
                continue
            except TakesLongError as error:
                error.__traceback__ = None
                step = error.step
            # As often as it takes: what was read may have been crowded out, or much may have been written meanwhile.
            reading = self.lane.run(client, partial(_or_none, step))
            await (reading if request is None else while_there(request, reading))
        raise StoreBusyError("expected the collection to rest for a moment, it changes faster than it can be read")


def _or_none(step: Callable[[], bool]) -> bool | None:
    return step() or None


def combine(
    settings: Settings,
    collections: Collections,
    pool: Pool,
    lane: Lane,
    encoders: FairPool,
    combining: type[Combined] = Combining,
) -> Searches:
    """Searches in the threads of a pool; what takes long is read in the lane, or encoded in threads for that."""

    def encode(asked: Asked, search: _Search, going: Going) -> _Search:
        try:
            return replace(search, queries=collections.make(search.collection, search.queries, going))
        except FaultsError as error:
            raise _placed_in(asked, search, error) from None

    def answer(asked: Sequence[Asked]) -> Iterator[list[Told]]:
        together: dict[tuple[str, Wanted], list[_Search]] = {}
        for place, each in enumerate(asked):
            try:
                search = _understand(settings, each, place)
            except Exception as error:
                let_go(error)
                yield _by_parts(asked, [(place, error)])
                continue
            group = together.setdefault((search.collection, search.wanted), [])
            if group and sum(other.size for other in group) + search.size > MOST_FOUND_TOGETHER:
                for told in _replies(collections, group):
                    yield _by_parts(asked, told)
                group.clear()
            group.append(search)
        for group in together.values():
            for told in _replies(collections, group):
                yield _by_parts(asked, told)

    return Searches(combining(pool, answer), lane, encoders, encode)


def _by_parts(asked: Sequence[Asked], told: list[Told]) -> list[Told]:
    """The same, but that errors of multipart bodies name the parts that came."""
    return [
        (place, multipart.search_placed(each))
        if asked[place].divider is not None and isinstance(each, InvalidInputError)
        else (place, each)
        for place, each in told
    ]


def _placed_in(asked: Asked, search: _Search, error: FaultsError) -> Exception:
    """An error of a search's queries that names the parts as they came."""
    placed = _placed(search, error)
    if asked.divider is not None and isinstance(placed, InvalidInputError):
        return multipart.search_placed(placed)
    return placed


def _understand(settings: Settings, asked: Asked, place: int) -> _Search:
    """What is asked for; raises EncodesLongError where it takes long to encode that, and it was not yet."""
    if asked.encoded is not None:
        return replace(asked.encoded, place=place)
    if asked.divider is None:
        request = parse(SearchRequest, asked.body, queries=settings.max_queries)
    else:
        request = validate(SearchRequest, multipart.search(asked.body, asked.divider))
    queries = [request.query] if request.query is not None else request.queries or []
    wanted = _wanted(request, settings.max_limit, max(1, settings.max_matches // max(1, len(queries))))
    search = _Search(place, asked.collection, [query.query() for query in queries], request.query is not None, wanted)
    if _encodes_long(search.queries):
        raise EncodesLongError(search)
    return search


def _encodes_long(queries: Sequence[Query]) -> bool:
    """Whether queries take more than a few milliseconds to encode: pictures, and many or long texts and vectors."""
    characters = numbers = 0
    for query in queries:
        if query.kind == "image":
            return True
        if query.kind == "text":
            characters += SHORTEST_TEXT + len(str(query.document))
        elif query.kind == "vector":
            numbers += len(query.document)
    return characters > MOST_CHARACTERS_AT_ONCE or numbers > MOST_NUMBERS_AT_ONCE


def _replies(collections: Collections, group: Sequence[_Search]) -> Iterator[list[Told]]:
    """A reply or an error to each of the searches, which ask the same of one collection; large ones one by one."""
    queries = [query for each in group for query in each.queries]
    try:
        answer = collections.search(group[0].collection, queries, group[0].wanted)
    except TakesLongError as error:
        yield [(each.place, error) for each in group]
        return
    except Exception as error:
        if len(group) == 1:
            yield [(group[0].place, _placed(group[0], error))]
            return
    else:
        yield from _told(group, answer)
        return
    # One mistake is not everybody's: each alone.
    for each in group:
        yield from _replies(collections, [each])


def _told(group: Sequence[_Search], answer: Answer) -> Iterator[list[Told]]:
    results = iter(answer.results)
    ready: list[Told] = []
    size = 0
    for each in group:
        made = _attempted(each, answer, list(islice(results, len(each.queries))))
        ready.append((each.place, made))
        size += len(made.body) if isinstance(made, Response) else 0
        if size > MOST_UNTOLD_BYTES:
            # The event loop counts it before the next one is made.
            yield ready
            ready, size = [], 0
    if ready:
        yield ready


def _placed(search: _Search, error: Exception) -> Exception:
    """An error that names the parts of a search as they came: the one `query` is no list."""
    if not search.single or not isinstance(error, FaultsError):
        return error
    return error.placed(lambda where: where.replace("queries/0", "query", 1))


def _attempted(search: _Search, answer: Answer, results: list[list[Match]]) -> Response | Exception:
    """The reply, or what is wrong with it: one that is too large is not everybody's either."""
    try:
        return _reply(search, answer, results)
    except Exception as error:
        # Others are made before it is told.
        let_go(error)
        return error


def _reply(search: _Search, answer: Answer, results: list[list[Match]]) -> Response:
    parts = search.wanted.carried
    require_bounded(results, parts)
    told = [matches_told(matches, answer.bits, parts) for matches in results]
    return reply({"results": told[0] if search.single else told, "hasher": answer.hasher})


def _limit(wanted: SearchRequest, most: int, most_each: int) -> int:
    """`most_each` is what each of so many queries may find, for the reply to stay of a size that can be held."""
    allowed = min(most, most_each)
    if wanted.limit is None:
        return allowed if wanted.max_distance is not None else min(DEFAULT_LIMIT, allowed)
    if wanted.limit > most:
        raise InvalidInputError(f"expected at most {most}, got {wanted.limit}", "limit")
    if wanted.limit > most_each:
        raise InvalidInputError(f"expected at most {most_each} for so many queries, got {wanted.limit}", "limit")
    return wanted.limit


def _candidates(wanted: SearchRequest, most: int, most_each: int) -> int | None:
    """How many are ranked anew; `most_each` as above, and of those that are only looked at so many times more."""
    candidates, allowed = wanted.candidates, most_each * CANDIDATES_A_MATCH
    if candidates is None:
        return None if wanted.rank == "hamming" else min(rescoring.CANDIDATES[wanted.rank], allowed)
    if candidates > most:
        raise InvalidInputError(f"expected at most {most}, got {candidates}", "candidates")
    if wanted.rank == "hamming":
        raise InvalidInputError("expected them with rank asymmetric or rescored, got them with hamming", "candidates")
    if candidates > allowed:
        raise InvalidInputError(f"expected at most {allowed} for so many queries, got {candidates}", "candidates")
    return candidates


def _wanted(request: SearchRequest, most: int, most_each: int) -> Wanted:
    condition = None if request.filter is None else parse_filter(request.filter)
    carried = frozenset(request.carried)
    limit, candidates = _limit(request, most, most_each), _candidates(request, most, most_each)
    return Wanted(
        limit, request.max_distance, condition, request.rank, candidates, request.exact, carried, hurried=True
    )
