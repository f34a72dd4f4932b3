"""Chat completions in OpenAI's form: against the model's own writing, streamed, stopped, sampled and refused."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
import torch

from ecellm.models.base import Chat, Decoding, Generator, Message
from ecellm.models.load import load_generator
from ecellm.models.transformers.generator import TransformersGenerator
from ecellm.serving.app import create_app
from ecellm.serving.service import Loaded, Service
from served import asking, gathered, run, service_of
from tiny_models import save_tiny

PICTURE = [{"type": "image_url"}]
MESSAGES = [{"role": "user", "content": "a blue steel mug, yes or no"}]


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return load_generator(save_tiny("llama", tmp_path_factory.mktemp("chat") / "llama"), device="cpu")


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return load_generator(save_tiny("t5", tmp_path_factory.mktemp("chat") / "t5"), device="cpu")


def served(generator: Generator) -> Service:
    """A service without tasks, which answers chats alone."""
    return Service("tiny", (), lambda: Loaded(generator, ()))


def chat(generator: Generator, **more: Any) -> httpx2.Response:
    async def ask() -> httpx2.Response:
        async with asking(service=served(generator)) as client:
            return await client.post("/v1/chat/completions", json={"model": "tiny", "messages": MESSAGES, **more})

    return run(ask())


def greedy(generator: Generator, tokens: int) -> tuple[str, int]:
    """What transformers' own generation writes, and the tokens of the prompt."""
    assert isinstance(generator, TransformersGenerator)
    prompt = generator.chat_prompt(Chat([Message("user", MESSAGES[0]["content"])], Decoding()))
    ids = torch.tensor([prompt])
    out = generator.model.generate(ids, max_new_tokens=tokens, do_sample=False, attention_mask=torch.ones_like(ids))
    new = out[0, 1:] if generator.model.config.is_encoder_decoder else out[0, len(prompt) :]
    return str(generator.tokenizer.decode(new, skip_special_tokens=True)), len(prompt)


@pytest.mark.parametrize("family", ["causal", "seq2seq"])
def test_a_completion_is_what_the_model_writes_greedily(family: str, request: pytest.FixtureRequest) -> None:
    generator = request.getfixturevalue(family)
    text, read = greedy(generator, 12)
    made = chat(generator, max_tokens=12)
    assert made.status_code == 200, made.text
    (choice,) = made.json()["choices"]
    assert choice["message"]["role"] == "assistant" and choice["message"]["content"] == text
    usage = made.json()["usage"]
    assert usage["prompt_tokens"] == read and usage["total_tokens"] == read + usage["completion_tokens"]
    assert choice["finish_reason"] == ("length" if usage["completion_tokens"] == 12 else "stop")


def events(reply: httpx2.Response) -> list[dict[str, Any]]:
    assert reply.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in reply.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_a_stream_has_the_same_text_in_pieces(causal: Generator) -> None:
    whole = chat(causal, max_tokens=30).json()
    found = events(chat(causal, max_tokens=30, stream=True, stream_options={"include_usage": True}))
    assert found[0]["choices"][0]["delta"]["role"] == "assistant"
    pieces = [one["choices"][0]["delta"].get("content", "") for one in found[:-1]]
    assert len(pieces) > 3
    assert "".join(pieces) == whole["choices"][0]["message"]["content"]
    assert found[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert found[-1]["choices"] == [] and found[-1]["usage"] == whole["usage"]
    assert {one["object"] for one in found} == {"chat.completion.chunk"}


def test_a_completion_ends_before_a_stop_text_streamed_or_not(causal: Generator) -> None:
    text = chat(causal, max_tokens=40).json()["choices"][0]["message"]["content"]
    stop = text[10:14]
    expected = text[: text.index(stop)]
    made = chat(causal, max_tokens=40, stop=[stop, "never there"]).json()["choices"][0]
    assert (made["message"]["content"], made["finish_reason"]) == (expected, "stop")
    found = events(chat(causal, max_tokens=40, stop=stop, stream=True))
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in found) == expected


def test_sampling_follows_its_seed_and_not_its_batch(causal: Generator) -> None:
    bodies = [
        {"model": "tiny", "messages": MESSAGES, "max_tokens": 15, "temperature": 1, "seed": seed} for seed in range(6)
    ]

    async def ask() -> list[list[str]]:
        async with asking(service=served(causal)) as client:

            def texts(replies: list[httpx2.Response]) -> list[str]:
                return [reply.json()["choices"][0]["message"]["content"] for reply in replies]

            post: Callable[[Any], Any] = lambda body: client.post("/v1/chat/completions", json=body)  # noqa: E731
            together = texts(await gathered(*map(post, bodies)))
            return [together, texts([await post(body) for body in bodies])]

    together, alone = run(ask())
    assert together == alone and len(set(alone)) > 3


