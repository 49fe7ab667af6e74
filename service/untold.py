"""Where work could tell how far it is, and nobody wants to know."""


def untold(*figures: float) -> None:
    """Pass over what is told."""
