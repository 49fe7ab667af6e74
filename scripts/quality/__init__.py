"""The benchmark of jobs: what codes are worth beside the tools that people use instead (docs/quality.md)."""
