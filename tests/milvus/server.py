"""The server that the tests of this folder run against."""

from scripts.milvus.server import MilvusError, MilvusServer

__all__ = ["MilvusError", "MilvusServer"]
