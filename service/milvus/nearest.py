"""The nearest items by (distance, id), exactly: Milvus gives some of those that are tied for the last place.

So more are asked for than are wanted, until the last of them is farther than the last that is wanted. Where Milvus
gives no more, the tied are read in the order of their ids until there are enough: the more there are, the sooner.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

import numpy as np

from models.errors import InvalidInputError
from service.coding.encoding import Coded
from service.filters import Condition
from service.items import PAYLOAD, Match, Wanted
from service.milvus.filtering import expression, lets_through
from service.milvus.schema import stored_item
from service.milvus.table import Table
from service.search import rescoring
from service.search.ordering import ordered, scored, with_carried, without_itself
from service.store.errors import StoreBusyError
from service.store.schema import CollectionRow
from service.telemetry.stages import Stages, untimed

MOST = 16_384
# As many queries at once as bring no more rows than these.
MOST_ROWS = 65_536
SLACK = 64
FARTHER = 8
ATTEMPTS = 20
Row = dict[str, Any]
# Distance, id, row.
Hit = tuple[int, str, Row]


@dataclass(frozen=True)
class Source:
    """A collection that is to be searched."""

    table: Table
    stages: Stages = untimed

    @property
    def row(self) -> CollectionRow:
        """The collection."""
        return self.table.row

    def rank(self, queries: Sequence[Coded], wanted: Wanted, without: Sequence[str | None]) -> list[list[Match]]:
        """The nearest items of each query, as wanted, but for the id that `without` names at its place."""
        most = rescoring.most(wanted)
        count = most + any(each is not None for each in without)
        if count > MOST:
            raise InvalidInputError(
                f"expected at most {MOST - 1}, as Milvus finds no more at once, got {most}", "limit"
            )
        asked = Asked(self.table, wanted.filter, _fields(wanted), count, wanted.exact or wanted.filter is not None)
        for _ in range(ATTEMPTS):
            with self.stages("index"):
                near = asked.nearest([query.code for query in queries])
            matches = self._matches(queries, wanted, without, near)
            if matches is not None:
                return matches
        raise StoreBusyError("expected these items to rest for a moment, they are written faster than they are read")

    def _matches(
        self, queries: Sequence[Coded], wanted: Wanted, without: Sequence[str | None], near: Sequence[Sequence[Hit]]
    ) -> list[list[Match]] | None:
        """The matches of each query; None where one was written meanwhile, of which the document is to be carried."""
        most = rescoring.most(wanted)
        found = []
        rows: dict[int, Row] = {}
        for hits, itself in zip(near, without, strict=True):
            within = [hit for hit in hits if wanted.max_distance is None or hit[0] <= wanted.max_distance]
            items = {len(rows) + place: (hit[0], stored_item(hit[2])) for place, hit in enumerate(within)}
            rows |= {len(rows) + place: hit[2] for place, hit in enumerate(within)}
            found.append(without_itself(items, itself, most))
        kept = {}
        if "features" in _fields(wanted):
            kept = {number: stored_item(row).features or b"" for number, row in rows.items()}
        scores = scored(self.row.settings, queries, found, wanted, lambda numbers: kept)
        matches = ordered(found, wanted, scores)
        if not wanted.carried - PAYLOAD:
            return matches
        documents = self._documents(matches, rows) if "document" in wanted.carried else {}
        if documents is None:
            return None
        told = kept if "features" in wanted.carried else None
        return with_carried(self.row.settings, matches, found, wanted, told, documents)

    def _documents(self, matches: Sequence[Sequence[Match]], rows: Mapping[int, Row]) -> dict[int, bytes] | None:
        """The documents of the matches, by the numbers of their rows, read a few at a time, as they are long.

        None where one of them is not any more what was found.
        """
        ids = {match.id for each in matches for match in each}
        now = {row["id"]: row for row in self.table.told(sorted(ids))}
        asked = {number: row for number, row in rows.items() if row["id"] in ids}
        if any(now.get(row["id"], {}).get("written") != row["written"] for row in asked.values()):
            return None
        return {number: stored_item(now[row["id"]]).document or b"" for number, row in asked.items()}


def _fields(wanted: Wanted) -> list[str]:
    fields = ["id", "payload"]
    if wanted.rank == "asymmetric" or "code" in wanted.carried:
        fields.append("code")
    if wanted.rank == "rescored" or "features" in wanted.carried:
        fields.append("features")
    if "document" in wanted.carried:
        fields.append("written")
    return fields


@dataclass(frozen=True)
class Asked:
    """The `count` nearest of what a filter lets through; fewer only where there are no more."""

    table: Table
    condition: "Condition | None"
    fields: list[str]
    count: int
    exact: bool

    def nearest(self, codes: Sequence[bytes]) -> list[list[Hit]]:
        """Of each query (bits / 8 bytes), in the order (distance, id)."""
        found: list[list[Hit]] = []
        most = min(MOST, 2 * self.count + SLACK)
        step = max(1, MOST_ROWS // most)
        for start in range(0, len(codes), step):
            some = list(codes[start : start + step])
            for code, hits in zip(some, self._search(some, most, self.exact), strict=True):
                found.append(self._complete(code, hits, most))
        return found

    def _search(self, codes: list[bytes], most: int, exact: bool) -> list[list[Hit]]:
        replies = self.table.search(codes, most, expression(self.condition), self.fields, exact)
        found = [[(round(hit["distance"]), str(hit["id"]), dict(hit["entity"])) for hit in hits] for hits in replies]
        return [sorted(hits, key=lambda hit: hit[:2]) for hits in found]

    def _complete(self, code: bytes, hits: list[Hit], most: int) -> list[Hit]:
        """The nearest of one query, of which so many hits are known, from `most` that were asked for."""
        exact = self.exact or self.table.row.settings.index.kind == "flat"
        while True:
            through = [hit for hit in hits if self._lets_through(hit[2])]
            if not exact and len(through) >= self.count:
                return through[: self.count]
            if not exact:
                # Too few in the lists that were looked into.
                exact = True
            elif len(hits) < most or (len(through) >= self.count and through[self.count - 1][0] < hits[-1][0]):
                return through[: self.count]
            elif most == MOST:
                return self._by_walking(code, through, hits[-1][0])
            else:
                most = min(MOST, FARTHER * most)
            (hits,) = self._search([code], most, exact)

    def _by_walking(self, code: bytes, through: list[Hit], farthest: int) -> list[Hit]:
        """The nearest, where the tie of the last place, or what the filter lets through, is beyond Milvus's bound."""
        nearer = [hit for hit in through if hit[0] < farthest]
        if len(through) >= self.count:
            # Those at exactly this distance that come first by id.
            tied: list[Hit] = []
            for block in self._blocks(code):
                tied += [hit for hit in block if hit[0] == farthest]
                if len(nearer) + len(tied) >= self.count:
                    break
            return (nearer + tied)[: self.count]
        best: list[Hit] = []
        for block in self._blocks(code):
            best = nsmallest(self.count, best + block, key=lambda hit: hit[:2])
        return best

    def _blocks(self, code: bytes) -> Iterator[list[Hit]]:
        fields = self.fields if "code" in self.fields else [*self.fields, "code"]
        query = np.frombuffer(code, np.uint8)
        for block in self.table.by_id(expression(self.condition), fields):
            codes = np.frombuffer(b"".join(stored_item(row).code for row in block), np.uint8).reshape(len(block), -1)
            distances = np.bitwise_count(codes ^ query).sum(axis=1, dtype=np.int64).tolist()
            hits = zip(distances, block, strict=True)
            yield [(distance, row["id"], row) for distance, row in hits if self._lets_through(row)]

    def _lets_through(self, row: Row) -> bool:
        return self.condition is None or lets_through(self.condition, row["payload"])
