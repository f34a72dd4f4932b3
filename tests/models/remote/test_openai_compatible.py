"""Asking a server: what it is sent, what is made of its answers, and what happens when it fails or refuses."""

import builtins
import gc
import json
import math
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice, pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from chat_server import CUT, DRIP, GARBAGE, NO_CHOICES, SLOW, Body, ChatServer, refusing, serving
from ecellm.data.dataset import Dataset
from ecellm.errors import ConfigError, ModelError, ServerError
from ecellm.models.base import Decoding, Failure, Reply, Request, Usage
from ecellm.models.load import load_generator
from ecellm.models.remote.client import Server
from ecellm.models.remote.common import candidate_of, shares
from ecellm.models.remote.completions import first_tokens, read_completion
from ecellm.models.remote.cost import Prices, estimate
from ecellm.models.remote.openai_compatible import OpenAIGenerator
from ecellm.models.remote.request_form import SYSTEM
from ecellm.tasks import TASKS
from ecellm.types import SETTINGS

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
KEY = "sk-very-secret-0123456789"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with serving() as made:
        yield made


def generator(server: ChatServer, *, decoding: Decoding | None = None, **how: Any) -> OpenAIGenerator:
    made = load_generator("openai:m", decoding, server=Server(server.url, **{"retries": 1, **how}))
    assert isinstance(made, OpenAIGenerator)
    return made


def requests_for(data: Dataset, model: OpenAIGenerator, *tasks: str, setting: str = SETTINGS[0]) -> list[Request]:
    rows = data.view(setting, tasks=tasks or None)
    return [Request(row, prompt) for row, prompt in zip(rows, model.prompts(rows), strict=True)]


def test_a_question_is_a_chat_with_our_system_message_and_one_shot_by_the_setting(
    server: ChatServer, tiny_data: Dataset
) -> None:
    model = generator(server)
    zero = requests_for(tiny_data, model, "SA", setting=SETTINGS[1])[0]
    one = requests_for(tiny_data, model, "SA", setting=SETTINGS[3])[0]
    for request in (zero, one):
        model.reply([request])
        example = request.question.example
        system, user = server.bodies[-1]["messages"]
        assert system == {"role": "system", "content": SYSTEM} and user["role"] == "user"
        assert user["content"].startswith(request.question.instruction + "\n\n")
        assert user["content"].endswith(f"{example.input}\n\n{example.options}")
    assert zero.question.shot is None and one.question.shot is not None
    assert one.question.shot.input in one.prompt.text and f"Answer: {one.question.shot.output}" in one.prompt.text
    assert server.bodies[-1]["model"] == "m" and server.keys == [f"Bearer {KEY}"] * 2


def test_multiple_choice_questions_request_their_candidates_and_get_one_with_a_probability(
    server: ChatServer, tiny_data: Dataset
) -> None:
    model = generator(server)
    requests = requests_for(tiny_data, model)
    for request, reply in zip(requests, model.reply(requests), strict=True):
        assert isinstance(reply, Reply)
        example = request.question.example
        task = TASKS[example.task]
        body = next(one for one in server.bodies if one["messages"][-1]["content"] == request.prompt.text)
        assert body["temperature"] == 0 and "seed" not in body and "top_p" not in body
        if example.task == "AG":
            assert reply.text == "yes" and "response_format" not in body and "logprobs" not in body
            continue
        form = body["response_format"]["json_schema"]
        assert form["strict"] and form["schema"]["required"] == ["answer"]
        assert task.answer.parse(reply.text, example) is not None
        candidates = task.answer.candidates(example)
        assert (body.get("top_logprobs") == 20) == (example.task in ("PM", "SA", "SR"))
        if example.task in ("PM", "SA", "SR"):
            assert form["schema"]["properties"]["answer"]["enum"] == list(candidates)
            assert reply.text == candidates[0] and reply.probability == pytest.approx(0.75)
            assert reply.scores is not None and list(reply.scores) == list(candidates)
            assert list(reply.scores.values()) == pytest.approx([0.75, 0.25, *[0.0] * (len(candidates) - 2)])
        else:
            assert reply.probability is None
        assert body["max_tokens"] == (200 if example.task == "AVE" else 100)  # two attributes
    assert model.remarks() == []


