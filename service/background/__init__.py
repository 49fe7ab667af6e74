"""Work that goes on beside requests: re-codings, by turns of all processes, and snapshots."""
