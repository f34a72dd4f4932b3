"""Completions as servers vary them: only the content decides whether there is an answer, and a probability is that of
the token that the answer begins with, or none, which is counted."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chat_server import Body, ChatServer, serving
from ecellm.data.dataset import Dataset
from ecellm.models.base import Decoding, Failure, Reply, Request, Usage
from ecellm.models.remote.client import Server
from ecellm.models.remote.openai_compatible import OpenAIGenerator
from ecellm.tasks import TASKS
from ecellm.types import SETTINGS

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
UNTOLD = "Answers whose probability the server's log-probabilities do not tell: 1."
NONE_GIVEN = "Answers to which the server gave no log-probabilities: 1."
UNCOUNTED = "Answers whose tokens the server did not count: 1."


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with serving() as made:
        yield made


def ask(
    server: ChatServer, data: Dataset, task: str = "PM", retries: int = 0, **how: Any
) -> tuple[Reply | Failure, list[str]]:
    """The reply to one question of a task, and the remarks on it."""
    model = OpenAIGenerator("m", Server(server.url, retries=retries), Decoding(**how))
    row = data.view(SETTINGS[0], tasks=[task])[0]
    (reply,) = model.reply([Request(row, model.prompts([row])[0])])
    return reply, model.remarks()


def token(text: str, likely: dict[str, float | None] | None = None) -> Body:
    """A token; without others it is as likely as can be."""
    top = [
        {"token": one, "logprob": None if share is None else math.log(share)}
        for one, share in (likely or {text: 1.0}).items()
    ]
    return {"token": text, "logprob": 0.0, "top_logprobs": top}


def saying(content: object, tokens: list[Body], **more: object) -> Callable[[Body], Body]:
    """Put a message and its tokens in the place of a completion's."""

    def changed(made: Body) -> Body:
        message = {"role": "assistant", "content": content, **more}
        return {**made, "choices": [{"index": 0, "message": message, "logprobs": {"content": tokens}}]}

    return changed


YES = token("yes", {"yes": 0.99, "no": 0.01})
THOUGHT = [token("yes", {"no": 0.952, "yes": 0.048}), token(" or"), token(" no"), token("</think>"), token("\n\n")]
JSON = [token('{"'), token("answer"), token('": "'), YES, token('"}')]


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        ("yes", [*THOUGHT, YES]),
        ("yes", [*THOUGHT, YES, token("<|im_end|>"), token("")]),
        ("\n\nyes", [*THOUGHT, YES, token("</s>")]),
        ('{"answer": "yes"}', [*THOUGHT, *JSON]),
        ('{"answer": "yes"}', [*JSON, token("<\uff5cend\u2581of\u2581sentence\uff5c>")]),
    ],
)
def test_the_probability_is_that_of_the_token_that_says_the_answer(
    server: ChatServer, tiny_data: Dataset, content: str, tokens: list[Body]
) -> None:
    server.changed = saying(content, tokens, reasoning_content="yes or no")
    reply, remarks = ask(server, tiny_data)
    assert isinstance(reply, Reply) and reply.text == "yes"
    assert reply.probability == pytest.approx(0.99) and reply.scores == pytest.approx({"yes": 0.99, "no": 0.01})
    assert not any("probabilit" in remark for remark in remarks)


def test_a_character_may_be_divided_among_tokens(server: ChatServer, tiny_data: Dataset) -> None:
    halves = [{**token("\ufffd"), "bytes": [half]} for half in "é".encode()]
    server.changed = saying(
        '{"é": 1, "answer": "yes"}', [token('{"'), *halves, token('": 1, "answer": "'), YES, token('"}')]
    )
    reply, _ = ask(server, tiny_data, lenient=True)
    assert isinstance(reply, Reply) and reply.probability == pytest.approx(0.99)


@pytest.mark.parametrize(
    "tokens",
    [
        [*THOUGHT, token("the answer is yes, I think")],  # the reasoning alone, whose end does not spell the answer
        [token('{"answer": "'), token("no", {"yes": 0.9, "no": 0.1}), token('"}')],  # another answer's
        [token('{"answer": "'), token("yes", {"maybe": 1.0}), token('"}')],  # of no candidate
        [token('{"answer": "'), token("yes", {"yes": 0.6, "no": None}), token('"}')],  # a candidate's share not told
    ],
)
def test_no_probability_that_is_not_the_answers_and_it_is_counted(
    server: ChatServer, tiny_data: Dataset, tokens: list[Body]
) -> None:
    server.changed = saying('{"answer": "yes"}', tokens)
    reply, remarks = ask(server, tiny_data)
    assert isinstance(reply, Reply) and reply.text == "yes"
    assert reply.probability is None and reply.scores is None and remarks == [UNTOLD]