def test_free_decoding_is_plain_writing_and_sampled_by_a_seed_of_the_question(
    server: ChatServer, tiny_data: Dataset
) -> None:
    how = Decoding(free=True, temperature=0.15, top_p=0.95, seed=3)
    model = generator(server, decoding=how)
    requests = requests_for(tiny_data, model, "PM", "AG")
    model.reply(requests)
    seeds = {body["messages"][-1]["content"]: body["seed"] for body in server.bodies}
    for body in server.bodies:
        assert (body["temperature"], body["top_p"]) == (0.15, 0.95)
        assert "response_format" not in body and "logprobs" not in body
    assert len(set(seeds.values())) == len(requests)
    server.bodies.clear()
    model.reply(requests[::-2])  # others, in another order: the same seeds
    assert {body["messages"][-1]["content"]: body["seed"] for body in server.bodies}.items() <= seeds.items()
    server.bodies.clear()
    generator(server, decoding=Decoding(free=True, temperature=0.15, seed=4)).reply(requests)
    assert all(seeds[body["messages"][-1]["content"]] != body["seed"] for body in server.bodies)


def test_a_choice_is_not_sampled(server: ChatServer, tiny_data: Dataset) -> None:
    model = generator(server, decoding=Decoding(temperature=1.0))
    model.reply(requests_for(tiny_data, model, "PM"))
    assert {body["temperature"] for body in server.bodies} == {0.0}


@pytest.mark.parametrize("said_which", [True, False])
@pytest.mark.parametrize("refused", [("logprobs",), ("response_format",), ("logprobs", "response_format")])
def test_what_a_server_refuses_is_left_out_and_said(
    server: ChatServer, tiny_data: Dataset, refused: tuple[str, ...], said_which: bool
) -> None:
    server.refused = refusing(refused, said_which)
    model = generator(server, concurrency=1)
    requests = requests_for(tiny_data, model, "PM", "SA")
    replies = model.reply(requests)
    assert all(isinstance(reply, Reply) for reply in replies)
    for name in ("logprobs", "response_format"):
        named = [remark for remark in model.remarks() if f"refused {name} for PM, SA: 6 answers" in remark]
        assert bool(named) == (name in refused)
        assert all((name in body) == (name not in refused) for body in server.bodies[-2:])
    for request, reply in zip(requests, replies, strict=True):
        if request.question.example.task == "PM":
            assert (reply.probability is None) == ("logprobs" in refused)
    # Once a task's requests are known, no more are refused.
    server.bodies.clear()
    model.reply(requests)
    assert len(server.bodies) == len(requests)


def test_a_server_that_wants_other_names_gets_them(server: ChatServer, tiny_data: Dataset) -> None:
    server.refused = refusing(("max_tokens", "temperature", "logprobs"))
    model = generator(server, concurrency=1)
    assert isinstance(model.reply(requests_for(tiny_data, model, "PM"))[-1], Reply)
    body = server.bodies[-1]
    assert body["max_completion_tokens"] == 100 and "response_format" in body
    assert not {"max_tokens", "temperature", "logprobs"} & set(body)
    assert any("refused temperature for PM: 3 answers" in remark for remark in model.remarks())


def test_a_refusal_is_found_out_for_each_form_of_a_tasks_requests(server: ChatServer, tiny_data: Dataset) -> None:
    server.refused = refusing(("logprobs",))
    model = generator(server, concurrency=1)
    # The first letter does not determine the order: no probability is requested.
    three = requests_for(tiny_data, model, "QPR")[0]
    pair = json.dumps({"query": "mug", "product list": ["A: blue mug", "B: rug"]})
    one = replace(three.question, example=replace(three.question.example, input=pair))
    two = Request(one, model.prompts([one])[0])
    assert [isinstance(reply, Reply) for reply in model.reply([three, two])] == [True, True]
    assert ["logprobs" in body for body in server.bodies] == [False, True, False]


