import gzip
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import httpx
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from service.http.requests.inflating import STEP_BYTES, Inflater

JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}


def _zstd(content: bytes) -> bytes:
    return zstd.compress(content, options={zstd.CompressionParameter.checksum_flag: 1})


COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": _zstd}


@pytest.fixture(scope="module", autouse=True)
def collection(client: httpx.Client) -> None:
    assert client.put("/v1/collections/c", json={"bits": 16}).status_code == 201


def _lines(count: int, prefix: str) -> bytes:
    return b"".join(b'{"id": "%s%d", "code": "%04x"}\n' % (prefix.encode(), number, number) for number in range(count))


def _pieces(body: bytes, length: int) -> Iterator[bytes]:
    return (body[start : start + length] for start in range(0, len(body), length))


def _code(client: httpx.Client, item_id: str) -> str | None:
    reply = client.get(f"/v1/collections/c/items/{item_id}")
    return reply.json()["code"] if reply.is_success else None


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(COMPRESS)), st.randoms(use_true_random=False), st.integers(1, 4), st.integers(1, 70_000))
def test_what_is_inflated_is_what_was_compressed_in_any_members_and_chunks(
    encoding: str, chance: random.Random, members: int, length: int
) -> None:
    parts = [chance.randbytes(chance.randrange(3)) * chance.randrange(200_000) for _ in range(members)]
    body = b"".join(COMPRESS[encoding](part) for part in parts)
    inflater, pieces = Inflater(encoding), []
    for chunk in _pieces(body, length):
        inflater.feed(chunk)
        while inflater.has_more():
            pieces.append(inflater.step())
    inflater.finish()
    assert b"".join(pieces) == b"".join(parts)
    assert all(len(piece) <= STEP_BYTES for piece in pieces)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", "zstd", "identity", "", "identity, zstd"])
def test_a_json_body_says_the_same_when_it_is_encoded(client: httpx.Client, encoding: str) -> None:
    headers = JSON | {"Content-Encoding": encoding}
    compress = COMPRESS.get(encoding.lower().rpartition(" ")[2].removeprefix("x-"), bytes)
    body = json.dumps({"items": [{"id": "a1", "code": "00ff"}, {"id": "a2", "code": "01ff"}]}).encode()
    path = "/v1/collections/c"
    assert client.post(f"{path}/index", content=compress(body), headers=headers).json() == {"indexed": 2}
    search = compress(b'{"query": {"id": "a1"}, "limit": 1, "max_distance": 1}')
    found = client.post(f"{path}/search", content=search, headers=headers).json()["results"]
    assert [(match["id"], match["distance"]) for match in found] == [("a2", 1)]
    assert client.post(f"{path}/delete", content=compress(b'{"ids": ["a1", "a2"]}'), headers=headers).json() == {
        "deleted": 2
    }


@pytest.mark.parametrize("encoding", sorted(COMPRESS))
def test_lines_cross_members_and_chunks_and_bad_ones_are_numbered(client: httpx.Client, encoding: str) -> None:
    lines = _lines(3000, encoding).splitlines(keepends=True)
    lines[1234] = b"{\n"
    whole = b"".join(lines)
    body = b"".join(map(COMPRESS[encoding], (whole[:100], b"", whole[100:70_001], whole[70_001:])))
    if encoding == "zstd":
        # A frame that decoders skip (RFC 8878, 3.1.2).
        body = struct.pack("<II", 0x184D2A50, 5) + b"hello" + body
    reply = client.post(
        "/v1/collections/c/index", content=_pieces(body, 101), headers=NDJSON | {"Content-Encoding": encoding}
    ).json()
    assert reply["indexed"] == 2999
    assert [line["line"] for line in reply["rejected"]] == [1235]
    assert _code(client, f"{encoding}2999") == f"{2999:04x}"


