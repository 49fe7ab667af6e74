"""What is tried again, what is not, and after how long."""

import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from models.errors import InvalidInputError
from service.client import Client, Retries, ServiceError
from service.client.retries import seconds_asked
from tests.service.client.misbehaving import RESET, SILENT, answer, misbehaving

QUICK = Retries(attempts=4, connection_attempts=3, first_seconds=0.01, most_seconds=0.02)
COLLECTION = '{"name": "c", "bits": 8, "hasher": null, "count": 0, "index": {"kind": "flat"}, "keep_features": "none"}'
GOOD = answer(200, COLLECTION)
BUSY = answer(429, '{"detail": "busy"}')
STOPPING = answer(503, '{"detail": "stopping"}')


@pytest.mark.parametrize("again", [BUSY, STOPPING, RESET, answer(503, "<html>no upstream</html>")])
def test_a_call_is_tried_again_until_it_is_answered(make: Callable[..., Any], again: str) -> None:
    with misbehaving([again, again, GOOD]) as server:
        assert make(server.url, retries=QUICK).collection("c").bits == 8
    assert [request.splitlines()[0] for request in server.requests] == ["GET /v1/collections/c HTTP/1.1"] * 3


def test_retry_after_is_waited_for(make: Callable[..., Any]) -> None:
    with misbehaving([answer(429, "{}", "Retry-After: 1"), GOOD]) as server:
        make(server.url, retries=QUICK).collection("c")
    assert server.times[1] - server.times[0] >= 1


def test_attempts_end_and_the_last_reply_is_told(make: Callable[..., Any]) -> None:
    with misbehaving([BUSY] * 3 + [STOPPING]) as server, pytest.raises(ServiceError, match=r"^stopping$") as caught:
        make(server.url, retries=QUICK).collection("c")
    assert (caught.value.status, len(server.requests)) == (503, 4)


def test_a_retry_after_that_is_too_long_is_told_at_once(make: Callable[..., Any]) -> None:
    reply = answer(429, '{"detail": "busy"}', "Retry-After: 3600")
    with misbehaving([reply]) as server, pytest.raises(ServiceError, match="busy"):
        make(server.url, retries=QUICK).collection("c")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.delete("c", ids=["a"]),
        lambda client: client.delete_item("c", "a"),
        lambda client: client.delete_collection("c"),
        lambda client: client.snapshot("c"),
    ],
)
def test_what_may_have_been_done_is_not_done_again(make: Callable[..., Any], call: Callable[[Any], Any]) -> None:
    with misbehaving([RESET, RESET]) as server:
        with pytest.raises(ServiceError, match="no answer from "):
            call(make(server.url, retries=QUICK))
        assert len(server.requests) == 1


def test_but_it_is_where_the_service_said_that_it_was_busy(make: Callable[..., Any]) -> None:
    with misbehaving([BUSY, answer(200, '{"deleted": 2}')]) as server:
        assert make(server.url, retries=QUICK).delete("c", ids=["a", "b"]) == 2


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 500, 504, 507])
def test_other_errors_are_told_at_once(make: Callable[..., Any], status: int) -> None:
    reply = answer(status, '{"detail": "expected this, got that", "errors": []}')
    with misbehaving([reply]) as server, pytest.raises(ServiceError, match=r"^expected this, got that$") as caught:
        make(server.url, retries=QUICK).collection("c")
    assert (caught.value.status, len(server.requests)) == (status, 1)


def test_a_service_that_is_slow_is_not_waited_for_longer_than_said_nor_asked_again(make: Callable[..., Any]) -> None:
    with misbehaving([SILENT]) as server:
        with pytest.raises(ServiceError, match=f"no answer from {server.url}: "):
            make(server.url, retries=QUICK, timeout=0.2).collection("c")
        assert len(server.requests) == 1


def test_a_service_that_is_not_there_is_tried_a_few_times_and_is_not_ready(make: Callable[..., Any]) -> None:
    with misbehaving([]) as server:
        pass
    client = make(server.url, retries=QUICK)
    assert not client.ready()
    for call in (lambda: client.collection("c"), lambda: client.snapshot("c")):
        with pytest.raises(ServiceError, match=f"no answer from {server.url}: "):
            call()


@pytest.mark.parametrize("body", ["<html>", "[]", "{}", '{"name": "c", "bits": "many"}', "null", ""])
def test_a_reply_that_is_not_the_services_is_told(make: Callable[..., Any], body: str) -> None:
    with misbehaving([answer(200, body), answer(418, body)]) as server:
        client = make(server.url, retries=QUICK)
        for status in (200, 418):
            with pytest.raises(ServiceError, match=f"answered {status}, not as Hammingway does"):
                client.collection("c")


def test_fields_that_are_newer_are_passed_over(make: Callable[..., Any]) -> None:
    with misbehaving([answer(200, COLLECTION[:-1] + ', "newer": 1}')]) as server:
        assert make(server.url).collection("c").name == "c"


def test_a_key_is_sent_and_never_told(make: Callable[..., Any]) -> None:
    with misbehaving([GOOD]) as server:
        client = make(server.url, key="s3cret")
        client.collection("c")
    assert "authorization: bearer s3cret" in server.requests[0].lower()
    assert "s3cret" not in repr(vars(client))
    for wrong in ("s3cret\r\nX: y", "", "é"):
        with pytest.raises(InvalidInputError, match=r"^expected a key of printable ASCII characters"):
            make(server.url, key=wrong)


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://127.0.0.1", "", "http://127.0.0.1:99999"])
def test_a_url_that_is_none_is_told(make: Callable[..., Any], url: str) -> None:
    with pytest.raises(ServiceError, match=r"^expected a URL like http://127\.0\.0\.1:8000, got"):
        make(url, retries=QUICK).collection("c")


def test_waits_double_up_to_a_bound_and_are_cut_at_random() -> None:
    retries = Retries(attempts=9, first_seconds=1, most_seconds=8)
    assert [retries.after_reply(made, 429, None, 1.0) for made in range(1, 10)] == [1, 2, 4, 8, 8, 8, 8, 8, None]
    assert retries.after_reply(3, 503, None, 0.25) == 1
    assert retries.after_reply(3, 503, 5.0, 0.25) == 6
    assert retries.after_reply(1, 500, None, 0.5) is None
    lost, refused = httpx.ReadError(""), httpx.ConnectError("")
    assert [retries.after_error(made, lost, True, 1.0) for made in range(1, 5)] == [1, 2, 4, None]
    assert [retries.after_error(1, error, False, 1.0) for error in (lost, refused)] == [None, 1]
    assert retries.after_error(1, httpx.ReadTimeout(""), True, 1.0) is None


def test_a_retry_after_is_seconds_or_a_date() -> None:
    given = {
        "7": 7.0,
        " 7 ": 7.0,
        "Thu, 01 Jan 1970 00:02:00 GMT": 20.0,
        "Thu, 01 Jan 1970 00:00:00 GMT": 0.0,
        "soon": None,
        "-1": None,
    }
    assert {text: seconds_asked(text, 100.0) for text in given} == given
    assert seconds_asked(None, 100.0) is None


def test_clients_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    random.seed(7)
    with misbehaving([BUSY] * 8) as server, Client(server.url) as client, pytest.raises(ServiceError, match="busy"):
        client.collection("c")
    assert len(waited) == 7
    assert all(0 <= seconds <= 0.1 * 2**place for place, seconds in enumerate(waited))
    assert len({round(seconds / 2**place, 9) for place, seconds in enumerate(waited)}) == 7