def test_a_question_that_is_refused_itself_fails_alone(server: ChatServer, tiny_data: Dataset) -> None:
    model = generator(server, concurrency=1)
    requests = requests_for(tiny_data, model, "PM")
    worst = requests[0].prompt.text

    def refused(body: Body) -> str | None:
        return "too long" if body["messages"][-1]["content"] == worst else None

    server.refused = refused
    replies = model.reply(requests)
    assert replies[0] == Failure("the server returned 400: too long")
    assert all(isinstance(reply, Reply) and reply.probability is not None for reply in replies[1:])
    assert model.remarks() == []
    server.bodies.clear()
    assert isinstance(model.reply(requests[:1])[0], Failure)
    assert len(server.bodies) == 1  # no guesses at what else may be wrong: the others' requests were taken


def test_a_server_that_takes_no_notice_of_the_form_is_found_out(server: ChatServer, tiny_data: Dataset) -> None:
    server.say = lambda body: " Yes.\n"
    model = generator(server)
    requests = requests_for(tiny_data, model, "PM")
    for reply in model.reply(requests):
        assert isinstance(reply, Reply) and reply.text == "Yes."
    assert f"Answers not in the requested form: {len(requests)}." in model.remarks()


def test_a_server_that_gives_no_log_probabilities_is_found_out(server: ChatServer, tiny_data: Dataset) -> None:
    server.silent = True
    model = generator(server)
    requests = requests_for(tiny_data, model, "PM")
    replies = model.reply(requests)
    assert [isinstance(reply, Reply) and reply.probability for reply in replies] == [None] * len(requests)
    assert model.remarks() == [f"Answers to which the server gave no log-probabilities: {len(requests)}."]


def test_an_answer_that_was_cut_is_counted(server: ChatServer, tiny_data: Dataset) -> None:
    server.finish = "length"
    model = generator(server)
    requests = requests_for(tiny_data, model, "AG")
    model.reply(requests)
    assert model.remarks() == [f"Answers truncated at the token limit: {len(requests)}."]


FAULTS = [(500, {}, "broken"), (429, {"Retry-After": "1"}, "slowly"), (503, {}, "busy"), CUT, GARBAGE, NO_CHOICES]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_passing_fault_costs_a_repeat_and_no_answer(server: ChatServer, tiny_data: Dataset, fault: Any) -> None:
    server.faults = [fault]
    model = generator(server, concurrency=1)
    requests = requests_for(tiny_data, model, "PM")
    assert all(isinstance(reply, Reply) for reply in model.reply(requests))
    assert len(server.bodies) == len(requests) + 1
    assert model.remarks() == ["Requests retried after an error: 1."]
    if fault[0] == 429:
        assert server.times[1] - server.times[0] >= 1.0  # as the server requested


NO_COMPLETION = "the response is not a chat completion"
LASTING = [
    ((500, {}, "broken"), "the server returned 500: broken"),
    ((429, {"Retry-After": "1"}, "slowly"), "the server returned 429: slowly"),
    (CUT, "the connection to"),
    (GARBAGE, NO_COMPLETION),
    (NO_CHOICES, "the server returned an error: overloaded"),
    (SLOW, "no answer within 0.3 s"),
    (DRIP, "no answer within 0.3 s"),
]


