"""A connection that is kept, by a client that costs next to nothing: it is known which process is at its other end."""

from typing import Any
from urllib.parse import urlsplit

import orjson

from scripts.benchmark.client import END, JSON, Client, HttpError, request
from tests.faults.processes import holder

# What is raised where a service was killed.
CUT_OFF = (OSError, HttpError)


class Connection(Client):
    """One socket, never opened anew, so that the process that accepted it answers all; not for several threads."""

    def __init__(self, url: str) -> None:
        self._server_port = urlsplit(url).port or 80
        super().__init__(self._server_port)

    def ask(self, method: str, path: str, content: Any = None, media_type: str = JSON) -> tuple[int, Any]:
        """Status and JSON of a reply; `content` is JSON, or bytes to be sent as they are."""
        body = b"" if content is None else content if isinstance(content, bytes) else orjson.dumps(content)
        head, _, reply = self.exchange(request(method, path, body, media_type)).partition(END)
        return int(head[9:12]), orjson.loads(reply) if reply else None

    def send_and_leave(self, method: str, path: str, content: Any) -> None:
        """Send a request, and close the connection without waiting for its reply."""
        with self:
            self._socket.sendall(request(method, path, orjson.dumps(content)))

    def holder(self, processes: list[int]) -> int:
        """Which of the processes is at the other end, once there was a reply."""
        client_port: int = self._socket.getsockname()[1]
        return holder(processes, self._server_port, client_port)
