"""`.. bzz-routes:: GROUP` and `.. bzz-schemas::`: the routes, from their OpenAPI description.

A section for each path, and in it each method with its parameters, its body, its answers, and the
problems that it may end in.  Every method is an object of the kind `route`, every schema one of
the kind `schema`, so that they are in the index and can be linked to: :route:`GET /team/`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from bzz.filters import OPERATORS
from bzz_reference.example import example

Json = dict[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")
_OPERATOR = re.compile(rf"(.+)__({'|'.join(OPERATORS)})")
_SLUG = re.compile(r"/problems/([a-z-]+)\.html$")
_MARKED = re.compile(r"`([^`]+)`")

GROUPS = {
    "documents": "the documents of a model",
    "nested": "what is nested in a document",
    "history": "the history of a document",
    "referenced": "the history of a document, below one that refers to it",
    "across": "all models at once",
}


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_object_type("route", "route", objname="route", indextemplate="single: %s")
    app.add_object_type("schema", "schema", objname="schema", indextemplate="single: %s (JSON)")
    app.add_directive("bzz-routes", RoutesDirective)
    app.add_directive("bzz-schemas", SchemasDirective)


def route_names() -> list[str]:
    """All routes of the example, as the reference names them: `GET /team/<id>/`."""
    paths = example().document["paths"]
    return [_name(verb, path) for path, item in paths.items() for verb in METHODS if verb in item]


def group_of(path: str) -> str:
    """The group in which a path is shown."""
    parts = [each for each in path.split("/") if each]
    if parts[0] == "history":
        return "across"
    if "history" in parts:
        return "history" if parts.index("history") == 2 else "referenced"
    return "documents" if len(parts) <= 2 else "nested"


class RoutesDirective(SphinxDirective):
    """The routes of one group, each path a section."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        group = self.arguments[0]
        if group not in GROUPS:
            raise self.error(
                f"There is no group {group!r} of routes; there are {', '.join(GROUPS)}."
            )
        paths = example().document["paths"]
        lines = [
            line
            for path, item in sorted(paths.items(), key=_in_order)
            if group_of(path) == group
            for line in _section(path, item)
        ]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


class SchemasDirective(SphinxDirective):
    """The JSON of bodies and answers, each schema an object."""

    def run(self) -> list[nodes.Node]:
        """Called by docutils."""
        schemas = example().document["components"]["schemas"]
        lines = [line for name, each in schemas.items() for line in _schema(name, each)]
        return self.parse_text_to_nodes("\n".join(lines))


def _in_order(entry: tuple[str, Json]) -> tuple[int, str]:
    return len(entry[0].split("/")), entry[0]


def _name(verb: str, path: str) -> str:
    return f"{verb.upper()} {_readable(path)}"


def _readable(path: str) -> str:
    return path.replace("{", "<").replace("}", ">")


# A path


def _section(path: str, item: Json) -> Iterator[str]:
    title = f"``{_readable(path)}``"
    yield from ("", title, "-" * len(title), "")
    for verb in METHODS:
        if verb in item:
            yield from _operation(verb, path, item[verb], item.get("parameters", []))


def _operation(verb: str, path: str, told: Json, shared: list[Json]) -> Iterator[str]:
    yield from ("", f".. route:: {_name(verb, path)}", "")
    yield from _indented([f"{told['summary']}.", ""])
    yield from _indented(_parameters([*shared, *told["parameters"]]))
    if "requestBody" in told:
        yield from _indented(_body(told["requestBody"]))
    yield from _indented(_answers(told["responses"]))


def _parameters(given: Iterable[Json]) -> Iterator[str]:
    rows: list[list[str]] = []
    filters: dict[str, list[str]] = {}
    for each in map(_resolved, given):
        found = _OPERATOR.fullmatch(each["name"]) if each["in"] == "query" else None
        if found is not None:
            filters.setdefault(found[1], []).append(found[2])
            continue
        required = ", required" if each.get("required") and each["in"] != "path" else ""
        rows.append([_code(each["name"]), f"{each['in']}{required}", *_typed(each)])
    for row in rows:
        operators = filters.get(row[0].strip("`"))
        if operators:
            name = row[0].strip("`")
            known = ", ".join(_code(f"__{operator}") for operator in operators)
            row[3] = f"Condition: equal to; or ``{name}`` with {known}."
    yield from _table(["Parameter", "In", "Value", ""], rows, [22, 12, 26, 40])


def _typed(each: Json) -> list[str]:
    return [_value(each["schema"]), _told(each.get("description", ""))]


def _body(body: Json) -> Iterator[str]:
    rows = []
    for media, content in body["content"].items():
        rows.append([_code(media), _value(content.get("schema", {}))])
    title = "Body" if body.get("required") else "Body (may be left out)"
    yield from _table([title, "Content"], rows, [45, 55])


