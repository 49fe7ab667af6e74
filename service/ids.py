"""Many ids in little memory."""

from array import array


class Ids:
    """Many ids, ascending, in little more than their own bytes."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("q", [0])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, place: int) -> str:
        return self._text[self._ends[place] : self._ends[place + 1]].decode()

    def append(self, item_id: str) -> None:
        """Add an id that comes after all before."""
        self._text += item_id.encode()
        self._ends.append(len(self._text))
