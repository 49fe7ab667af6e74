"""A reply that is streamed, taken whole."""

from typing import Any

import httpx

LONGEST_SECONDS = 3600.0


def exchange_stream(port: int, path: str, content: Any) -> bytes:
    """Post JSON, and return all that comes, however long that takes; raises where it is an error or cut off."""
    reply = httpx.post(f"http://127.0.0.1:{port}{path}", json=content, timeout=LONGEST_SECONDS)
    reply.raise_for_status()
    return reply.content