@pytest.mark.parametrize(
    ("more", "status", "code", "param"),
    [
        ({"model": "gpt-4"}, 404, "model_not_found", None),
        ({"response_format": {"type": "json_object"}}, 400, "unsupported_parameter", None),
        ({"n": 2}, 422, None, "n"),
        ({"tools": [{"type": "function"}]}, 422, None, "tools"),
        ({"messages": []}, 422, None, "messages"),
        ({"messages": [{"role": "user", "content": "mug " * 3000}]}, 422, "invalid_messages", None),
        ({"temperature": 3}, 422, None, "temperature"),
        ({"stop": ["a", ""]}, 422, None, "stop.1"),
        ({"messages": [{"role": "user", "content": PICTURE}]}, 422, None, "messages.0.content.0.type"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_has_openais_form_and_is_a_problem(
    causal: Generator, more: dict[str, Any], status: int, code: str | None, param: str | None, stream: bool
) -> None:
    refused = chat(causal, stream=stream, **more)
    assert refused.status_code == status, refused.text
    error = refused.json()["error"]
    assert error["code"] == code and error["param"] == param
    assert error["message"] == refused.json()["detail"] and refused.json()["status"] == status


def test_xs_says_that_it_cannot_chat(xs: Generator) -> None:
    async def ask() -> list[Any]:
        async with asking(service=service_of(xs)) as client:
            models = (await client.get("/v1/models")).json()
            one = (await client.get("/v1/models/tiny")).json()
            none = (await client.get("/v1/models/other")).status_code
            refused = await client.post("/v1/chat/completions", json={"model": "tiny", "messages": MESSAGES})
            return [models, one, none, refused.status_code, refused.json()["error"]]

    models, one, none, status, error = run(ask())
    assert models["data"] == [one] and one["id"] == "tiny" and none == 404
    assert status == 400 and "no language model" in error["message"] and error["code"] == "unsupported_model"


def test_a_model_without_a_chat_template_says_so(causal: Generator) -> None:
    assert isinstance(causal, TransformersGenerator)
    template, causal.tokenizer.chat_template = causal.tokenizer.chat_template, None
    try:
        refused = chat(causal)
    finally:
        causal.tokenizer.chat_template = template
    assert refused.status_code == 400 and "no chat template" in refused.json()["detail"]


def test_a_model_leaves_off_where_nobody_waits(causal: Generator) -> None:
    """A stream that is closed after its first event ends the writing."""
    assert isinstance(causal, TransformersGenerator)
    service = served(causal)
    app = create_app(service)
    passes: list[int] = []
    counting = causal.model.register_forward_hook(lambda *_: passes.append(1))
    body = json.dumps({"model": "tiny", "messages": MESSAGES, "max_tokens": 400, "stream": True}).encode()

    async def ask() -> None:
        await service.start()
        gone = asyncio.Event()
        messages: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body":
                gone.set()

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
        await app(
            {**scope, "query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": ""}, receive, send
        )
        assert not any(b"[DONE]" in message.get("body", b"") for message in sent)
        await service.drain(10)

    try:
        run(ask())
    finally:
        counting.remove()
    assert service.under_way == 0 and 0 < len(passes) < 300


def test_the_official_client_asks_lists_and_streams(causal: Generator) -> None:
    async def ask() -> None:
        async with asking(service=served(causal)) as plain:
            client = openai.AsyncOpenAI(
                base_url="http://service/v1", api_key="none", max_retries=0, http_client=plain
            )
            assert [one.id async for one in await client.models.list()] == ["tiny"]
            made = await client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=8)  # type: ignore[call-overload]
            pieces = ""
            stream = await client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=8, stream=True)  # type: ignore[call-overload]
            async for chunk in stream:
                pieces += chunk.choices[0].delta.content or ""
            assert pieces == made.choices[0].message.content and made.usage.completion_tokens <= 8
            with pytest.raises(openai.NotFoundError, match="name it"):
                await client.chat.completions.create(model="other", messages=MESSAGES)  # type: ignore[call-overload]

    run(ask())