@pytest.mark.parametrize(("fault", "message"), LASTING, ids=str)
def test_a_lasting_fault_is_a_failure_with_its_reason(
    server: ChatServer, tiny_data: Dataset, fault: Any, message: str
) -> None:
    server.faults = [fault]
    model = generator(server, concurrency=1, retries=0, timeout=0.3)
    first, *rest = model.reply(requests_for(tiny_data, model, "PM"))
    assert isinstance(first, Failure) and first.reason.startswith(message)
    assert rest and all(isinstance(reply, Reply) for reply in rest)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            (401, {}, f"Incorrect API key {KEY} provided"),
            r"not accept the key: set OPENAI_API_KEY .*\[OPENAI_API_KEY\]",
        ),
        ((403, {}, "no"), "does not accept the key"),
        ((404, {}, "The model `m` does not exist"), "has no model 'm'"),
        ((402, {}, "no credit"), "requires payment"),
        ((429, {"code": "insufficient_quota"}, "You exceeded your quota"), "requires payment"),
    ],
)
def test_what_no_question_would_get_past_stops_the_run_at_once(
    server: ChatServer, tiny_data: Dataset, fault: Any, message: str
) -> None:
    server.faults = [fault] * 50
    model = generator(server, concurrency=2, retries=0)
    with pytest.raises(ServerError, match=message) as raised:
        model.reply(requests_for(tiny_data, model))
    assert KEY not in str(raised.value)
    time.sleep(0.2)  # would be enough for all
    assert len(server.bodies) <= 4


@pytest.mark.parametrize("by", ["the server", "the caller"])
def test_answers_under_way_when_asking_ends_still_come(server: ChatServer, tiny_data: Dataset, by: str) -> None:
    server.delay = 0.2
    server.faults = [None, None, (402, {}, "no credit")] if by == "the server" else []
    model = generator(server, concurrency=4, retries=0)
    requests = requests_for(tiny_data, model)
    halt, places = Event(), list[int]()
    try:
        for place, _ in model.stream(requests, halt):
            places.append(place)
            if by == "the caller":
                halt.set()
    except ServerError as error:
        assert by == "the server" and "requires payment" in str(error)
    assert halt.is_set()
    sent = len(server.bodies)
    assert len(set(places)) == len(places) == (sent - 1 if by == "the server" else sent)
    assert 3 <= len(places) < len(requests)


def test_what_is_under_way_is_not_waited_for_longer_than_an_answer_may_take(
    server: ChatServer, tiny_data: Dataset
) -> None:
    server.faults = [(429, {"Retry-After": "60"}, "later"), (402, {}, "no credit")]
    model = generator(server, concurrency=2, retries=5, timeout=0.5)
    began = time.monotonic()
    with pytest.raises(ServerError, match="requires payment"):
        model.reply(requests_for(tiny_data, model))
    assert time.monotonic() - began < 5


def test_what_is_no_completion_is_asked_for_again_later_each_time(server: ChatServer, tiny_data: Dataset) -> None:
    server.faults = [GARBAGE, NO_CHOICES]
    model = generator(server, concurrency=1, retries=2)
    assert isinstance(model.reply(requests_for(tiny_data, model, "PM")[:1])[0], Reply)
    first, second = (after - before for before, after in pairwise(server.times))
    assert first > 0.3 and second > 0.7  # half a second and one, less a quarter


def test_a_server_that_only_keeps_the_connection_alive_is_asked_again(server: ChatServer, tiny_data: Dataset) -> None:
    server.faults = [DRIP]
    model = generator(server, concurrency=1, retries=1, timeout=0.3)
    began = time.monotonic()
    assert isinstance(model.reply(requests_for(tiny_data, model, "PM")[:1])[0], Reply)
    assert time.monotonic() - began < server.slow and len(server.bodies) == 2


def test_a_server_that_asks_for_a_long_wait_is_left_alone(server: ChatServer, tiny_data: Dataset) -> None:
    server.faults = [(429, {"Retry-After": "600"}, "come back")] * 50
    model = generator(server, concurrency=2)
    with pytest.raises(ServerError, match="asks to wait for 600 s"):
        model.reply(requests_for(tiny_data, model))
    assert len(server.bodies) <= 2


def test_half_a_character_is_sent_as_a_lost_one(server: ChatServer, tiny_data: Dataset) -> None:
    model = generator(server)
    row = tiny_data.view(SETTINGS[0], tasks=["SA"])[0]
    row = replace(row, example=replace(row.example, input="good \ud83d mug, \ud83d\ude00"))
    (prompt,) = model.prompts([row])
    assert isinstance(model.reply([Request(row, prompt)])[0], Reply)
    assert "good \ufffd mug, \U0001f600" in server.asked[0]


