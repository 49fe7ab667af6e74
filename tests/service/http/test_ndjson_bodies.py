"""NDJSON of any bytes in any pieces: what is indexed and what is rejected is what a plain parser says."""

from codecs import BOM_UTF8
from itertools import pairwise
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st

from service.settings import Settings

LONGEST = 120
Line = tuple[bytes, dict[str, Any] | None]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("ndjson")
    return Settings(hashers=folder / "none", data=folder / "data", max_line_bytes=LONGEST, max_collections=10_000)


IDS = st.sampled_from(["a", "b", "ö", "a/b", '"', "id with blanks"])
CODES = st.binary(min_size=2, max_size=2).map(bytes.hex)
PAYLOADS = st.dictionaries(
    st.sampled_from("xyz"), st.one_of(st.none(), st.integers(-9, 9), st.text(max_size=5)), max_size=2
)
GOOD = st.fixed_dictionaries({"id": IDS, "code": CODES}, optional={"payload": PAYLOADS})
BLANKS = st.text(" \t\r", max_size=3).map(str.encode)
BAD = st.sampled_from(
    [
        b"{",
        b"[]",
        b"null",
        b"0",
        b'"a"',
        b"{}",
        b"NaN",
        b'{"id": "a"}',
        b'{"code": "0000"}',
        b'{"id": "a", "code": "00"}',
        b'{"id": "a", "code": "zzzz"}',
        b'{"id": "", "code": "0000"}',
        b'{"id": ".", "code": "0000"}',
        b'{"id": 5, "code": "0000"}',
        b'{"id": "a", "code": "0000", "more": 1}',
        b'{"id": "a", "code": "0000", "payload": []}',
        b'{"id": "a", "code": "0000", "payload": {"x": NaN}}',
        b'{"id": "a", "code": "0000"} {"id": "b", "code": "0000"}',
        b'{"id": "\xff", "code": "0000"}',
        b'{"id": "\\ud800", "code": "0000"}',
        b'{"id": "a", "code": "0000", "text": "both"}',
        b'\xef\xbb\xbf\xef\xbb\xbf{"id": "a", "code": "0000"}',
        b'{"id": "a", \xef\xbb\xbf"code": "0000"}',
        b"\0",
    ]
)


@st.composite
def lines(draw: st.DrawFn) -> Line:
    """A line, without its end, and the item that it is, if it is one."""
    kind = draw(st.sampled_from(["good", "good", "bad", "blank", "bytes", "long"]))
    if kind == "blank":
        return draw(BLANKS), None
    if kind == "bad":
        return draw(BAD), None
    if kind == "bytes":
        return draw(st.binary(max_size=LONGEST + 5)).replace(b"\n", b"\r"), None
    item = draw(GOOD)
    text = draw(st.sampled_from([b"", b"", BOM_UTF8])) + draw(BLANKS) + orjson.dumps(item) + draw(BLANKS)
    if kind == "long":
        text = text.ljust(draw(st.integers(LONGEST - 1, LONGEST + 2)))
    return (text, item) if len(text.removesuffix(b"\r")) <= LONGEST else (text, None)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[list[Line], list[bytes]]:
    """The lines of a body, and the body in pieces."""
    made = draw(st.lists(lines(), max_size=12))
    body = b"\n".join(text for text, _ in made) + draw(st.sampled_from([b"", b"\n", b"\r\n"]))
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=8)))
    return made, [body[start:end] for start, end in pairwise([0, *cuts, len(body)]) if end > start]


def expected(made: list[Line]) -> tuple[list[dict[str, Any]], list[int]]:
    """The items in order, and the numbers of the lines that are none and not blank."""
    good = [item for _, item in made if item is not None]
    bad = [
        number for number, (text, item) in enumerate(made, 1) if item is None and (text.strip() or len(text) > LONGEST)
    ]
    return good, bad


@of_hypothesis(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=bodies())
def test_what_is_indexed_and_what_is_rejected(client: httpx.Client, body: tuple[list[Line], list[bytes]]) -> None:
    made, pieces = body
    good, bad = expected(made)
    client.delete("/v1/collections/own")
    client.put("/v1/collections/own", json={"bits": 16}).raise_for_status()
    headers = {"Content-Type": "application/x-ndjson"}
    reply = client.post("/v1/collections/own/index", content=iter(pieces), headers=headers)
    told = reply.json()
    if good or not bad:
        assert reply.status_code == 200, told
        assert told["indexed"] == len(good)
        assert [each["line"] for each in told["rejected"]] == bad
        assert all("expected" in each["detail"] and 400 <= each["status"] < 500 for each in told["rejected"])
    else:
        assert 400 <= reply.status_code < 500
        assert reply.headers["content-type"] == "application/problem+json"
        assert [each["where"] for each in told["errors"]] == [f"line {number}" for number in bad]
    kept = {item["id"]: item for item in client.get("/v1/collections/own/items").json()["items"]}
    assert kept == {item["id"]: {"payload": {}, **item} for item in good}


def test_the_parser_beside_knows_a_case_worked_by_hand() -> None:
    item = {"id": "a", "code": "00ff"}
    made: list[Line] = [(b" ", None), (b"{", None), (b"", None), (b"x", item), (b" " * (LONGEST + 1), None)]
    assert expected(made) == ([item], [2, 5])


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b""])
def test_the_end_of_a_line_does_not_count_for_its_length(client: httpx.Client, end: bytes) -> None:
    text = b'{"id": "a", "code": "00ff"}'.ljust(LONGEST)
    client.put("/v1/collections/ends", json={"bits": 16}).raise_for_status()
    headers = {"Content-Type": "application/x-ndjson"}
    for lines, status in ((text, 200), (text + b" ", 413)):
        for cut in range(LONGEST - 1, len(lines + end)):
            pieces = [lines[:cut], (lines + end)[cut:]]
            content = iter([piece for piece in pieces if piece])
            reply = client.post("/v1/collections/ends/index", content=content, headers=headers)
            assert reply.status_code == status, (end, cut, reply.text)
