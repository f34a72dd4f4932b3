"""`/v1/classify` in Jina's form: texts with their classes, by a task that puts one text into fixed classes."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, create_model

from ecellm.inference.row_questions import Answer
from ecellm.serving.problems import FieldError, ProblemError
from ecellm.serving.schemas import MAX_QUESTIONS, OBJECT, TEXT, NeededText, choices, text_or_object
from ecellm.serving.service import Service
from ecellm.serving.task_endpoints import ask
from ecellm.tasks import Task


class ClassifyItem(BaseModel):
    """A text to classify."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[NeededText, Field(description="The text.")]


Item = Annotated[
    Annotated[NeededText, Tag(TEXT)] | Annotated[ClassifyItem, Tag(OBJECT)], Discriminator(text_or_object)
]


class ClassifyRequest(BaseModel):
    """Texts to classify."""

    model_config = ConfigDict(
        extra="forbid", strict=True, json_schema_extra={"examples": [{"input": ["The lid leaks."]}]}
    )

    model: Annotated[str | None, Field(max_length=200, description="Not read: the service has one model.")] = None
    input: Annotated[
        list[Item], Field(min_length=1, max_length=MAX_QUESTIONS, description="Texts, or objects with a `text`.")
    ]
    labels: Annotated[
        list[str] | None,
        Field(max_length=100, description="The classes, if given, must be all of the task's: it knows no others."),
    ] = None


class Label(BaseModel):
    """A class and its probability."""

    label: str
    score: float


class Classified(BaseModel):
    """The class of one text."""

    object: Literal["classification"] = "classification"
    index: Annotated[int, Field(description="Of the text in the request, from 0.")]
    prediction: Annotated[str | None, Field(description="The class; null where the completion cannot be parsed.")]
    score: Annotated[float | None, Field(description="Its probability; null where the model has none.")]
    predictions: Annotated[list[Label], Field(description="All classes, the likeliest first.")]


class ClassifyResponse(BaseModel):
    """The classes of the texts, in their order."""

    model: str
    task: Annotated[str, Field(description="The task of the question.")]
    data: list[Classified]


def classify_router(service: Service) -> APIRouter:
    """Return the endpoint, where the model answers a task that it can go by."""
    router = APIRouter(tags=["conventions"])
    tasks = {task.name: task for task in service.tasks if choices(task) and len(task.form.columns) == 1}
    if not tasks:
        return router
    first = next(iter(tasks))
    chosen = Field(description="The task that names the classes: " + "; ".join(map(_classes, tasks.values())) + ".")
    # What is made while the program runs is no type to a type checker.
    names: Any = Literal[tuple(tasks)]
    form: Any = create_model("ClassifyTaskRequest", __base__=ClassifyRequest, task=(Annotated[names, chosen], first))

    async def classify(request: Request, body: Any) -> ClassifyResponse:
        task = tasks[body.task]
        known = choices(task)
        if body.labels is not None and set(body.labels) != set(known):
            detail = f"{task.name} knows these classes and no others: {', '.join(known)}."
            raise ProblemError("invalid-request", detail, [FieldError(pointer="#/labels", detail=detail)])
        (column,) = task.form.columns
        rows = [{column.name: one if isinstance(one, str) else one.text} for one in body.input]
        request.state.questions = len(rows)
        answers = await ask(service, task, rows, lambda number, name: f"#/input/{number}")
        data = [_classified(number, answer) for number, answer in enumerate(answers)]
        return ClassifyResponse(model=service.name, task=task.name, data=data)

    classify.__annotations__["body"] = form
    router.add_api_route(
        "/v1/classify",
        classify,
        methods=["POST"],
        summary="The classes of texts",
        description="In the form of Jina, for the classes that the model was tuned on.",
    )
    return router


def _classes(task: Task) -> str:
    return f"{task.name} ({', '.join(choices(task))})"


def _classified(number: int, answer: Answer[object]) -> Classified:
    likely = sorted((answer.probabilities or {}).items(), key=lambda pair: -pair[1])
    return Classified(
        index=number,
        prediction=None if answer.answer is None else str(answer.answer),
        score=answer.probability,
        predictions=[Label(label=label, score=score) for label, score in likely],
    )
