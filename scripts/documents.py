"""Documents as the service takes them: what a JSON request says in place of pixels and numbers."""

import base64
import io

import numpy as np
from PIL import Image

from models.features import Document


def in_json(document: Document) -> object:
    """A text as it is, a vector as a list, an image (a file's bytes or uint8 pixels) as base64."""
    if isinstance(document, np.ndarray) and document.dtype == np.uint8:
        # PNG keeps every pixel.
        png = io.BytesIO()
        Image.fromarray(document).save(png, "PNG")
        document = png.getvalue()
    if isinstance(document, bytes):
        return base64.b64encode(document).decode()
    return document.tolist() if isinstance(document, np.ndarray) else document
