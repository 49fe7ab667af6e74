"""Every setting of the service: `--name` on the command line, `HAMMINGWAY_NAME` in the environment."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.numbers import PLAIN, WHOLE

PREFIX = "HAMMINGWAY_"
DATABASE = "hammingway.sqlite"
# Pillow itself refuses more.
MOST_PIXELS = 178_956_970
Whole = Annotated[int, WHOLE]
Number = Annotated[float, PLAIN]
Positive = Annotated[Whole, Field(ge=1)]


class Settings(BaseSettings):
    """Read once, when the service starts; the command line wins over the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, validate_default=True)

    hashers: Path = Field(Path("var/hashers"), description="directory of hasher folders")
    data: Path = Field(Path("var/data"), description="directory of the database; made where it is missing")
    store: str = Field(
        "sqlite",
        pattern=r"^(sqlite|milvus(\+tls)?://[^/@\s]+)$",
        description="where collections are kept: sqlite, in `data`, or milvus://HOST:PORT, or milvus+tls://HOST:PORT",
    )
    store_token: str | None = Field(None, description="of Milvus: USER:PASSWORD, or an API key", repr=False)
    store_database: str | None = Field(None, description="of Milvus: the database; default: its default one")
    store_certificate: Path | None = Field(
        None, description="of Milvus, with milvus+tls: file of the certificate that its own is signed by"
    )
    store_seconds: Number = Field(
        10.0, gt=0, allow_inf_nan=False, description="of Milvus: longest that it may take to answer"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: Whole = Field(8000, ge=0, le=65535, description="port to listen on")
    workers: Positive = Field(1, description="processes that serve the same data")
    threads: Positive = Field(
        os.cpu_count() or 1, description="searches and encodings at once, and as many writes, in a process"
    )
    queue: Positive = Field(1000, description="requests that may wait in a process; more are answered 429")
    max_body_bytes: Positive = Field(64 * 2**20, description="largest JSON body")
    max_values: Positive = Field(
        2**17, description="most values in one item, query or input, and in all the rest of a JSON body"
    )
    max_held_bytes: Positive = Field(
        512 * 2**20, description="most of all bodies, and of what they become, in a process; more are answered 429"
    )
    max_unsent_bytes: Positive = Field(
        256 * 2**20, description="most of all replies above 64 KiB that are not sent yet, in a process; more: 429"
    )
    max_send_seconds: Number = Field(
        30.0, gt=0, allow_inf_nan=False, description="longest that a client may take for a MiB of a reply"
    )
    max_line_bytes: Positive = Field(16 * 2**20, description="longest line of an NDJSON body")
    max_inflation: Positive = Field(
        200, description="what a byte of a compressed NDJSON body may become, beyond the size of a JSON body"
    )
    max_items: Positive = Field(10_000, description="most items, ids or inputs in one JSON request")
    max_queries: Positive = Field(1000, description="most queries in one search request")
    max_limit: Positive = Field(10_000, description="largest limit of a search")
    max_matches: Positive = Field(
        100_000, description="most matches in one reply: queries times limit; candidates may be ten times as many"
    )
    max_rejected: Positive = Field(10_000, description="bad lines after which an NDJSON import stops")
    max_collections: Positive = Field(1000, description="most collections")
    max_characters: Positive = Field(100_000, description="most characters of a text")
    max_pixels: Whole = Field(
        50_000_000, ge=1, le=MOST_PIXELS, description="most pixels of an image, which is not decoded if it has more"
    )
    max_request_pixels: Positive = Field(
        1_000_000_000, description="most pixels of all images in one request, or in one part of an NDJSON body"
    )
    max_request_characters: Positive = Field(
        10_000_000, description="most characters of all texts in one request, or in one part of an NDJSON body"
    )
    max_hasher_bytes: Positive = Field(2**31, description="most bytes in a hasher's folder, which is read into memory")
    max_seconds: Number = Field(
        60.0, gt=0, allow_inf_nan=False, description="longest that a request may take; snapshots and NDJSON may longer"
    )
    keys: str | None = Field(None, description="API keys: a list ROLE:SHA256,.. or a file of them", repr=False)
    allow_open: bool = Field(False, description="without keys: listen beyond this machine, by any name")
    log_format: Literal["text", "json"] = Field("text", description="text, or json: an object a line")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error")
    traces_endpoint: str | None = Field(
        None, pattern="^https?://[^/]", description="URL that OpenTelemetry traces go to (OTLP over HTTP)"
    )

    @property
    def database(self) -> Path:
        """The one file (with its WAL beside it) that holds everything."""
        return self.data / DATABASE

    @property
    def embedded(self) -> bool:
        """Whether collections are kept in the data folder."""
        return self.store == "sqlite"

    @property
    def snapshots(self) -> Path:
        """Where snapshots are written."""
        return self.data / "snapshots"

    def environment(self) -> dict[str, str]:
        """The same settings as environment variables, for worker processes to read."""
        given = self.model_dump(exclude_none=True)
        return {f"{PREFIX}{name.upper()}": str(value) for name, value in given.items()}
