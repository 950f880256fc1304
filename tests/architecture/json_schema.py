"""As much of JSON Schema (draft 2020-12) as docs/spec/schemas uses, written from its rules and not from custody's.

An unknown keyword is an error, so that nothing in the files goes unread.
"""

import re

TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
SILENT = {"$schema", "$id", "$defs", "title", "description", "then"}


def accepts(schema, value, root=None):
    root = schema if root is None else root
    if isinstance(schema, bool):
        return schema
    return all(RULES[word](schema, value, root) for word in schema if word not in SILENT)


def same(one, other):
    return type(one) is type(other) and one == other


def of(kind, rule):
    """A keyword that speaks of one type and lets others pass."""
    return lambda schema, value, root: type(value) is not kind or rule(schema, value, root)


def resolve(schema, value, root):
    return accepts(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root)


def properties(schema, value, root):
    return all(accepts(rules, value[name], root) for name, rules in schema["properties"].items() if name in value)


def conditional(schema, value, root):
    return not accepts(schema["if"], value, root) or accepts(schema["then"], value, root)


RULES = {
    "type": lambda schema, value, root: type(value) is TYPES[schema["type"]],
    "enum": lambda schema, value, root: any(same(value, each) for each in schema["enum"]),
    "const": lambda schema, value, root: same(value, schema["const"]),
    "not": lambda schema, value, root: not accepts(schema["not"], value, root),
    "allOf": lambda schema, value, root: all(accepts(each, value, root) for each in schema["allOf"]),
    "$ref": resolve,
    "if": conditional,
    "pattern": of(str, lambda schema, value, root: re.search(schema["pattern"], value, re.ASCII) is not None),
    "minLength": of(str, lambda schema, value, root: len(value) >= schema["minLength"]),
    "maxLength": of(str, lambda schema, value, root: len(value) <= schema["maxLength"]),
    "minimum": of(int, lambda schema, value, root: value >= schema["minimum"]),
    "maximum": of(int, lambda schema, value, root: value <= schema["maximum"]),
    "items": of(list, lambda schema, value, root: all(accepts(schema["items"], each, root) for each in value)),
    "minItems": of(list, lambda schema, value, root: len(value) >= schema["minItems"]),
    "maxItems": of(list, lambda schema, value, root: len(value) <= schema["maxItems"]),
    "uniqueItems": of(list, lambda schema, value, root: len({repr(each) for each in value}) == len(value)),
    "properties": of(dict, properties),
    "required": of(dict, lambda schema, value, root: set(schema["required"]) <= value.keys()),
    "additionalProperties": of(dict, lambda schema, value, root: value.keys() <= schema["properties"].keys()),
    "propertyNames": of(dict, lambda schema, value, root: value.keys() <= set(schema["propertyNames"]["enum"])),
    "minProperties": of(dict, lambda schema, value, root: len(value) >= schema["minProperties"]),
    "maxProperties": of(dict, lambda schema, value, root: len(value) <= schema["maxProperties"]),
}
