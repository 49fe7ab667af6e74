"""Replies of NDJSON: line by line, however they are cut into chunks, and errors where they end too early."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import httpx
import pytest

from service.client import Duplicate, Group, ServiceError
from service.client.calls import duplicates
from service.client.streaming import Lines
from tests.service.client.misbehaving import answer, misbehaving
from tests.service.client.test_retries import BUSY, QUICK

# Its id has what some take for the ends of lines.
GROUPS = [Group(number, [Duplicate("two\u2028lines\x85in\u2029one", None, 0)]) for number in range(1, 51)]
BODY = "".join(json.dumps(asdict(group), ensure_ascii=False) + "\n" for group in GROUPS)


@pytest.mark.parametrize("end", ["\n", ""])
def test_lines_are_read_as_they_come_after_a_service_that_was_busy(make: Callable[..., Any], end: str) -> None:
    body = BODY.rstrip("\n") + end
    with misbehaving([BUSY, f"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}"]) as server:
        assert list(make(server.url, retries=QUICK).duplicates("c", 3)) == GROUPS
    assert server.requests[1].startswith("POST /v1/collections/c/duplicates ")


def test_a_reply_that_breaks_off_is_an_error_after_what_came(make: Callable[..., Any]) -> None:
    length = len(BODY.encode())
    with misbehaving([f"HTTP/1.1 200 OK\r\nContent-Length: {length + 1}\r\n\r\n{BODY}"]) as server:
        groups = make(server.url, retries=QUICK).duplicates("c", 3)
        assert [next(groups) for _ in GROUPS] == GROUPS
        with pytest.raises(ServiceError, match=r"^the answer of .*/v1/collections/c/duplicates broke off: "):
            next(groups)


def test_an_error_is_told_before_anything_is_given(make: Callable[..., Any]) -> None:
    reply = answer(422, '{"detail": "max_distance: expected less"}')
    with misbehaving([reply]) as server, pytest.raises(ServiceError, match="max_distance: expected less"):
        next(make(server.url, retries=QUICK).duplicates("c", 3))


def test_a_line_that_is_not_the_services_is_told(make: Callable[..., Any]) -> None:
    with misbehaving([answer(200, '{"group": 1, "items": []}\n[]\n')]) as server:
        groups = make(server.url, retries=QUICK).duplicates("c", 3)
        assert next(groups) == Group(1, [])
        with pytest.raises(ServiceError, match="answered 200, not as Hammingway does"):
            next(groups)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 100, 10_000])
def test_chunks_may_end_anywhere(length: int) -> None:
    lines = Lines(duplicates("c", 3, None), httpx.Response(200, request=httpx.Request("POST", "http://a")))
    content = BODY.encode()
    found = [each for start in range(0, len(content), length) for each in lines.feed(content[start : start + length])]
    assert [*found, *lines.finish()] == GROUPS


@pytest.mark.timeout(60)
def test_a_long_line_takes_no_more_time_for_each_of_its_chunks() -> None:
    # Whoever looks at all of it again with each chunk looks at a terabyte.
    long = Group(1, [Duplicate("x" * 2**24, None, 0)])
    content = json.dumps(asdict(long)).encode() + b"\n"
    lines = Lines(duplicates("c", 3, None), httpx.Response(200, request=httpx.Request("POST", "http://a")))
    found = [each for start in range(0, len(content), 128) for each in lines.feed(content[start : start + 128])]
    assert found == [long] and not list(lines.finish())
