"""What pydantic finds wrong, in the service's words: what was expected, and what came as JSON has it."""

from collections.abc import Callable, Mapping
from typing import Any

from service.described import kind, shown

Context = Mapping[str, Any]
AN_INTEGER, A_NUMBER, TRUE_OR_FALSE = "an integer", "a number", "true or false"
AN_OBJECT, A_STRING, A_LIST = "an object", "a string", "a list"

# By pydantic's names of errors.
_KINDS = {
    "int_type": AN_INTEGER,
    "int_parsing": AN_INTEGER,
    "int_parsing_size": AN_INTEGER,
    "int_from_float": AN_INTEGER,
    "float_type": A_NUMBER,
    "float_parsing": A_NUMBER,
    "finite_number": "a finite number",
    "bool_type": TRUE_OR_FALSE,
    "bool_parsing": TRUE_OR_FALSE,
    "string_type": A_STRING,
    "string_unicode": "Unicode text",
    "list_type": A_LIST,
    "dict_type": AN_OBJECT,
    "model_type": AN_OBJECT,
    "model_attributes_type": AN_OBJECT,
    "extra_forbidden": "nothing of this name",
}
_BOUNDS: dict[str, Callable[[Context], str]] = {
    "greater_than_equal": lambda context: f"at least {context['ge']}",
    "greater_than": lambda context: f"more than {context['gt']}",
    "less_than_equal": lambda context: f"at most {context['le']}",
    "less_than": lambda context: f"less than {context['lt']}",
    "multiple_of": lambda context: f"a multiple of {context['multiple_of']}",
    "literal_error": lambda context: str(context["expected"]),
    "enum": lambda context: str(context["expected"]),
    "string_pattern_mismatch": lambda context: f"text like {context['pattern']}",
}
_LENGTHS: dict[str, Callable[[Context], str]] = {
    "string_too_short": lambda context: f"at least {context['min_length']} characters",
    "string_too_long": lambda context: f"at most {context['max_length']} characters",
    "too_short": lambda context: f"at least {context['min_length']} values",
    "too_long": lambda context: f"at most {context['max_length']} values",
}


def told(fault: Mapping[str, Any]) -> str:
    """One of pydantic's errors; those of the service's own validators say all themselves."""
    name, came, context = fault["type"], fault["input"], fault.get("ctx", {})
    if name == "value_error":
        return str(fault["msg"]).removeprefix("Value error, ")
    if name == "missing":
        return "expected a value, got none"
    if name in _LENGTHS:
        return f"expected {_LENGTHS[name](context)}, got {len(came) if hasattr(came, '__len__') else kind(came)}"
    if name in _KINDS:
        return f"expected {_KINDS[name]}, got {shown(came)}"
    if name in _BOUNDS:
        return f"expected {_BOUNDS[name](context)}, got {shown(came)}"
    return f"expected a value that can be used, got {shown(came)}: {fault['msg']}"
