"""The learning half: documents in, binary codes out."""
