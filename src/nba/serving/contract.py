"""The OpenAPI document: what the routes say, and what holds for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from nba.serving.errors import Problem, documented
from nba.serving.examples import EXAMPLES, PARAMETERS

DESCRIPTION: Final = """
Each clerk, each day: whom to contact, what to bring, when, in which mode, and why.

Errors are RFC 9457 problem details. Ids are text, and leading zeros count. Lists are paged by
cursor. Writes carry an id chosen by the client: the same id with the same content changes
nothing, with other content it is a conflict.

`HEAD` answers as `GET` does, without the body. A method that a path does not have is answered 405,
and `Allow` names those that it has.
"""


def operation_id(route: APIRoute) -> str:
    """Return the id by which generated clients name a call: it changes only with its function."""
    return route.name


def openapi(app: FastAPI) -> dict[str, Any]:
    """Return the document of an app, made once.

    Every answer that any call may give is in it, with the problem schema that errors share.
    """
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            webhooks=app.webhooks.routes,
        )
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas |= schema.pop("$defs", {})
        schemas["Problem"] = schema
        for name, example in EXAMPLES.items():
            if name in schemas:
                schemas[name]["examples"] = [example]
        for operation in _operations(document["paths"]):
            _complete(operation)
        for operation in _operations(document.get("webhooks", {})):
            operation["responses"].pop("422", None)  # what a receiver answers is its own
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        app.openapi_schema = document
    return app.openapi_schema


def _operations(paths: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in paths.values():
        yield from item.values()


def _complete(operation: dict[str, Any]) -> None:
    """Add what any call of its kind may answer, and examples of its parameters."""
    more: list[int] = []
    if "requestBody" in operation:  # a body may be no text at all, or too large
        more += [HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE]
    if "security" in operation:  # a store that does not answer in time
        more += [HTTPStatus.SERVICE_UNAVAILABLE]
    answers = operation["responses"]
    for status, answer in documented(*more).items():
        answers.setdefault(str(int(status)), answer)
    operation["responses"] = dict(sorted(answers.items()))
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in PARAMETERS and parameter["in"] in ("path", "query"):
            parameter["example"] = PARAMETERS[parameter["name"]]
