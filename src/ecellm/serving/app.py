"""The application: all endpoints of a service, their description, and what becomes of errors."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from ecellm import __version__
from ecellm.errors import EcellmError
from ecellm.serving.batching import ClosedError, QueueFullError
from ecellm.serving.chat import chat_router
from ecellm.serving.classify import classify_router
from ecellm.serving.guard import OPEN_PATHS, Allowed, Guard, unavailable
from ecellm.serving.health import health_router
from ecellm.serving.page import page_router
from ecellm.serving.problems import BY_STATUS, MEDIA_TYPE, ProblemDetails, ProblemError, invalid_body
from ecellm.serving.rerank import rerank_router
from ecellm.serving.service import Service
from ecellm.serving.task_endpoints import task_router

ABOUT = (
    "A model that answers e-commerce questions: each task has an endpoint, which takes one question or several. "
    "Errors are problem details (RFC 9457)."
)


def create_app(service: Service, allowed: Allowed | None = None, max_new_tokens: int = 100) -> ASGIApp:
    """Return the application of a service, which is to be started beside it; a chat completion has so many tokens at
    most unless it asks for another number."""
    allowed = allowed or Allowed()
    app = FastAPI(
        title=f"ecellm: {service.name}",
        description=ABOUT,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={"default": {"model": ProblemDetails, "description": "Problem details."}},
    )
    conventions = (rerank_router(service), classify_router(service), chat_router(service, max_new_tokens))
    for router in (
        page_router(service, allowed),
        task_router(service),
        *conventions,
        health_router(service, app, allowed),
    ):
        app.include_router(router)
    _handle_errors(app, service)
    _describe(app, allowed)
    return Guard(app, service, allowed)


def _handle_errors(app: FastAPI, service: Service) -> None:
    """Have every error answered by problem details."""

    def respond(request: Request, problem: ProblemError) -> Response:
        request.state.problem = problem.kind
        return problem.response(request.url.path)

    @app.exception_handler(ProblemError)
    async def _(request: Request, error: ProblemError) -> Response:
        return respond(request, error)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        return respond(request, invalid_body(error.errors(), error.body))

    @app.exception_handler(QueueFullError)
    async def _(request: Request, error: QueueFullError) -> Response:
        wait = str(max(1, round(error.retry_after)))
        detail = f"{service.limits.queue} questions may wait at a time: ask again in {wait} seconds."
        return respond(request, ProblemError("queue-full", detail, headers={"Retry-After": wait}))

    @app.exception_handler(ClosedError)
    async def _(request: Request, error: ClosedError) -> Response:
        return respond(request, unavailable(service))

    @app.exception_handler(EcellmError)
    async def _(request: Request, error: EcellmError) -> Response:
        return respond(request, ProblemError("invalid-request", str(error)))

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> Response:
        kind = BY_STATUS.get(error.status_code, "internal")
        if kind == "not-found":
            detail = "GET /openapi.json describes what there is."
        elif kind == "method-not-allowed":
            detail = f"{request.method} is not taken here: the header Allow names what is."
        else:
            detail = str(error.detail)
        return respond(request, ProblemError(kind, detail, headers=error.headers))

    @app.exception_handler(Exception)
    async def _(request: Request, error: Exception) -> Response:
        # The guard, which the error reaches next, logs it.
        number = request.state.seen.identity
        return respond(request, ProblemError("internal", f"The service made a mistake; its log has it as {number}."))


def _describe(app: FastAPI, allowed: Allowed) -> None:
    """Have the OpenAPI description name the form of errors, and the key where one is needed."""
    made = app.openapi

    def described() -> dict[str, Any]:
        fresh = app.openapi_schema is None
        schema = made()
        if not fresh:
            return schema
        for path, methods in schema["paths"].items():
            for operation in methods.values():
                problem = operation["responses"].get("default", {})
                # Whatever media type the endpoint's own answers have.
                for form in list(problem.get("content", {}).values()):
                    problem["content"] = {MEDIA_TYPE: form}
                if path in OPEN_PATHS:
                    operation["security"] = []
        if allowed.keys:
            schema["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"key": []}]
        return schema

    app.openapi = described  # type: ignore[method-assign]
