"""Many imports at once take none of the threads in which single items are written."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.http.requests import ndjson
from service.settings import Settings
from tests.serving import NO_CERTIFICATES, running

IMPORTS = 8
SECONDS = 20


def import_one(url: str, number: int) -> httpx.Response:
    line = b'{"id":"i%d","code":"0011223344556677"}\n' % number
    return httpx.post(
        f"{url}/v1/collections/c/index",
        content=line,
        headers={"Content-Type": "application/x-ndjson"},
        timeout=60,
        verify=NO_CERTIFICATES,
    )


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_items_are_written_while_imports_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    index, begun, held = ndjson.index_batch, threading.Event(), threading.Event()

    def held_up(*given: Any, **named: Any) -> Any:
        begun.set()
        assert held.wait(SECONDS)
        return index(*given, **named)

    monkeypatch.setattr(ndjson, "index_batch", held_up)
    settings = Settings(data=tmp_path / "data", hashers=tmp_path / "hashers", threads=threads)
    with running(settings) as client, ThreadPoolExecutor(IMPORTS) as pool:
        client.put("/v1/collections/c", json={"bits": 64}).raise_for_status()
        url = str(client.base_url).rstrip("/")
        imports = [pool.submit(import_one, url, number) for number in range(IMPORTS)]
        assert begun.wait(SECONDS)
        try:
            for number in range(10):
                items = [{"id": f"w{number}", "code": "00" * 8}]
                written = client.post("/v1/collections/c/index", json={"items": items}, timeout=10)
                assert written.json() == {"indexed": 1}
        finally:
            held.set()
        assert [each.result().json() for each in imports] == [{"indexed": 1, "rejected": []}] * IMPORTS
        assert client.get("/v1/collections/c").json()["count"] == IMPORTS + 10
