"""Logs: as text for people, or one JSON object a line for programs; the same for the service and for uvicorn.

What is logged is never what was sent: no documents, payloads or keys, at any level.
"""

import logging
import re
from contextvars import ContextVar
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from uvicorn.config import LOGGING_CONFIG

from service.keys import PREFIX

Format = Literal["text", "json"]
TEXT = "%(levelname)s:     %(message)s"
ACCESS = "uvicorn.access"
ACCESS_PARTS = ("client", "method", "path", "http_version", "status")
_KEY = re.compile(rf"{PREFIX}[\w-]{{20,}}")
# Set for each request by the middleware, so that what is logged on its way tells which it was.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def configuration(level: str, form: Format) -> dict[str, Any]:
    """For `logging.config.dictConfig`, and for uvicorn, which sets it up in every process."""
    made: dict[str, Any] = deepcopy(LOGGING_CONFIG)
    made["formatters"]["plain"] = {"format": TEXT}
    if form == "json":
        made["formatters"] = {name: {"()": "service.telemetry.logs.JsonFormatter"} for name in made["formatters"]}
    made["handlers"]["own"] = {
        "formatter": "plain",
        "class": "logging.StreamHandler",
        "stream": "ext://sys.stderr",
    }
    made["root"] = {"handlers": ["own"], "level": level.upper()}
    for logger in made["loggers"].values():
        logger["level"] = level.upper()
    if logging.getLevelName(level.upper()) > logging.INFO:
        # To put together what would not be logged took a thirtieth of a search's processor time.
        made["loggers"][ACCESS] |= {"handlers": [], "propagate": False}
    made["filters"] = {"path only": {"()": "service.telemetry.logs.PathOnly"}}
    made["handlers"]["access"]["filters"] = ["path only"]
    # What it tells of pictures that it refuses is in the replies, and anybody could fill the log with it.
    made["loggers"]["PIL"] = {"level": "CRITICAL"}
    # It tells which builds of it were looked for in vain, as if something were missing.
    made["loggers"]["faiss.loader"] = {"level": "ERROR"}
    return made


class PathOnly(logging.Filter):
    """Leaves the query out of an access, as a filter in it is content, and a key that somebody put into the path."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Cut the path; lets every record pass."""
        if isinstance(record.args, tuple) and len(record.args) == len(ACCESS_PARTS):
            client, method, path, *rest = record.args
            only = str(path).partition("?")[0]
            if PREFIX in only:
                only = _KEY.sub(f"{PREFIX}...", only)
            record.args = (client, method, only, *rest)
        return True


class JsonFormatter(logging.Formatter):
    """A record as a JSON object in one line: time (UTC, ISO 8601), level, logger, message, and what else there is."""

    def format(self, record: logging.LogRecord) -> str:
        """Of an access also client, method, path, HTTP version and status; of an exception its traceback."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (number := request_id.get()) is not None:
            told["request_id"] = number
        if record.name == ACCESS and isinstance(record.args, tuple) and len(record.args) == len(ACCESS_PARTS):
            told |= dict(zip(ACCESS_PARTS, record.args, strict=True))
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(told, default=str).decode()