def _answers(responses: Json) -> Iterator[str]:
    good, bad = [], []
    for status, each in responses.items():
        answer = _resolved(each)
        if status >= "400":
            bad.append([status, ", ".join(_problems(answer)), _headers(answer)])
            continue
        content = [
            f"{_code(media)}: {_value(shown.get('schema', {}))}"
            for media, shown in answer.get("content", {}).items()
        ]
        told = "\n\n".join([_told(answer["description"]), *content])
        good.append([status, told, _headers(answer)])
    yield from _table(["Answer", "What", "Header fields"], good, [10, 60, 30])
    yield from _table(["Problem", "Kinds", "Header fields"], bad, [10, 60, 30])


def _headers(answer: Json) -> str:
    return ", ".join(_code(name) for name in answer.get("headers", {}))


def _problems(answer: Json) -> Iterator[str]:
    [content] = answer["content"].values()
    for part in content["schema"]["allOf"]:
        for uri in part.get("properties", {}).get("type", {}).get("enum", ()):
            slug = _SLUG.search(uri)
            if slug is not None:
                yield f":doc:`{slug[1]} </problems/{slug[1]}>`"


# Schemas


def _schema(name: str, told: Json) -> Iterator[str]:
    yield from ("", f".. schema:: {name}", "")
    members = told.get("properties")
    lines = [_told(told["description"]), ""] if "description" in told else []
    if members is None:
        lines += [f"{_value({k: v for k, v in told.items() if k != 'description'})}.", ""]
    else:
        required = told.get("required", ())
        rows = [
            [
                _code(member),
                "always" if member in required else "",
                _value({k: v for k, v in each.items() if k != "description"}),
                _told(each.get("description", "")),
            ]
            for member, each in members.items()
        ]
        lines += _table(["Member", "", "Value", ""], rows, [20, 10, 35, 35])
    yield from _indented(lines)


def _value(schema: Json) -> str:
    """A schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f":schema:`{name}`"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_value(each) for each in schema[several]))
    if "allOf" in schema:
        return " and ".join(_value(each) for each in schema["allOf"])
    if "enum" in schema:
        # Of what can be sorted by, once, and not once more with a minus.
        told = [each for each in schema["enum"] if f"{each}"[:1] != "-"]
        return _default(", ".join(map(_code, told)), schema)
    if "const" in schema:
        return _code(schema["const"])
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if "description" in schema and schema.get("type") in ("string", "object"):
        return _told(schema["description"]).rstrip(".")
    return _default(" or ".join(_kind(each, schema) for each in kinds) or "any value", schema)


def _default(words: str, schema: Json) -> str:
    if "default" not in schema:
        return words
    return f"{words}; {_code(schema['default'])} by default"


def _kind(kind: str, schema: Json) -> str:
    if kind == "array":
        return f"list of {_value(schema.get('items', {}))}"
    if kind == "integer":
        return f"integer{_bounds(schema)}"
    if kind == "object" and schema.get("properties"):
        members = schema["properties"].items()
        return f"object of {', '.join(_code(name) + _within(each) for name, each in members)}"
    formats = {
        "date-time": "time (RFC 3339)",
        "json-pointer": "JSON Pointer",
        "uri": "URI",
    }
    if kind == "string":
        return formats.get(schema.get("format", ""), "text")
    return kind


def _within(schema: Json) -> str:
    """What a member of an object holds, where that has a page of its own."""
    words = _value({name: each for name, each in schema.items() if name != "description"})
    return f" ({words})" if ":schema:" in words else ""


def _bounds(schema: Json) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None and high is None:
        return ""
    if high is None or high >= 10**8:
        return f" from {low}"
    return f" from {low} to {high}" if low is not None else f" to {high}"


def _resolved(each: Json) -> Json:
    if "$ref" not in each:
        return each
    found: Json = example().document
    for part in each["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


# reStructuredText


def _code(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"``{text}``" if text else "nothing"


def _told(text: str) -> str:
    """A sentence of the description, in which single backticks are code."""
    return _MARKED.sub(r"``\1``", text).replace("*.", r"\*.")


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"   {line}" if line else "" for line in lines)


def _table(titles: list[str], rows: list[list[str]], widths: list[int]) -> list[str]:
    if not rows:
        return []
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        "   :class: bzz-table",
        f"   :widths: {' '.join(map(str, widths))}",
        "",
    ]
    for row in [titles, *rows]:
        for index, cell in enumerate(row):
            first, *more = cell.split("\n")
            lines.append(f"   {'* -' if index == 0 else '  -'} {first}".rstrip())
            lines += [f"       {line}".rstrip() for line in more]
    return [*lines, ""]
