"""An endpoint for each task, made of its definition: a task that is added has one at once."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from ecellm.errors import ConfigError, EcellmError, ServerError
from ecellm.inference.row_questions import Answer, row_question
from ecellm.models.remote.service_form import MODEL_HEADER, hash_of
from ecellm.serving.problems import FieldError, ProblemError, several_invalid
from ecellm.serving.schemas import Row, TaskSchema, choices, place_of, task_schema
from ecellm.serving.service import Service
from ecellm.serving.worker import TaskQuestion
from ecellm.tasks import Task

#: Rows that are made into questions at a time, so that the event loop goes on meanwhile.
ROWS_AT_ONCE = 50
#: From the number of a row and a column's name (or none) to where it stands in the request.
Place = Callable[[int, str], str]


class AnswerResponse(JSONResponse):
    """Answers as JSON in UTF-8; half of a surrogate pair, which a model may write in an escape, becomes a ?."""

    def render(self, content: object) -> bytes:
        """Return the body."""
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def task_router(service: Service) -> APIRouter:
    """Return the endpoints of a service's tasks."""
    router = APIRouter()
    addresses = Counter(task.address for task in service.tasks)
    twice = [address for address, number in addresses.items() if number > 1]
    if twice:
        raise ConfigError(f"Two tasks have the address {twice[0]}: give one of them another endpoint.")
    for task in service.tasks:
        schema = task_schema(task)
        router.add_api_route(
            task.address,
            _endpoint(service, schema),
            methods=["POST"],
            name=task.name,
            summary=f"{task.name}: {task.title.replace('_', ' ').lower()}",
            description=_description(task),
            response_model=schema.answer | schema.answers,
            tags=["tasks"],
        )
    return router


def _endpoint(service: Service, schema: TaskSchema) -> Callable[..., Awaitable[Response]]:
    async def endpoint(request: Request, body: BaseModel) -> Response:
        several = isinstance(body, schema.questions)
        rows = schema.rows(body)

        def place(number: int, column: str) -> str:
            return (f"#/questions/{number}" if several else "#") + place_of(schema.task, column)

        request.state.questions = len(rows)
        before = hash_of(service.identity)
        found = [asdict(answer) for answer in await ask(service, schema.task, rows, place)]
        after = hash_of(service.identity)
        # Of a request during which the model was exchanged, some answers may be of either.
        marked = before if before == after else f"{before}, {after}"
        return AnswerResponse({"answers": found} if several else found[0], headers={MODEL_HEADER: marked})

    endpoint.__annotations__["body"] = schema.body
    return endpoint


async def ask(service: Service, task: Task, rows: Sequence[Row], place: Place) -> list[Answer[object]]:
    """Answer rows of a task, in order.

    Raises ProblemError naming the rows that are no valid question, or to which there is no answer.
    """
    items, errors = [], []
    for number, row in enumerate(rows):
        if number % ROWS_AT_ONCE == ROWS_AT_ONCE - 1:
            await asyncio.sleep(0)
        try:
            items.append(TaskQuestion(task, row_question(task, row, str(number))))
        except EcellmError as error:
            errors.append(_field_error(number, error, place))
    if errors:
        raise several_invalid(errors)
    service.metrics.questions.labels(task.name).inc(len(items))
    return _all_answered(await service.answer(items), place)


def _all_answered(found: Sequence[Answer[object] | Exception], place: Place) -> list[Answer[object]]:
    failed = [(number, one) for number, one in enumerate(found) if isinstance(one, Exception)]
    for _, error in failed:
        if not isinstance(error, EcellmError):
            raise error
    wrong = [_field_error(number, error, place) for number, error in failed if not isinstance(error, ServerError)]
    if wrong:
        raise several_invalid(wrong)
    if failed:
        raise ProblemError(
            "no-answer", str(failed[0][1]), [_field_error(number, error, place) for number, error in failed]
        )
    return [one for one in found if not isinstance(one, Exception)]


def _field_error(number: int, error: Exception, place: Place) -> FieldError:
    """Return the error of a row: a sentence about a column begins with its name."""
    return FieldError(pointer=place(number, str(error).partition(" ")[0]), detail=str(error))


def _description(task: Task) -> str:
    known = choices(task)
    answers = f" The answer is one of: {', '.join(known)}." if known else ""
    return (
        f"The instruction: {task.seed_instruction}{answers} The body is one question, or several as `questions`, "
        "which come back as `answers` in their order."
    )
