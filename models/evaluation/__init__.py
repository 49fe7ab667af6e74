"""Evaluation: held-out queries, baselines, tie-aware metrics, and the quality table that brings them together."""