def _without(*path: object) -> Callable[[Body], Body]:
    """Take a part of a completion away; a last part `None` sets it to null."""

    def changed(made: Body) -> Body:
        inner: Any = made
        *way, last = path
        for key in way[:-1] if last is None else way:
            inner = inner[key]
        if last is None:
            inner[way[-1]] = None
        else:
            del inner[last]
        return made

    return changed


FIRST = ("choices", 0, "logprobs", "content", 12)


@pytest.mark.parametrize(
    ("changed", "probability", "usage", "remark"),
    [
        (_without("usage"), 0.75, None, UNCOUNTED),
        (_without("usage", None), 0.75, None, UNCOUNTED),
        (_without("usage", "completion_tokens"), 0.75, Usage(100, 7), None),
        (_without("usage", "prompt_tokens"), 0.75, None, UNCOUNTED),
        (_without("choices", 0, "logprobs"), None, Usage(100, 7), NONE_GIVEN),
        (_without("choices", 0, "logprobs", None), None, Usage(100, 7), NONE_GIVEN),
        (_without("choices", 0, "logprobs", "content", None), None, Usage(100, 7), NONE_GIVEN),
        (_without(*FIRST, "token"), None, Usage(100, 7), NONE_GIVEN),
        (_without(*FIRST, "top_logprobs"), None, Usage(100, 7), UNTOLD),
        (_without(*FIRST, "top_logprobs", None), None, Usage(100, 7), UNTOLD),
        (_without(*FIRST, "logprob", None), 0.75, Usage(100, 7), None),
        (_without(*FIRST, "top_logprobs", 2, "logprob", None), 0.75, Usage(100, 7), None),
        (_without(*FIRST, "top_logprobs", 1, "logprob", None), None, Usage(100, 7), UNTOLD),
    ],
)
def test_only_the_content_decides_whether_there_is_an_answer(
    server: ChatServer,
    tiny_data: Dataset,
    changed: Callable[[Body], Body],
    probability: float | None,
    usage: Usage | None,
    remark: str | None,
) -> None:
    server.changed = changed
    reply, remarks = ask(server, tiny_data, retries=6)
    assert len(server.bodies) == 1, "asked once"
    assert isinstance(reply, Reply) and reply.text == "yes" and reply.usage == usage
    assert reply.probability == (None if probability is None else pytest.approx(probability))
    assert remarks == ([] if remark is None else [remark])


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": '{"answer": '}, {"type": "text", "text": '"yes"}'}],
        [
            {"type": "thinking", "thinking": [{"type": "text", "text": "no?"}]},
            {"type": "text", "text": '{"answer": "yes"}'},
        ],
        ['{"answer": "yes"}'],
    ],
)
def test_a_content_of_parts_is_their_text(server: ChatServer, tiny_data: Dataset, content: object) -> None:
    server.changed = saying(content, JSON)
    reply, remarks = ask(server, tiny_data)
    assert isinstance(reply, Reply) and reply.text == "yes" and reply.probability == pytest.approx(0.99)
    assert remarks == []


@pytest.mark.parametrize("error", ["no GPU left", {"message": "no GPU left", "code": 503}, {"error": "no GPU left"}])
@pytest.mark.parametrize("within", ["the response", "the choice"])
def test_an_error_in_a_response_of_status_200_is_what_the_user_reads(
    server: ChatServer, tiny_data: Dataset, error: object, within: str
) -> None:
    choice = {"message": {"role": "assistant", "content": ""}, "finish_reason": "error", "error": error}
    server.changed = lambda made: {"error": error} if within == "the response" else {**made, "choices": [choice]}
    assert ask(server, tiny_data)[0] == Failure("the server returned an error: no GPU left")


