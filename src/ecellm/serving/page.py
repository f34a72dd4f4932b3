"""The page at /: each task's form with its answer, and a table answered at once. It is made on the server, from the
tasks' own definitions, and works without its script."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response, StreamingResponse

from ecellm.errors import DataError, ServerError
from ecellm.inference.row_questions import needs
from ecellm.serving.batching import QueueFullError
from ecellm.serving.guard import Allowed
from ecellm.serving.keys import Keys
from ecellm.serving.page_access import (
    COOKIE,
    PAGE,
    SESSION_SECONDS,
    SIGN_IN,
    SIGN_OUT,
    is_same_origin,
    public_origin,
)
from ecellm.serving.page_answer import CodeSample, ShownAnswer, shown_answer
from ecellm.serving.page_form import example_row, form_groups, general_errors, question_body, row_of
from ecellm.serving.page_table import (
    FIRST_ROWS,
    MAX_BYTES,
    MAX_ROWS,
    Preview,
    answered_table,
    decoded,
    preview,
    upload_of,
)
from ecellm.serving.problems import KINDS, FieldError, ProblemError, invalid_body
from ecellm.serving.schemas import Row, TaskSchema, place_of, task_schema
from ecellm.serving.service import Service
from ecellm.serving.task_endpoints import ask
from ecellm.serving.templates import page
from ecellm.tasks import Task

#: Which of the page's forms was sent: one question, a table to look at, or a table to download.
ANSWER, TABLE, DOWNLOAD = "answer", "table", "download"
#: Bytes of one field of a form: the table that is sent again.
MAX_FIELD = 4 * 2**20


@dataclass
class PageState:
    """What the page shows beside the tasks."""

    row: Row
    status: int = 200
    answer: ShownAnswer | None = None
    errors: Sequence[FieldError] = ()
    messages: list[str] = field(default_factory=list)
    """What is wrong with no field in particular."""
    table: Preview | None = None
    table_error: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def page_router(service: Service, allowed: Allowed) -> APIRouter:
    """Return the page's addresses."""
    router = APIRouter(include_in_schema=False)
    shown = _Page(service, allowed)

    @router.get(PAGE)
    async def get(request: Request, task: str = "", example: int = 1) -> Response:
        if not request.state.authorised:
            return _sign_in_page()
        chosen = shown.schema(task).task
        return shown.render(request, chosen, PageState(example_row(chosen, example - 1)))

    @router.post(PAGE)
    async def post(request: Request, task: str = "") -> Response:
        _check_same_origin(request, allowed.keys)
        schema = shown.schema(task)
        async with _form(request, max_files=1) as sent:
            match sent.get("do"):
                case "table":
                    return await shown.table(request, schema.task, sent.get("file"))
                case "download":
                    return await shown.download(request, schema.task, sent)
            return await shown.answer(request, schema, row_of(schema.task, sent))

    @router.post(SIGN_IN)
    async def sign_in(request: Request) -> Response:
        _check_same_origin(request, allowed.keys)
        async with _form(request, max_files=0) as sent:
            return _signed_in(request, allowed.keys, str(sent.get("key", "")))

    @router.post(SIGN_OUT)
    async def sign_out(request: Request) -> Response:
        _check_same_origin(request, allowed.keys)
        response = RedirectResponse("./", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    return router


class _Page:
    """The page of a service."""

    def __init__(self, service: Service, allowed: Allowed):
        self.service, self.allowed = service, allowed
        self.schemas = {task.name: task_schema(task) for task in service.tasks}

    def schema(self, name: str) -> TaskSchema:
        """Return the task of a name, the first one where none is named; raises ProblemError where there is none."""
        found = self.schemas.get(name) if name else next(iter(self.schemas.values()), None)
        if found is None:
            raise ProblemError("not-found", "The model answers no task of that name.")
        return found

    async def answer(self, request: Request, schema: TaskSchema, row: Row) -> Response:
        """Answer the question of a form, or say beside its fields what is wrong."""
        task, state, began = schema.task, PageState(row), time.perf_counter()
        body = question_body(task, row)
        request.state.questions = 1
        try:
            question = schema.question.model_validate(body)
            (found,) = await ask(
                self.service, task, schema.rows(question), lambda number, column: "#" + place_of(task, column)
            )
        except ValidationError as error:
            places = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
            self._note(request, state, task, invalid_body(places, body))
        except ProblemError as problem:
            self._note(request, state, task, problem)
        except QueueFullError as full:
            self._note(request, state, task, _queue_full(full))
        else:
            address = public_origin(request.headers, request.url.scheme)
            copied = CodeSample(address + task.address, body, bool(self.allowed.keys))
            state.answer = shown_answer(task, row, found, time.perf_counter() - began, copied)
        return self.render(request, task, state)

    async def table(self, request: Request, task: Task, file: object) -> Response:
        """Show the first rows of a table with their answers."""
        state = PageState(example_row(task, 0))
        try:
            sent = (file.filename or "", await file.read()) if isinstance(file, UploadFile) else ("", b"")
            upload = upload_of(*sent)
            state.table = await preview(self.service, task, upload)
            request.state.questions = len(state.table.first)
        except (DataError, ServerError, QueueFullError) as error:
            self._note_table(request, state, error)
        return self.render(request, task, state)

    async def download(self, request: Request, task: Task, sent: Mapping[str, Any]) -> Response:
        """Return the whole of a table with its answers."""
        state = PageState(example_row(task, 0))
        try:
            upload = decoded(str(sent.get("name", "")), str(sent.get("csv", "")))
            pieces = await answered_table(self.service, task, upload)
        except DataError as error:
            self._note_table(request, state, error)
            return self.render(request, task, state)
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        headers["Content-Disposition"] = f'attachment; filename="{_ascii(upload.out_name)}"'
        return StreamingResponse(pieces, headers=headers, media_type="text/csv; charset=utf-8")

    def render(self, request: Request, task: Task, state: PageState) -> Response:
        """Return the page of a task."""
        groups = form_groups(task, state.row, state.errors)
        return page(
            "page.html.j2",
            state.status,
            state.headers,
            model=self.service.name,
            tasks=self.service.tasks,
            task=task,
            title=task_title(task),
            task_titles={one.name: task_title(one) for one in self.service.tasks},
            groups=groups,
            wrong=[(group, one) for group in groups for one in group.fields if one.error],
            messages=state.messages,
            answer=state.answer,
            table=state.table,
            table_error=state.table_error,
            columns=needs(task),
            limits={"rows": MAX_ROWS, "mib": MAX_BYTES // 2**20, "first": FIRST_ROWS},
            signed_in=bool(self.allowed.keys),
        )

    def _note(self, request: Request, state: PageState, task: Task, problem: ProblemError) -> None:
        request.state.problem = problem.kind
        state.status, state.headers = problem.status, problem.headers or {}
        state.errors = [] if problem.kind == "no-answer" else problem.errors
        state.messages = general_errors(task, state.errors) if state.errors else [problem.detail]

    def _note_table(self, request: Request, state: PageState, error: Exception) -> None:
        problem = _queue_full(error) if isinstance(error, QueueFullError) else None
        kind = problem.kind if problem else "no-answer" if isinstance(error, ServerError) else "invalid-request"
        request.state.problem = kind
        state.status, state.headers = KINDS[kind][0], (problem.headers or {}) if problem else {}
        state.table_error = problem.detail if problem else str(error)


def task_title(task: Task) -> str:
    """Return a task's title in words."""
    return task.title.replace("_", " ")


@asynccontextmanager
async def _form(request: Request, max_files: int) -> AsyncIterator[FormData]:
    """Yield what a form sent, its files open; raises ProblemError where it cannot be read."""
    try:
        sent = await request.form(max_files=max_files, max_part_size=MAX_FIELD)
    except HTTPException as error:
        raise ProblemError("invalid-request", f"The form cannot be read: {error.detail}") from error
    try:
        yield sent
    finally:
        await sent.close()


def _queue_full(full: QueueFullError) -> ProblemError:
    wait = str(max(1, round(full.retry_after)))
    detail = f"Too many questions are waiting. Try again in {wait} seconds."
    return ProblemError("queue-full", detail, headers={"Retry-After": wait})


def _check_same_origin(request: Request, keys: Keys) -> None:
    server = (request.scope.get("server") or ("",))[0]
    if not is_same_origin(request.headers, server, bool(keys)):
        raise ProblemError(
            "forbidden",
            "This form was sent from another site, or by a name that is not this machine's. Open the page itself "
            "(http://localhost and its port, where it runs on this machine) and send the form there.",
        )


def _sign_in_page(message: str = "") -> Response:
    headers = {"WWW-Authenticate": "Bearer"}
    return page("page_sign_in.html.j2", 401, headers, message=message, action=SIGN_IN.removeprefix("/"))


def _signed_in(request: Request, keys: Keys, key: str) -> Response:
    session = keys.session(key, int(time.time()) + SESSION_SECONDS)
    if session is None:
        request.state.problem = "unauthorized"
        return _sign_in_page("This is none of the service's keys.")
    response = RedirectResponse("./", 303)
    secure = public_origin(request.headers, request.url.scheme).startswith("https:")
    response.set_cookie(COOKIE, session, SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
    return response


def _ascii(name: str) -> str:
    return name.encode("ascii", "replace").decode().replace("?", "_")
