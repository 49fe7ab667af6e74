"""Followers of the store: codes in memory, searched by FAISS."""

import os

# Read by OpenMP when FAISS is first imported, which only this package does: the callers are the threads, and two
# OpenMP threads a search on a busy machine were measured 8 times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
