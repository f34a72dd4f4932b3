"""`/v1/models` and `/v1/chat/completions` in OpenAI's form, streamed as server-sent events where that is wanted.

What would change a completion and is not supported is refused, never ignored: `response_format` other than text, for
one, as nothing here keeps a free text to a schema.
"""

import asyncio
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response, StreamingResponse

from ecellm.errors import DataError, ModelError
from ecellm.models.base import Chat, ChatReply, Chatting, Decoding, Message, Usage
from ecellm.serving.problems import ProblemError
from ecellm.serving.schemas import MAX_TEXT
from ecellm.serving.service import Service

MAX_MESSAGES, MAX_STOPS, MAX_NEW_TOKENS = 200, 4, 4096
Text = Annotated[str, Field(max_length=MAX_TEXT)]


class Part(BaseModel):
    """A part of a message's content."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    """A message."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[Text | list[Part], Field(description="A text, or its parts.")]
    name: Annotated[str | None, Field(max_length=100, description="Not read.")] = None


class ResponseFormat(BaseModel):
    """The form of the completion."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[str, Field(max_length=50, description="text; json_object and json_schema are refused.")]


class StreamOptions(BaseModel):
    """What a stream has beside the completion."""

    model_config = ConfigDict(extra="ignore")

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A chat to complete."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"model": "MODEL", "messages": [{"role": "user", "content": "Hello!"}]}]},
    )

    model: Annotated[str, Field(max_length=300, description="As /v1/models names it.")]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    temperature: Annotated[float | None, Field(ge=0, le=2, description="0, unless given: greedy.")] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    max_tokens: Annotated[int | None, Field(ge=1, le=MAX_NEW_TOKENS)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1, le=MAX_NEW_TOKENS)] = None
    stop: (
        Annotated[str, Field(min_length=1, max_length=100)]
        | Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=MAX_STOPS)]
        | None
    ) = None
    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**63, description="Of sampling; drawn, unless given.")] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    n: Annotated[Literal[1] | None, Field(description="One completion at a time.")] = None
    logprobs: Literal[False] | None = None
    presence_penalty: Annotated[float | None, Field(ge=0, le=0)] = None
    frequency_penalty: Annotated[float | None, Field(ge=0, le=0)] = None
    user: Annotated[str | None, Field(max_length=500, description="Not read.")] = None
    metadata: Annotated[dict[str, str] | None, Field(description="Not read.")] = None
    store: Annotated[Literal[False] | None, Field(description="Nothing is stored.")] = None


@dataclass(frozen=True)
class _Head:
    """What every object of one completion begins with."""

    id: str
    created: int
    model: str

    def __call__(self, kind: str, choice: dict[str, object] | None, usage: Usage | None = None) -> dict[str, object]:
        made: dict[str, object] = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        made["choices"] = [] if choice is None else [{"index": 0, "logprobs": None, **choice}]
        if usage is not None:
            total = usage.prompt + usage.written
            made["usage"] = {
                "prompt_tokens": usage.prompt,
                "completion_tokens": usage.written,
                "total_tokens": total,
            }
        return made


def chat_router(service: Service, max_new_tokens: int) -> APIRouter:
    """Return the endpoints; a completion has `max_new_tokens` at most unless it asks for another number."""
    router = APIRouter(tags=["OpenAI"])

    def described() -> dict[str, Any]:
        own = {"id": service.name, "object": "model", "created": service.began, "owned_by": "ecellm"}
        return {**own, "identity": service.identity}

    @router.get("/v1/models", summary="The model that is served")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [described()]}

    @router.get("/v1/models/{model:path}", summary="A model by name")
    async def model(model: str) -> dict[str, Any]:
        _check_model(service, model)
        return described()

    @router.post(
        "/v1/chat/completions",
        summary="Complete a chat",
        description="In OpenAI's form, by language models that have a chat template; XS and baselines refuse.",
        response_model=None,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def completions(request: Request, body: ChatRequest) -> Response:
        _check_model(service, body.model)
        _check_supported(service, body)
        head = _Head("chatcmpl-" + secrets.token_hex(12), int(time.time()), service.name)
        going = _Going(service, body, max_new_tokens)
        try:
            if not body.stream:
                return JSONResponse(_whole(head, await going.reply()))
            await going.begin()
        except BaseException as error:
            going.stop()
            raise _as_problem(error) from error
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        return StreamingResponse(_events(head, going, with_usage), media_type="text/event-stream")

    return router


class _Going:
    """A chat completion whose pieces reach the event loop."""

    def __init__(self, service: Service, body: ChatRequest, max_new_tokens: int):
        loop = asyncio.get_running_loop()
        self.pieces: asyncio.Queue[str | None] = asyncio.Queue()
        """Pieces of the completion; None after the last one."""
        self._gone = threading.Event()

        def on_text(piece: str) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self.pieces.put_nowait, piece)

        chat = _chat_of(body, max_new_tokens, on_text if body.stream else None, self._gone)
        self._task = asyncio.create_task(service.chat(chat))
        self._task.add_done_callback(lambda task: self.pieces.put_nowait(None))

    async def begin(self) -> None:
        """Wait for the first piece or the end; raises what keeps the chat from being answered."""
        first = await self.pieces.get()
        if first is None:
            await self._task
        # Nothing else takes from the queue yet.
        rest = [self.pieces.get_nowait() for _ in range(self.pieces.qsize())]
        for piece in (first, *rest):
            self.pieces.put_nowait(piece)

    async def reply(self) -> ChatReply:
        """Wait for the whole completion."""
        return await self._task

    def stop(self) -> None:
        """Have the model leave off: nobody waits any more."""
        self._gone.set()
        self._task.cancel()


def _chat_of(body: ChatRequest, max_new_tokens: int, on_text: Any, gone: threading.Event) -> Chat:
    most = body.max_completion_tokens or body.max_tokens or max_new_tokens
    seed = secrets.randbits(32) if body.seed is None else abs(body.seed)
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    decoding = Decoding(
        temperature=body.temperature or 0.0,
        top_p=1.0 if body.top_p is None else body.top_p,
        seed=seed,
        max_new_tokens=most,
    )
    return Chat([_message(one) for one in body.messages], decoding, stop, on_text, gone.is_set)


def _message(message: ChatMessage) -> Message:
    content = message.content
    text = content if isinstance(content, str) else "".join(part.text for part in content)
    return Message("system" if message.role == "developer" else message.role, text)


def _check_model(service: Service, name: str) -> None:
    if name != service.name:
        detail = f"The service's model is {service.name}: name it, or ask /v1/models."
        raise ProblemError("not-found", detail, code="model_not_found")


def _check_supported(service: Service, body: ChatRequest) -> None:
    """Raise ProblemError for what the model cannot do, rather than do something else."""
    if service.worker is not None and not isinstance(service.worker.generator, Chatting):
        detail = f"{service.name} is no language model, so it cannot chat: ask the addresses of its tasks."
        raise ProblemError("unsupported-by-model", detail, code="unsupported_model")
    if body.response_format is not None and body.response_format.type != "text":
        detail = f"response_format {body.response_format.type!r} is not supported: nothing would keep the text to it."
        raise ProblemError("unsupported-by-model", detail, code="unsupported_parameter")


def _as_problem(error: BaseException) -> BaseException:
    """Return the problem that an error of a chat is, or the error itself."""
    if isinstance(error, ModelError):
        return ProblemError("unsupported-by-model", str(error), code="unsupported_model")
    if isinstance(error, DataError):
        return ProblemError("invalid-request", str(error), code="invalid_messages")
    return error


def _whole(head: _Head, reply: ChatReply) -> dict[str, object]:
    message = {"role": "assistant", "content": reply.text, "refusal": None}
    return head("chat.completion", {"message": message, "finish_reason": reply.finish}, reply.usage)


async def _events(head: _Head, going: _Going, with_usage: bool) -> AsyncIterator[str]:
    """Yield a completion as server-sent events; where its client goes away, the model leaves off."""

    def event(delta: dict[str, str], finish: str | None = None) -> str:
        return _event(head("chat.completion.chunk", {"delta": delta, "finish_reason": finish}))

    try:
        yield event({"role": "assistant", "content": ""})
        while (piece := await going.pieces.get()) is not None:
            yield event({"content": piece})
        try:
            reply = await going.reply()
        except Exception as error:
            yield _event({"error": {"message": "The completion broke off.", "type": "server_error"}})
            raise error
        yield event({}, reply.finish)
        if with_usage:
            yield _event(head("chat.completion.chunk", None, reply.usage))
        yield "data: [DONE]\n\n"
    finally:
        going.stop()


def _event(content: object) -> str:
    return f"data: {json.dumps(content)}\n\n"
