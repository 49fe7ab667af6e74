"""Documents as a collection keeps them, to be coded anew by any hasher: one byte for the kind, then the document."""

from typing import get_args

import numpy as np

from models.features import Document
from service.coding.encoding import Given
from service.items import Kind
from service.store.errors import DamagedStoreError

KINDS: dict[bytes, Kind] = {kind[:1].encode(): kind for kind in get_args(Kind)}


def pack(kind: Kind, document: Document) -> bytes:
    """A text as UTF-8, an image as its own bytes, a vector as float32, which is what every hasher makes of it."""
    first = kind[:1].encode()
    if isinstance(document, str):
        return first + document.encode()
    if isinstance(document, bytes):
        return first + document
    return first + np.asarray(document).astype("<f4").tobytes()


def unpack(packed: bytes) -> Given:
    """The kind and the document again; a vector as an array (d,) float32."""
    kind = KINDS.get(packed[:1])
    if kind == "text":
        return kind, packed[1:].decode()
    if kind == "image":
        return kind, packed[1:]
    if kind == "vector":
        return kind, np.frombuffer(packed[1:], "<f4")
    raise DamagedStoreError(f"expected a kept document of a known kind, found {packed[:1]!r}")
