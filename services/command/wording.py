"""What is wrong with a setting's value, in the words of its reader; pydantic's speak of its own types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# By the type of pydantic's error (its documentation, "Validation Errors"); {names} stand in the error's context.
_REASONS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of a sensible size",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "literal_error": "must be {expected}",
    "path_type": "must be a path in quotes",
    "string_type": "must be text in quotes",
    "string_too_short": "must not be empty",
    "string_too_long": "must have {max_length} characters at most",
    "tuple_type": "must be a list, or text with commas",
    "too_long": "must have {max_length} entries at most",
}
_OURS = "value_error"
_SHOWN_CHARACTERS = 80


def reason(kind: str, context: Mapping[str, Any], message: str) -> str:
    """Why a value cannot stand, from the type, context and message of pydantic's error."""
    if kind == _OURS:
        return message.removeprefix("Value error, ")
    return _REASONS[kind].format_map(context) if kind in _REASONS else "cannot stand"


def shown(kind: str, value: object) -> str:
    """What stands there, as far as the reason leaves it open."""
    if kind == "string_too_short":
        return ""
    text = repr(value)
    return f", not {text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + '...'}"