@pytest.mark.parametrize("encoding", sorted(COMPRESS))
def test_json_that_breaks_off_or_is_damaged_says_what_came_and_changes_nothing(
    client: httpx.Client, encoding: str
) -> None:
    whole = COMPRESS[encoding](b'{"items": [{"id": "never", "code": "00ff"}]}')
    damaged = whole[:20] + bytes([whole[20] ^ 0xFF]) + whole[21:]
    cases = {
        whole[:-1]: f"expected {encoding} to its end, got {len(whole) - 1} bytes that break off",
        b"": f"expected {encoding} to its end, got nothing",
        b'{"items": []}': f"expected {encoding}, as Content-Encoding says, got something else within the first 13",
        damaged: f"expected {encoding}, as Content-Encoding says",
        whole + b"more of it": f"expected {encoding}, as Content-Encoding says",
    }
    for body, detail in cases.items():
        reply = client.post("/v1/collections/c/index", content=body, headers=JSON | {"Content-Encoding": encoding})
        assert (reply.status_code, reply.json()["title"]) == (400, "Invalid encoding")
        assert reply.json()["detail"].startswith(detail)
    assert _code(client, "never") is None


@pytest.mark.parametrize("encoding", sorted(COMPRESS))
def test_an_import_that_breaks_off_keeps_and_counts_what_was_written(client: httpx.Client, encoding: str) -> None:
    first, second = (COMPRESS[encoding](_lines(1000, prefix)) for prefix in (f"{encoding}-a", f"{encoding}-b"))
    headers = NDJSON | {"Content-Encoding": encoding}
    reply = client.post("/v1/collections/c/index", content=iter([first, second[: len(second) // 2]]), headers=headers)
    problem = reply.json()
    assert (reply.status_code, problem["title"], problem["indexed"]) == (400, "Invalid encoding", 1000)
    assert problem["detail"] == (
        f"stopped with 1000 items indexed: body: expected {encoding} to its end, "
        f"got {len(first) + len(second) // 2} bytes that break off"
    )
    assert [_code(client, f"{encoding}-{name}") for name in ("a0", "a999", "b0")] == ["0000", "03e7", None]


def test_the_lines_rejected_before_it_broke_off_are_told(client: httpx.Client) -> None:
    body = gzip.compress(_lines(1000, "x") + b"[]\n" + _lines(999, "y"))
    reply = client.post(
        "/v1/collections/c/index", content=body + b"!", headers=NDJSON | {"Content-Encoding": "gzip"}
    ).json()
    assert [fault["where"] for fault in reply["errors"]] == ["body", "line 1001"]


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "gzip,zstd", "gzip;q=1", "é"])
@pytest.mark.parametrize("media", [JSON, NDJSON])
def test_other_encodings_and_several_are_refused(client: httpx.Client, encoding: str, media: dict[str, str]) -> None:
    headers = [*media.items(), ("Content-Encoding", encoding.encode("latin-1"))]
    reply = client.post("/v1/collections/c/index", content=b"{}", headers=headers)
    assert (reply.status_code, reply.headers["Accept-Encoding"]) == (415, "gzip, zstd")
    assert reply.json()["detail"] == f"expected no Content-Encoding, or one of gzip and zstd, got {encoding!r}"


def test_two_headers_are_several_encodings(client: httpx.Client) -> None:
    headers = [*JSON.items(), ("Content-Encoding", "gzip"), ("Content-Encoding", "zstd")]
    reply = client.post("/v1/collections/c/index", content=b"{}", headers=headers)
    assert (reply.status_code, reply.json()["detail"][-12:]) == (415, " 'gzip,zstd'")


def test_a_zstd_frame_that_asks_for_too_large_a_window_is_refused(client: httpx.Client) -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 24})
    wide = compressor.compress(b"{}") + compressor.flush()
    reply = client.post("/v1/collections/c/search", content=wide, headers=JSON | {"Content-Encoding": "zstd"})
    assert (reply.status_code, reply.json()["title"]) == (400, "Invalid encoding")
    assert "too much memory" in reply.json()["detail"]


def test_gzip_with_another_checksum_is_damaged(client: httpx.Client) -> None:
    whole = bytearray(gzip.compress(b'{"query": {"code": "0000"}}'))
    whole[-8:-4] = struct.pack("<I", zlib.crc32(b"something else"))
    reply = client.post("/v1/collections/c/search", content=bytes(whole), headers=JSON | {"Content-Encoding": "gzip"})
    assert (reply.status_code, reply.json()["detail"][-20:]) == (400, "incorrect data check")
