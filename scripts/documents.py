"""Documents as the service takes them: what a JSON request says in place of pixels and numbers."""

import base64
import io

import numpy as np
from PIL import Image

from models.features import Document


def in_json(document: Document) -> object:
    """A text as it is, a vector as a list, an image (a file's bytes or uint8 pixels) as base64."""
    document = as_file(document)
    if isinstance(document, bytes):
        return base64.b64encode(document).decode()
    return document.tolist() if isinstance(document, np.ndarray) else document


def as_file(document: Document) -> Document:
    """Pixels (h, w) or (h, w, 3) uint8 as the bytes of a PNG, which keeps every one; all else as it is."""
    if not isinstance(document, np.ndarray) or document.dtype != np.uint8:
        return document
    png = io.BytesIO()
    Image.fromarray(document).save(png, "PNG")
    return png.getvalue()
