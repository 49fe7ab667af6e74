"""The tests of re-coding over HTTP, over a Milvus: but for snapshots and another index, which it does not offer."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.milvus.server import MilvusServer
from tests.milvus.stores import clear, serving
from tests.recoding.conftest import versions
from tests.recoding.test_recode import (
    test_a_collection_that_is_deleted_meanwhile_is_gone_with_both_halves,
    test_a_job_that_is_cancelled_leaves_nothing,
    test_a_manual_switch_waits_and_a_rollback_loses_no_write,
    test_all_codes_are_the_new_ones_after_it,
    test_collections_with_kept_documents,
    test_documents_are_preferred_where_features_are_kept_too,
    test_items_that_the_new_hasher_refuses,
    test_jobs_that_are_not_there_and_filters,
    test_kept_features_are_coded_anew_as_they_were_kept,
    test_no_answer_mixes_hashers_and_no_write_is_lost_while_it_goes_on,
    test_one_at_a_time_of_a_collection,
    test_texts_and_images_are_coded_anew_from_what_is_kept_of_them,
    test_what_cannot_be_re_coded,
)

__all__ = [
    "test_a_collection_that_is_deleted_meanwhile_is_gone_with_both_halves",
    "test_a_job_that_is_cancelled_leaves_nothing",
    "test_a_manual_switch_waits_and_a_rollback_loses_no_write",
    "test_all_codes_are_the_new_ones_after_it",
    "test_collections_with_kept_documents",
    "test_documents_are_preferred_where_features_are_kept_too",
    "test_items_that_the_new_hasher_refuses",
    "test_jobs_that_are_not_there_and_filters",
    "test_kept_features_are_coded_anew_as_they_were_kept",
    "test_no_answer_mixes_hashers_and_no_write_is_lost_while_it_goes_on",
    "test_one_at_a_time_of_a_collection",
    "test_texts_and_images_are_coded_anew_from_what_is_kept_of_them",
    "test_what_cannot_be_re_coded",
    "versions",
]


@pytest.fixture(scope="module")
def client(milvus: MilvusServer, versions: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service over Milvus."""
    with serving("milvus", tmp_path_factory.mktemp("recoding"), milvus, hashers=versions) as client:
        clear(client)
        yield client


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches so small that much can be done while a collection is coded anew."""
    monkeypatch.setattr("service.milvus.recoding.BATCH_ITEMS", 50)