@pytest.mark.parametrize(
    "body",
    [
        {"error": "the prompt has 9,000 tokens"},
        {"error": {"message": "the prompt has 9,000 tokens"}},
        {"message": "the prompt has 9,000 tokens"},
        {"detail": [{"loc": ["body"], "msg": "the prompt has 9,000 tokens"}]},
    ],
)
def test_the_reason_of_a_refusal_is_what_the_user_reads(server: ChatServer, tiny_data: Dataset, body: Body) -> None:
    server.faults = [(400, {}, body)] * 10
    assert ask(server, tiny_data)[0] == Failure("the server returned 400: the prompt has 9,000 tokens")


ANSWER = '{"answer": "yes"}'
FENCED, THINKING = f"```json\n{ANSWER}\n```", f"<think>\nA red mug? no.\n</think>\n\n{ANSWER}"
MORE_KEYS = '{"reason": "\\"answer\\": no", "answer": "yes"}'


@pytest.mark.parametrize(
    ("content", "strict", "lenient"),
    [
        (FENCED, "Answers in a code fence or behind thinking", "Answers unwrapped from a code fence or thinking"),
        (THINKING, "Answers in a code fence or behind thinking", "Answers unwrapped from a code fence or thinking"),
        (MORE_KEYS, None, "Answers taken from an object with more keys"),
    ],
    ids=["fence", "thinking", "more keys"],
)
def test_what_strict_parsing_refuses_is_kept_and_lenient_parsing_unwraps(
    server: ChatServer, tiny_data: Dataset, content: str, strict: str | None, lenient: str
) -> None:
    before, _, after = content.rpartition("yes")
    server.changed = saying(content, [token(before), YES, token(after)])
    reply, remarks = ask(server, tiny_data)
    assert isinstance(reply, Reply) and reply.text == content and reply.probability is None
    assert remarks == [*([f"{strict}: 1."] if strict else []), "Answers not in the requested form: 1."]
    reply, remarks = ask(server, tiny_data, lenient=True)
    assert isinstance(reply, Reply) and reply.text == "yes" and reply.probability == pytest.approx(0.99)
    assert remarks == [f"{lenient}: 1."]


@pytest.mark.parametrize("task", ["PM", "SA", "SR", "QPR", "AVE", "AG"])
@pytest.mark.parametrize(
    "value", ['["no"]', '[{"x": 1}]', '{"yes": true}', "1", "null", "[[]]", '"yes", "answer": "no"'], ids=str
)
def test_an_answer_of_another_form_is_no_answer_and_ends_nothing(
    server: ChatServer, tiny_data: Dataset, task: str, value: str
) -> None:
    content = f'{{"answer": {value}}}'
    server.changed = saying(content, [token(content)])
    reply, remarks = ask(server, tiny_data, task)
    row = tiny_data.view(SETTINGS[0], tasks=[task])[0].example
    assert isinstance(reply, Reply) and reply.probability is None
    if task != "AG":  # whose answers are any text
        assert TASKS[task].answer.parse(reply.text, row) is None
    if reply.text == content and task != "AG":
        assert "Answers not in the requested form: 1." in remarks


def test_a_body_that_is_not_compressed_as_it_says_is_asked_for_again(server: ChatServer, tiny_data: Dataset) -> None:
    packed = {"Content-Encoding": "gzip"}
    server.faults = [(200, dict(packed), {"choices": []})]
    assert isinstance(ask(server, tiny_data, retries=1)[0], Reply)
    server.faults = [(code, dict(packed), "not compressed") for code in (200, 400, 500) for _ in range(2)]
    for _ in range(3):
        reply, _ = ask(server, tiny_data)
        assert isinstance(reply, Failure) and "Content-Encoding" in reply.reason


def test_a_free_text_loses_its_thinking_where_parsing_is_lenient(server: ChatServer, tiny_data: Dataset) -> None:
    server.say = lambda body: "<think>red or blue?</think>It is red."
    assert ask(server, tiny_data, "AG")[1] == ["Answers in a code fence or behind thinking: 1."]
    reply, _ = ask(server, tiny_data, "AG", lenient=True)
    assert isinstance(reply, Reply) and reply.text == "It is red."


def test_lenient_parsing_is_part_of_the_record() -> None:
    assert str(Decoding(lenient=True)) == f"{Decoding()}, lenient" and "lenient" not in str(Decoding())
