"""Followers of the store: codes in memory, searched by FAISS."""
