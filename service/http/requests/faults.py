"""Faults of a request, as validation finds them: the first of them, and how many there are."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from models.errors import InvalidInputError
from service.errors import Fault, FaultsError
from service.http.replies.problems import MOST_ERRORS, describe


class Faults:
    """Keeps the first 20 faults and counts the others. False while there are none.

    It is the context of every validation: `Strict` tells it how many unknown members of an object it left out.
    """

    def __init__(self) -> None:
        self._listed: list[Fault] = []
        self._count = 0

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self._count > 0

    def leave_out(self, count: int) -> None:
        """Count faults that validation does not find, as what is wrong was left out."""
        self._count += count

    def add(self, error: ValidationError, place: Sequence[str] = (), first: int = 0) -> None:
        """Add what validation found; in elements from `first` on of the list at `place`, if it has one."""
        room = MOST_ERRORS - len(self._listed)
        self._count += error.error_count()
        if room <= 0:
            return
        for each in error.errors(include_url=False)[:room]:
            self._listed.append(_fault({**each, "loc": _placed(each["loc"], place, first)}))

    def error(self) -> FaultsError:
        """The error that lists them."""
        return FaultsError(None, self._listed, more=self._count - len(self._listed))


def _placed(location: Sequence[Any], place: Sequence[str], first: int) -> Sequence[Any]:
    if not place:
        return location
    return (*place, location[0] + first, *location[1:])


def _fault(error: Mapping[str, Any]) -> Fault:
    told = describe(error)
    return Fault(told.where, InvalidInputError.status, InvalidInputError.title, told.detail)
