"""Filters on items in Milvus: an expression that leaves out what it can, and the whole filter over what is left.

Milvus's JSON expressions differ from the service's filters: they do not look into lists, and of some names and texts
they cannot be written down. So the expression only has to hold for every item that the filter lets through; the rest
is for `lets_through`, which is exact.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from operator import ge, gt, le, lt
from typing import Any

from service.filters import All, AnyOf, Comparison, Condition, Field, Not, Scalar, scalar

EVERYTHING = ""
_NAME = re.compile(r"[A-Za-z0-9_ -]+")
# Neither a quote or backslash, nor what is no character to see.
_TEXT = re.compile(r"[^\x00-\x1f\"'\\\x7f]*")
_EXACT = 2**53
_SIGNS = {"eq": "==", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}
_ABSENT = object()


def among(ids: Sequence[str]) -> str:
    """An expression for the items with these ids."""
    return f"id in {json.dumps(list(ids), ensure_ascii=False)}"


def after(item_id: str) -> str:
    """An expression for the items whose ids come after this one, by code point."""
    return f"id > {json.dumps(item_id, ensure_ascii=False)}"


def until(item_id: str) -> str:
    """An expression for the items whose ids come up to this one."""
    return f"id <= {json.dumps(item_id, ensure_ascii=False)}"


def both(one: str, other: str) -> str:
    """An expression for what both let through."""
    return f"({one}) and ({other})" if one and other else one or other


def expression(condition: "Condition | None") -> str:
    """An expression that holds for every item that the filter lets through, and maybe for others."""
    match condition:
        case All(conditions):
            return _joined("and", [each for each in map(expression, conditions) if each])
        case AnyOf(conditions):
            parts = [expression(each) for each in conditions]
            return EVERYTHING if not all(parts) else _joined("or", parts)
        case Field():
            return _field(condition)
    return EVERYTHING


def _field(field: Field) -> str:
    if not all(_NAME.fullmatch(name) for name in field.path):
        return EVERYTHING
    place = "payload" + "".join(f'["{name}"]' for name in field.path)
    parts = [each for each in (_comparison(each, place) for each in field.comparisons) if each]
    # Of a list one element may satisfy them, which Milvus does not look at.
    return "" if not parts else f"(lists == true) or ({_joined('and', parts)})"


def _comparison(comparison: Comparison, place: str) -> str:
    values = [_literal(each) for each in comparison.operands]
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return EVERYTHING
    if comparison.operator == "in":
        kinds = [[value for value in known if value.startswith('"') is text] for text in (False, True)]
        return _joined("or", [f"{place} in [{', '.join(each)}]" for each in kinds if each])
    return f"{place} {_SIGNS[comparison.operator]} {known[0]}"


def _joined(word: str, parts: Sequence[str]) -> str:
    """A tree, as Milvus takes no expression that is deep: a row of 64 is."""
    if len(parts) < 2:
        return "".join(parts)
    half = len(parts) // 2
    return f"({_joined(word, parts[:half])}) {word} ({_joined(word, parts[half:])})"


def _literal(scalar: Scalar) -> str | None:
    value = scalar.value
    if scalar.kind == "text" and isinstance(value, str) and _TEXT.fullmatch(value):
        return f'"{value}"'
    if scalar.kind == "number" and isinstance(value, int) and abs(value) < _EXACT:
        return str(value)
    return None


def lets_through(condition: "Condition | None", payload: Mapping[str, Any]) -> bool:
    """Whether a filter lets a payload through, as `service.filters` says."""
    match condition:
        case All(conditions):
            return all(lets_through(each, payload) for each in conditions)
        case AnyOf(conditions):
            return any(lets_through(each, payload) for each in conditions)
        case Not(inner):
            return not lets_through(inner, payload)
        case Field():
            return _holds(condition, payload)
    return True


def _holds(field: Field, payload: Mapping[str, Any]) -> bool:
    found: Any = payload
    for name in field.path:
        found = found.get(name, _ABSENT) if isinstance(found, dict) else _ABSENT
    if field.exists is not None and field.exists is not (found is not _ABSENT):
        return False
    values = found if isinstance(found, list) else [found]
    return not field.comparisons or any(
        all(_satisfies(comparison, scalar(value)) for comparison in field.comparisons) for value in values
    )


def _satisfies(comparison: Comparison, value: Scalar | None) -> bool:
    if value is None:
        return False
    same = [each for each in comparison.operands if each.kind == value.kind]
    if comparison.operator in ("eq", "in"):
        return any(_compared(each) == _compared(value) for each in same)
    return any(_COMPARE[comparison.operator](_compared(value), _compared(each)) for each in same)


def _compared(scalar: Scalar) -> Any:
    value = scalar.value
    return float(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value
