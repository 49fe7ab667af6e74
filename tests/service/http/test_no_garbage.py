"""A request leaves nothing behind that only Python's search for garbage would find."""

import gc
import http.client
import time

import httpx
import pytest


@pytest.mark.parametrize("path", ["/livez", "/v1/collections/own", "/v1/collections/own/items/none", "/nowhere"])
def test_what_a_request_holds_is_gone_with_its_connection(client: httpx.Client, path: str) -> None:
    client.put("/v1/collections/own", json={"bits": 8}).raise_for_status()

    def ask() -> None:
        connection = http.client.HTTPConnection(str(client.base_url.host), client.base_url.port or 80, timeout=30)
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()

    for _ in range(5):
        ask()
    time.sleep(0.3)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(20):
            ask()
        time.sleep(0.5)
        gc.collect()
        left = [each for each in gc.garbage if type(each).__name__ in ("Cycle", "Connection", "Sending")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
