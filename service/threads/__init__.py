"""Threads beside the event loop, on which no blocking work is done."""
