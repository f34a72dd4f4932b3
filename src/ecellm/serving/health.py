"""Endpoints about the service itself: probes, figures, its page of documentation, and the model loaded anew."""

from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, Response

from ecellm.errors import EcellmError
from ecellm.serving.docs_page import docs_page
from ecellm.serving.guard import Allowed, unavailable
from ecellm.serving.problems import ProblemError
from ecellm.serving.service import Service, State


class Health(BaseModel):
    """That the service runs, and whether it has a model to ask."""

    status: Annotated[Literal["ok"], Field(description="That the process answers.")] = "ok"
    state: Annotated[State, Field(description="starting, ready, draining or failed.")]
    model: Annotated[str, Field(description="The model's name.")]


def health_router(service: Service, app: FastAPI, allowed: Allowed) -> APIRouter:
    """Return these endpoints; `app` is described by the page."""
    router = APIRouter(tags=["service"])

    @router.get("/healthz", summary="Whether the process answers")
    async def healthz() -> Health:
        return Health(state=service.state, model=service.name)

    @router.get("/readyz", summary="Whether the model is loaded, warm and answers questions")
    async def readyz() -> Health:
        if not service.is_ready:
            raise unavailable(service)
        return Health(state=service.state, model=service.name)

    @router.get("/metrics", summary="Figures for Prometheus", response_class=Response, responses=_TEXT)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @router.get("/docs", summary="The endpoints, as a page", response_class=HTMLResponse)
    async def docs() -> HTMLResponse:
        return docs_page(app.openapi())

    @router.post("/admin/reload", summary="Load the model anew, without a dropped request")
    async def reload() -> Health:
        if not allowed.keys:
            raise ProblemError(
                "forbidden", "Without ECELLM_API_KEY a model is loaded anew by the signal SIGHUP, not by a request."
            )
        try:
            await service.reload_everywhere()
        except EcellmError as error:
            detail = f"The model could not be loaded, so the old one stays: {error}"
            raise ProblemError("internal", detail) from error
        return Health(state=service.state, model=service.name)

    return router


_TEXT: dict[int | str, dict[str, object]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
