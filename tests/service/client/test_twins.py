"""Whoever knows one client knows the other."""

import inspect
import typing
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from service.client import AsyncClient, Client
from service.client.importing import Line


def _methods(kind: type) -> dict[str, Any]:
    # Both names of entering and leaving are Python's own.
    return {name: method for name, method in vars(kind).items() if inspect.isfunction(method) and name[:1] != "_"}


def _alike(annotation: Any) -> Any:
    if annotation == Iterable[Line] | AsyncIterable[Line]:
        return Iterable[Line]
    if typing.get_origin(annotation) is AsyncIterator:
        return Iterator[typing.get_args(annotation)]  # type: ignore[misc]
    return annotation


def test_both_have_the_same_methods_with_the_same_signatures_and_meaning() -> None:
    one, other = _methods(Client), _methods(AsyncClient)
    assert len(one) > 20
    assert list(one) == list(other)
    for name in [*one, "__init__"]:
        here, there = getattr(Client, name), getattr(AsyncClient, name)
        assert inspect.signature(here).parameters.keys() == inspect.signature(there).parameters.keys(), name
        for parameter, twin in zip(
            inspect.signature(here).parameters.values(), inspect.signature(there).parameters.values(), strict=True
        ):
            assert (parameter.kind, parameter.default) == (twin.kind, twin.default), name
            assert parameter.annotation == _alike(twin.annotation), name
        assert inspect.signature(here).return_annotation == _alike(inspect.signature(there).return_annotation), name
        if name != "__init__":
            assert here.__doc__ == there.__doc__
            assert inspect.iscoroutinefunction(there) != inspect.isgeneratorfunction(here), name
