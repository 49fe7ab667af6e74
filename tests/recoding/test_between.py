"""Writes between the reading of a batch and its writing: the newest content stays, what is deleted stays deleted."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from service.background.recoding import Recodings
from service.coding.hashers import Hashers
from service.collections.collections import Collections, NewCollection
from service.items import Item
from service.opening import opened
from service.store.jobs import Job
from tests.recoding.calls import codes


def _upsert(collections: Collections, documents: dict[str, list[float]]) -> None:
    collections.upsert("c", [Item(each, "vector", vector) for each, vector in documents.items()])


def _codes(collections: Collections) -> dict[str, str]:
    return {item.id: item.code.hex() for item in collections.page("c", 100, "", None)[1]}


def test_the_newest_content_stays_and_what_is_deleted_stays_deleted(
    versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = {each: [float(place)] * 12 for place, each in enumerate("abcd", 1)}
    plain = Recodings._code
    with opened(tmp_path / "d.sqlite", Hashers(versions)) as service:

        def code(self: Recodings, *arguments: Any) -> Any:
            coded = plain(self, *arguments)
            documents["b"] = [-1.0] * 12
            _upsert(service.collections, {"b": documents["b"]})
            service.collections.delete_items("c", ["c"])
            del documents["c"]
            return coded

        service.collections.create("c", NewCollection(hasher="vectors@1", keep_documents=True))
        _upsert(service.collections, documents)
        job = service.recodings.begin("c", "vectors@2", True)
        monkeypatch.setattr(Recodings, "_code", code)
        told = service.recodings.step(job)
        assert told is not None and told.unfinished
        told = service.recodings.step(job)
        assert told is not None and (told.state, told.done) == ("succeeded", 4)
        assert _codes(service.collections) == codes(versions, "vectors@2", documents)


def test_one_that_is_rolled_back_in_between_leaves_nothing_of_the_batch(
    versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = {"a": [1.0] * 12}
    plain = Recodings._code
    with opened(tmp_path / "d.sqlite", Hashers(versions)) as service:

        def code(self: Recodings, *arguments: Any) -> Any:
            discarding.append(service.recodings.roll_back("c"))
            return plain(self, *arguments)

        discarding: list[Job] = []
        service.collections.create("c", NewCollection(hasher="vectors@1", keep_documents=True))
        _upsert(service.collections, documents)
        job = service.recodings.begin("c", "vectors@2", True)
        monkeypatch.setattr(Recodings, "_code", code)
        told = service.recodings.step(job)
        with closing(sqlite3.connect(tmp_path / "d.sqlite")) as connection:
            left = connection.execute("SELECT count(*) FROM items WHERE collection = ?", (discarding[0].subject,))
            assert left.fetchone() == (0,)
        assert told is not None and (told.state, told.done) == ("cancelled", 0)
        assert _codes(service.collections) == codes(versions, "vectors@1", documents)


def test_a_re_coding_that_begins_while_a_write_is_coded_has_it_coded_again(
    versions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = {"a": [1.0] * 12, "b": [2.0] * 12}
    with opened(tmp_path / "d.sqlite", Hashers(versions)) as service:
        service.collections.create("c", NewCollection(hasher="vectors@1", keep_documents=True))
        upserts = service.collections._upserts
        plain, jobs = upserts._both, []

        def both(*arguments: Any) -> Any:
            coded = plain(*arguments)
            if not jobs:
                jobs.append(service.recodings.begin("c", "vectors@2", True))
            return coded

        monkeypatch.setattr(upserts, "_both", both)
        _upsert(service.collections, documents)
        assert _codes(service.collections) == codes(versions, "vectors@1", documents)
        for _ in range(2):
            told = service.recodings.step(jobs[0])
        assert told is not None and told.state == "succeeded"
        assert _codes(service.collections) == codes(versions, "vectors@2", documents)