def test_questions_are_under_way_together_but_not_more_than_wanted(server: ChatServer, tiny_data: Dataset) -> None:
    server.delay = 0.05
    model = generator(server, concurrency=3)
    requests = requests_for(tiny_data, model)
    began = time.monotonic()
    model.reply(requests)
    assert server.most_at_a_time == 3
    assert time.monotonic() - began < 0.05 * len(requests)


@pytest.mark.parametrize("taken", [1, None])
def test_no_connection_is_left_open_once_asking_ends(
    server: ChatServer, tiny_data: Dataset, taken: int | None
) -> None:
    model = generator(server, concurrency=2)
    answers = model.stream(requests_for(tiny_data, model))
    assert list(islice(answers, taken))
    del answers  # while the model lives on
    limit = time.monotonic() + 10
    while server.connected and time.monotonic() < limit:
        time.sleep(0.01)
    assert model.url and not server.connected


def test_a_connection_that_is_made_only_once_asking_has_ended_is_closed_too(
    server: ChatServer, tiny_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, turn, threads = socket.create_connection, count(), threading.active_count()
    begun, left = Event(), Event()

    def second_is_late(*args: Any, **how: Any) -> socket.socket:
        if next(turn) == 1:
            begun.set()
            assert left.wait(30)
        return connect(*args, **how)

    monkeypatch.setattr(socket, "create_connection", second_is_late)
    # The first answer takes a while, so that the second connection is begun rather than the first one used again.
    server.faults, server.slow = [SLOW], 1.0
    model = generator(server, concurrency=2)
    answers = model.stream(requests_for(tiny_data, model))
    assert next(answers) and begun.wait(30)
    del answers
    left.set()
    limit = time.monotonic() + 30
    while (threading.active_count() > threads or server.connected) and time.monotonic() < limit:
        time.sleep(0.01)
    gc.collect()  # a socket left open shows in a warning, which is an error here
    assert next(turn) == 2 and threading.active_count() <= threads and not server.connected


def test_answers_come_as_they_are_there(server: ChatServer, tiny_data: Dataset) -> None:
    server.faults, server.slow = [SLOW], 1.0
    model = generator(server, concurrency=2)
    requests = requests_for(tiny_data, model)
    places = [place for place, _ in model.stream(requests)]
    assert sorted(places) == list(range(len(requests))) and places[-1] in (0, 1)  # whichever came first


def test_the_same_question_is_sent_the_same_way_whatever_the_order(server: ChatServer, tiny_data: Dataset) -> None:
    model = generator(server)
    requests = requests_for(tiny_data, model)
    model.reply(requests)
    first = Counter(json.dumps(body, sort_keys=True) for body in server.bodies)
    server.bodies.clear()
    for question in requests[::-1]:
        model.reply([question])
    assert Counter(json.dumps(body, sort_keys=True) for body in server.bodies) == first


def test_the_record_tells_server_prompt_and_decoding_but_no_key(server: ChatServer, tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    file.write_text(
        json.dumps({"prompt_input": "{instruction} {input} {options}", "prompt_no_options": "{instruction} {input}",
                    "response_split": ""})
    )  # fmt: skip
    plain = generator(server)
    other = OpenAIGenerator("m", Server(server.url), Decoding(free=True), str(file))
    assert plain.identity()["server"].startswith(server.url) and plain.identity()["model"] == "openai:m"
    assert plain.identity()["prompt"] != other.identity()["prompt"]
    assert plain.identity()["decoding"] != other.identity()["decoding"]
    assert KEY not in json.dumps([plain.identity(), repr(plain.server), repr(plain)])


def test_decoding_tells_its_seed_only_where_it_counts() -> None:
    assert str(Decoding(seed=1)) == str(Decoding(seed=2)) == "closed, greedy, at most 100 tokens"
    assert str(Decoding(True, 0.15, 0.95, 7)) == "free, temperature 0.15, top_p 0.95, seed 7, at most 100 tokens"


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://x/v1", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="begins with http"):
        OpenAIGenerator("m", Server(url))


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    for url in ("https://me:hidden@x/v1", "https://x/v1?key=hidden"):
        with pytest.raises(ConfigError, match="OPENAI_API_KEY") as raised:
            OpenAIGenerator("m", Server(url))
        assert "hidden" not in str(raised.value)


def test_the_address_may_come_from_the_environment(server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert OpenAIGenerator("m").identity()["server"].startswith(server.url)


def test_a_missing_client_is_said_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "openai":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match=r"pip install 'ecellm\[openai\]'"):
        load_generator("openai:m")


@pytest.mark.parametrize(
    ("tokens", "begins"),
    [
        (['{"', "answer", '": "', "yes", '"}'], "yes"),
        (['{"answer": "ye', 's"}'], "ye"),
        (["{", '"answer"', ":", ' "yes', '"}'], "yes"),
        (['{ "answer":', ' "', 'yes"', "}"], 'yes"'),
        (["yes"], "yes"),
        (["\n", " yes", "."], "yes"),
        ([" ", "  yes"], "yes"),
    ],
)
def test_the_answers_first_token_is_found_however_the_text_is_cut(tokens: list[str], begins: str) -> None:
    listed = []
    for token in tokens:
        others = [(token, 0.5), (token.replace("y", "n"), 0.3), ("other", 0.2)]
        top = [{"token": text, "logprob": math.log(share)} for text, share in others]
        listed.append({"token": token, "logprob": 0.0, "top_logprobs": top})
    choice = {"message": {"content": "".join(tokens)}, "logprobs": {"content": listed}}
    found = first_tokens(read_completion(json.dumps({"choices": [choice]}).encode()))
    assert found is not None
    first, likely = found
    assert first.strip() == begins
    assert likely[begins] == pytest.approx(0.5) and likely[begins.replace("y", "n")] == pytest.approx(0.3)
    assert set(likely) <= {begins, begins.replace("y", "n"), "other"}


def test_an_estimate_goes_by_bytes_and_takes_open_answers_at_their_longest(
    server: ChatServer, tiny_data: Dataset
) -> None:
    model = generator(server)
    for task, written in (("PM", 1 + 10), ("SR", 1 + 10), ("SA", 4 + 10), ("AG", 100), ("AVE", 200)):
        requests = requests_for(tiny_data, model, task)
        read = sum(-(-len(SYSTEM) // 4) + -(-len(question.prompt.text.encode()) // 4) + 10 for question in requests)
        assert estimate(requests, Decoding()) == (len(requests), Usage(read, written * len(requests))), task
        assert estimate(requests, Decoding(free=True))[1].written == 100 * len(requests)


def test_prices_are_per_million_tokens() -> None:
    assert Prices(2, 8).cost(Usage(500_000, 250_000)) == 3.0
    assert Prices(2).cost(Usage(1, 1)) is None
    assert Prices(2, 8).summary(Usage(1500, 20)) == "1,500 tokens read and 20 written (cost 0.0032)"


@pytest.mark.parametrize(
    ("token", "place"),
    [("yes", 0), (" Yes", 0), ("y", 0), ("NO", 1), ('no"', 1), ("no.", 1), ("yesterday", None), ("nobody", None),
     ("maybe", None), ("", None), (" ", None)],
)  # fmt: skip
def test_a_token_begins_one_candidate_or_none(token: str, place: int | None) -> None:
    assert candidate_of(("yes", "no"), token) == place


def test_letters_are_told_from_words() -> None:
    options = ("A: very positive", "B: positive")
    assert [candidate_of(options, token) for token in ("A", " b", "A:", "Based", "An")] == [0, 1, 0, None, None]


def test_shares_sum_to_one_over_the_candidates() -> None:
    assert shares(("yes", "no"), {"yes": 0.3, "Yes": 0.3, "no": 0.2, "well": 0.2}) == pytest.approx([0.75, 0.25])
    assert shares(("yes", "no"), {"well": 0.9}) is None
