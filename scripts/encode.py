"""Write the packed codes of DATA, (n, bits / 8) uint8, or its logits, (n, bits) float32, as one .npy file."""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from models.codes import pack
from models.hasher import Hasher
from models.versions import find_folder
from scripts.console import run
from scripts.datasets import DATA_DIR_HELP, DATA_HELP, open_dataset
from scripts.datasets.shard import add_shard_option
from scripts.options import positive
from scripts.rows import batches


def main() -> None:
    """Encode in the order of DATA, a batch at a time; the file appears when it is whole."""
    parser = argparse.ArgumentParser(prog="python -m scripts.encode", description=__doc__)
    parser.add_argument("hasher", metavar="HASHER", type=Path, help="hasher folder, or its path without the version")
    parser.add_argument("data", metavar="DATA", help=DATA_HELP)
    parser.add_argument("--out", type=Path, required=True, metavar="CODES.npy")
    parser.add_argument("--logits", action="store_true", help="write logits in place of codes")
    parser.add_argument("--data-dir", type=Path, help=DATA_DIR_HELP)
    parser.add_argument("--threads", type=positive, default=1, help="CPU threads; the codes are the same (default 1)")
    add_shard_option(parser)
    arguments = parser.parse_args()
    out = arguments.shard.name(arguments.out)
    hasher = Hasher.load(find_folder(arguments.hasher))
    data = open_dataset(arguments.data, arguments.data_dir, arguments.shard)
    shape = (data.size, hasher.bits) if arguments.logits else (data.size, hasher.bits // 8)
    dtype = np.dtype(np.float32 if arguments.logits else np.uint8)
    with tempfile.TemporaryDirectory(prefix=".encode.", dir=out.parent) as folder:
        whole = Path(folder) / "whole.npy"
        with whole.open("wb") as file:
            header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for rows, _ in batches(data, hasher.features, arguments.threads):
                logits = hasher.logits(rows)
                file.write((logits if arguments.logits else pack(logits)).tobytes())
        whole.replace(out)
    print(f"wrote {out}: {shape} {dtype} by {hasher.reference}")


if __name__ == "__main__":
    run(main)
