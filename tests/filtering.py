"""The rules of filters once more, in plain Python over the values themselves."""

from typing import Any

ABSENT = object()


def expected(condition: dict[str, Any], payloads: list[Any]) -> list[int]:
    """Places of the payloads that a filter lets through; None is an item without a payload."""
    return [i for i, payload in enumerate(payloads) if holds(condition, payload or {})]


def holds(condition: dict[str, Any], payload: dict[str, Any]) -> bool:
    """Whether a filter, as JSON, lets a payload through."""
    return all(_entry_holds(key, value, payload) for key, value in condition.items())


def _entry_holds(key: str, value: Any, payload: dict[str, Any]) -> bool:
    if key == "and":
        return all(holds(each, payload) for each in value)
    if key == "or":
        return any(holds(each, payload) for each in value)
    if key == "not":
        return not holds(value, payload)
    found: Any = payload
    for name in key.split("."):
        found = found.get(name, ABSENT) if isinstance(found, dict) else ABSENT
    operators = dict(value) if isinstance(value, dict) else {"eq": value}
    if operators.pop("exists", found is not ABSENT) is not (found is not ABSENT):
        return False
    candidates = found if isinstance(found, list) else [found]
    return not operators or any(
        all(_agrees(*each, candidate) for each in operators.items()) for candidate in candidates
    )


def _agrees(operator: str, operand: Any, value: Any) -> bool:
    if operator == "in":
        return any(_agrees("eq", choice, value) for choice in operand)
    if _kind(operand) != _kind(value) or isinstance(value, list | dict):
        return False
    value, operand = _as_compared(value), _as_compared(operand)
    if operator == "eq":
        return bool(value == operand)
    return {"gt": value > operand, "gte": value >= operand, "lt": value < operand, "lte": value <= operand}[operator]


def _kind(value: Any) -> str:
    return {int: "number", float: "number"}.get(type(value), type(value).__name__)


def _as_compared(value: Any) -> Any:
    return float(value) if type(value) is int and not -(2**63) <= value < 2**63 else value
