"""What services that were killed left in Milvus: collections that nothing leads to any more.

Each was made for a name, or for a re-coding, that never got it; or its deletion was under way. What holds items and was
not deleted stays whatever leads to it: somebody may have restored it, and not given it its name yet.
"""

from service.milvus import schema
from service.milvus.connection import Connection
from service.milvus.marks import Marks
from service.milvus.names import Names
from service.milvus.table import STRONG
from service.store.errors import UnknownCollectionError


class Leftovers:
    """One per process, for one thread."""

    def __init__(self, connection: Connection, names: Names, marks: Marks) -> None:
        self._connection = connection
        self._names = names
        self._marks = marks
        self._seen: set[str] = set()

    def sweep(self) -> list[str]:
        """Delete what was left at the last look already, and say what; what is new may just be made, or deleted."""
        # In this order: of what is made meanwhile nothing is known here, and what was made has its mark by now.
        made = [
            each for each in self._connection.call("list_collections") if each.startswith((schema.ITEMS, schema.GONE))
        ]
        marked = {schema.items_name(number) for mark in self._marks.all() for number in (mark.old, mark.new)}
        left = {each for each in made if each not in marked and self._is_left(each)}
        swept = sorted(left & self._seen)
        for each in swept:
            self._names.clear(each)
        self._seen = left - set(swept)
        return swept

    def _is_left(self, milvus_name: str) -> bool:
        try:
            described = self._connection.call("describe_collection", milvus_name)
            if milvus_name.startswith(schema.GONE):
                return True
            row = schema.collection_row(described)
            if row is None or described["aliases"]:
                return False
            stored = self._connection.call("get_collection_stats", milvus_name)["row_count"]
            return not stored and not self._names.table(row).count(level=STRONG)
        except UnknownCollectionError:
            return False
