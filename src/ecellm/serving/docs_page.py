"""The page at /docs: the OpenAPI description as plain HTML, made on the server, with nothing from elsewhere."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import HTMLResponse

from ecellm.serving.templates import page

Schema = Mapping[str, Any]
METHODS = ("get", "post")
#: JSON's types as the page names them; null is not named, as a field that may be null is not required.
TYPES = {"string": "text", "integer": "number"}


def docs_page(described: Schema) -> HTMLResponse:
    """Return the page of an OpenAPI description."""
    schemas: Schema = described.get("components", {}).get("schemas", {})
    operations = [
        _operation(path, method, operation, schemas)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    ]
    return page(
        "docs_page.html.j2",
        info=described["info"],
        operations=operations,
        key="security" in described,
        signed_in=False,
    )


def _operation(path: str, method: str, operation: Schema, schemas: Schema) -> dict[str, Any]:
    body = _resolved(_json(operation.get("requestBody", {})), schemas)
    answer = _resolved(_json(operation["responses"].get("200", {})), schemas)
    question, answered = _first(body, schemas), _first(answer, schemas)
    examples = question.get("examples") or []
    return {
        "path": path,
        "method": method.upper(),
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "fields": _fields(question, schemas),
        "answer": _fields(answered, schemas),
        "example": json.dumps(examples[0], indent=2, ensure_ascii=False) if examples else "",
    }


def _json(part: Schema) -> Schema:
    found: Schema = part.get("content", {}).get("application/json", {}).get("schema", {})
    return found


def _resolved(schema: Schema, schemas: Schema) -> Schema:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Schema = schemas.get(name, schema)
    return found


def _first(schema: Schema, schemas: Schema) -> Schema:
    """Return a schema, or the first of those that it may be."""
    either = schema.get("oneOf") or schema.get("anyOf")
    return _resolved(either[0], schemas) if either else schema


def _fields(schema: Schema, schemas: Schema, before: str = "") -> list[dict[str, str]]:
    """Return the fields of an object, those of the objects in it below them."""
    rows = []
    for name, field in schema.get("properties", {}).items():
        needed = name in schema.get("required", ())
        rows.append(
            {
                "name": before + name,
                "kind": _kind(field, schemas),
                "needed": "yes" if needed else "no",
                "says": field.get("description", ""),
            }
        )
        for inner in _alternatives(field):
            if "$ref" in inner and not before:
                rows += _fields(_resolved(inner, schemas), schemas, f"{name}.")
    return rows


def _alternatives(field: Schema) -> list[Schema]:
    return list(field.get("oneOf") or field.get("anyOf") or [field])


def _kind(field: Schema, schemas: Schema) -> str:
    """Return the type of a field in words, with its limits."""
    found = []
    for one in _alternatives(field):
        if "$ref" in one:
            found.append("object")
        elif one.get("type") == "array":
            most = f" of at most {one['maxItems']:,}" if "maxItems" in one else ""
            found.append(f"list{most}: {_kind(one.get('items', {}), schemas)}")
        elif "enum" in one or "const" in one:
            found.append(" | ".join(json.dumps(value) for value in one.get("enum", [one.get("const")])))
        else:
            most = f" of at most {one['maxLength']:,} characters" if "maxLength" in one else ""
            name = str(one.get("type", "any"))
            found.append(TYPES.get(name, name) + most)
    return " or ".join(dict.fromkeys(kind for kind in found if kind != "null"))
