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
from ecellm.dataset.dataset import Dataset
from ecellm.inference.cost import Prices, estimate
from ecellm.inference.generator import Decoding, Failure, Question, Reply, Usage
from ecellm.inference.load import load_generator
from ecellm.inference.openai_ import SYSTEM, OpenAIGenerator, Server, first_tokens, read_completion
from ecellm.inference.outside import candidate_of, shares
from ecellm.records import SETTINGS
from ecellm.tasks import TASKS

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


def questions(data: Dataset, model: OpenAIGenerator, *tasks: str, setting: str = SETTINGS[0]) -> list[Question]:
    rows = data.view(setting, tasks=tasks or None)
    return [Question(row, prompt) for row, prompt in zip(rows, model.prompts(rows), strict=True)]


def test_a_question_is_a_chat_with_our_system_message_and_one_shot_by_the_setting(
    server: ChatServer, tiny_data: Dataset
) -> None:
    model = generator(server)
    zero = questions(tiny_data, model, "SA", setting=SETTINGS[1])[0]
    one = questions(tiny_data, model, "SA", setting=SETTINGS[3])[0]
    for question in (zero, one):
        model.reply([question])
        sample = question.asked.sample
        system, user = server.bodies[-1]["messages"]
        assert system == {"role": "system", "content": SYSTEM} and user["role"] == "user"
        assert user["content"].startswith(question.asked.instruction + "\n\n")
        assert user["content"].endswith(f"{sample.input}\n\n{sample.options}")
    assert zero.asked.shot is None and one.asked.shot is not None
    assert one.asked.shot.input in one.prompt.text and f"Answer: {one.asked.shot.output}" in one.prompt.text
    assert server.bodies[-1]["model"] == "m" and server.keys == [f"Bearer {KEY}"] * 2


def test_closed_questions_ask_for_their_answers_and_always_get_one_with_a_probability(
    server: ChatServer, tiny_data: Dataset
) -> None:
    model = generator(server)
    asked = questions(tiny_data, model)
    for question, reply in zip(asked, model.reply(asked), strict=True):
        assert isinstance(reply, Reply)
        sample = question.asked.sample
        task = TASKS[sample.task]
        body = next(one for one in server.bodies if one["messages"][-1]["content"] == question.prompt.text)
        assert body["temperature"] == 0 and "seed" not in body and "top_p" not in body
        if sample.task == "AG":
            assert reply.text == "yes" and "response_format" not in body and "logprobs" not in body
            continue
        form = body["response_format"]["json_schema"]
        assert form["strict"] and form["schema"]["required"] == ["answer"]
        assert task.answer.parse(reply.text, sample) is not None
        candidates = task.answer.candidates(sample)
        assert (body.get("top_logprobs") == 20) == (sample.task in ("PM", "SA", "SR"))
        if sample.task in ("PM", "SA", "SR"):
            assert form["schema"]["properties"]["answer"]["enum"] == list(candidates)
            assert reply.text == candidates[0] and reply.probability == pytest.approx(0.75)
            assert reply.scores is not None and list(reply.scores) == list(candidates)
            assert list(reply.scores.values()) == pytest.approx([0.75, 0.25, *[0.0] * (len(candidates) - 2)])
        else:
            assert reply.probability is None
        assert body["max_tokens"] == (200 if sample.task == "AVE" else 100)  # two attributes
    assert model.remarks() == []


def test_free_decoding_is_plain_writing_and_sampled_by_a_seed_of_the_question(
    server: ChatServer, tiny_data: Dataset
) -> None:
    how = Decoding(free=True, temperature=0.15, top_p=0.95, seed=3)
    model = generator(server, decoding=how)
    asked = questions(tiny_data, model, "PM", "AG")
    model.reply(asked)
    seeds = {body["messages"][-1]["content"]: body["seed"] for body in server.bodies}
    for body in server.bodies:
        assert (body["temperature"], body["top_p"]) == (0.15, 0.95)
        assert "response_format" not in body and "logprobs" not in body
    assert len(set(seeds.values())) == len(asked)
    server.bodies.clear()
    model.reply(asked[::-2])  # others, in another order: the same seeds
    assert {body["messages"][-1]["content"]: body["seed"] for body in server.bodies}.items() <= seeds.items()
    server.bodies.clear()
    generator(server, decoding=Decoding(free=True, temperature=0.15, seed=4)).reply(asked)
    assert all(seeds[body["messages"][-1]["content"]] != body["seed"] for body in server.bodies)


def test_a_choice_is_not_sampled(server: ChatServer, tiny_data: Dataset) -> None:
    model = generator(server, decoding=Decoding(temperature=1.0))
    model.reply(questions(tiny_data, model, "PM"))
    assert {body["temperature"] for body in server.bodies} == {0.0}


@pytest.mark.parametrize("said_which", [True, False])
@pytest.mark.parametrize("refused", [("logprobs",), ("response_format",), ("logprobs", "response_format")])
def test_what_a_server_refuses_is_left_out_and_said(
    server: ChatServer, tiny_data: Dataset, refused: tuple[str, ...], said_which: bool
) -> None:
    server.refused = refusing(refused, said_which)
    model = generator(server, concurrency=1)
    asked = questions(tiny_data, model, "PM", "SA")
    replies = model.reply(asked)
    assert all(isinstance(reply, Reply) for reply in replies)
    for name in ("logprobs", "response_format"):
        said = [remark for remark in model.remarks() if f"refused {name} for PM, SA: 6 answers" in remark]
        assert bool(said) == (name in refused)
        assert all((name in body) == (name not in refused) for body in server.bodies[-2:])
    for question, reply in zip(asked, replies, strict=True):
        if question.asked.sample.task == "PM":
            assert (reply.probability is None) == ("logprobs" in refused)
    # Once a task's requests are known, no more are refused.
    server.bodies.clear()
    model.reply(asked)
    assert len(server.bodies) == len(asked)


def test_a_server_that_wants_other_names_gets_them(server: ChatServer, tiny_data: Dataset) -> None:
    server.refused = refusing(("max_tokens", "temperature", "logprobs"))
    model = generator(server, concurrency=1)
    assert isinstance(model.reply(questions(tiny_data, model, "PM"))[-1], Reply)
    body = server.bodies[-1]
    assert body["max_completion_tokens"] == 100 and "response_format" in body
    assert not {"max_tokens", "temperature", "logprobs"} & set(body)
    assert any("refused temperature for PM: 3 answers" in remark for remark in model.remarks())


def test_a_refusal_is_found_out_for_each_form_of_a_tasks_requests(server: ChatServer, tiny_data: Dataset) -> None:
    server.refused = refusing(("logprobs",))
    model = generator(server, concurrency=1)
    three = questions(tiny_data, model, "QPR")[0]  # the first letter does not tell the order: no probability asked
    pair = json.dumps({"query": "mug", "product list": ["A: blue mug", "B: rug"]})
    asked = replace(three.asked, sample=replace(three.asked.sample, input=pair))
    two = Question(asked, model.prompts([asked])[0])
    assert [isinstance(reply, Reply) for reply in model.reply([three, two])] == [True, True]
    assert ["logprobs" in body for body in server.bodies] == [False, True, False]


def test_a_question_that_is_refused_itself_fails_alone(server: ChatServer, tiny_data: Dataset) -> None:
    model = generator(server, concurrency=1)
    asked = questions(tiny_data, model, "PM")
    worst = asked[0].prompt.text

    def refused(body: Body) -> str | None:
        return "too long" if body["messages"][-1]["content"] == worst else None

    server.refused = refused
    replies = model.reply(asked)
    assert replies[0] == Failure("the server said 400: too long")
    assert all(isinstance(reply, Reply) and reply.probability is not None for reply in replies[1:])
    assert model.remarks() == []
    server.bodies.clear()
    assert isinstance(model.reply(asked[:1])[0], Failure)
    assert len(server.bodies) == 1  # no guesses at what else may be wrong: the others' requests were taken


def test_a_server_that_takes_no_notice_of_the_form_is_found_out(server: ChatServer, tiny_data: Dataset) -> None:
    server.say = lambda body: " Yes.\n"
    model = generator(server)
    asked = questions(tiny_data, model, "PM")
    for reply in model.reply(asked):
        assert isinstance(reply, Reply) and reply.text == "Yes."
    assert f"Answers out of the form that was asked for: {len(asked)}." in model.remarks()


def test_a_server_that_gives_no_log_probabilities_is_found_out(server: ChatServer, tiny_data: Dataset) -> None:
    server.silent = True
    model = generator(server)
    asked = questions(tiny_data, model, "PM")
    assert [isinstance(reply, Reply) and reply.probability for reply in model.reply(asked)] == [None] * len(asked)
    assert model.remarks() == [f"Answers to which the server gave no log-probabilities: {len(asked)}."]


def test_an_answer_that_was_cut_is_counted(server: ChatServer, tiny_data: Dataset) -> None:
    server.finish = "length"
    model = generator(server)
    asked = questions(tiny_data, model, "AG")
    model.reply(asked)
    assert model.remarks() == [f"Answers cut at the most tokens: {len(asked)}."]


FAULTS = [(500, {}, "broken"), (429, {"Retry-After": "1"}, "slowly"), (503, {}, "busy"), CUT, GARBAGE, NO_CHOICES]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_passing_fault_costs_a_repeat_and_no_answer(server: ChatServer, tiny_data: Dataset, fault: Any) -> None:
    server.faults = [fault]
    model = generator(server, concurrency=1)
    asked = questions(tiny_data, model, "PM")
    assert all(isinstance(reply, Reply) for reply in model.reply(asked))
    assert len(server.bodies) == len(asked) + 1
    assert model.remarks() == ["Requests repeated after a fault: 1."]
    if fault[0] == 429:
        assert server.times[1] - server.times[0] >= 1.0  # as the server asked


NO_COMPLETION = "what the server sent is no chat completion"
LASTING = [
    ((500, {}, "broken"), "the server said 500: broken"),
    ((429, {"Retry-After": "1"}, "slowly"), "the server said 429: slowly"),
    (CUT, "the connection to"),
    (GARBAGE, NO_COMPLETION),
    (NO_CHOICES, NO_COMPLETION),
    (SLOW, "no answer within 0.3 s"),
    (DRIP, "no answer within 0.3 s"),
]


@pytest.mark.parametrize(("fault", "said"), LASTING, ids=str)
def test_a_lasting_fault_is_a_failure_with_its_reason(
    server: ChatServer, tiny_data: Dataset, fault: Any, said: str
) -> None:
    server.faults = [fault]
    model = generator(server, concurrency=1, retries=0, timeout=0.3)
    first, *rest = model.reply(questions(tiny_data, model, "PM"))
    assert isinstance(first, Failure) and first.reason.startswith(said)
    assert rest and all(isinstance(reply, Reply) for reply in rest)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            (401, {}, f"Incorrect API key {KEY} provided"),
            r"not take the key: set OPENAI_API_KEY .*\[OPENAI_API_KEY\]",
        ),
        ((403, {}, "no"), "does not take the key"),
        ((404, {}, "The model `m` does not exist"), "knows no model 'm'"),
        ((402, {}, "no credit"), "wants to be paid"),
        ((429, {"code": "insufficient_quota"}, "You exceeded your quota"), "wants to be paid"),
    ],
)
def test_what_no_question_would_get_past_stops_the_run_at_once(
    server: ChatServer, tiny_data: Dataset, fault: Any, said: str
) -> None:
    server.faults = [fault] * 50
    model = generator(server, concurrency=2, retries=0)
    with pytest.raises(ValueError, match=said) as raised:
        model.reply(questions(tiny_data, model))
    assert KEY not in str(raised.value)
    time.sleep(0.2)  # would be enough for all
    assert len(server.bodies) <= 4


@pytest.mark.parametrize("by", ["the server", "the caller"])
def test_answers_under_way_when_asking_ends_still_come(server: ChatServer, tiny_data: Dataset, by: str) -> None:
    server.delay = 0.2
    server.faults = [None, None, (402, {}, "no credit")] if by == "the server" else []
    model = generator(server, concurrency=4, retries=0)
    asked = questions(tiny_data, model)
    halt, places = Event(), list[int]()
    try:
        for place, _ in model.stream(asked, halt):
            places.append(place)
            if by == "the caller":
                halt.set()
    except ValueError as error:
        assert by == "the server" and "wants to be paid" in str(error)
    assert halt.is_set()
    sent = len(server.bodies)
    assert len(set(places)) == len(places) == (sent - 1 if by == "the server" else sent)
    assert 3 <= len(places) < len(asked)


def test_what_is_under_way_is_not_waited_for_longer_than_an_answer_may_take(
    server: ChatServer, tiny_data: Dataset
) -> None:
    server.faults = [(429, {"Retry-After": "60"}, "later"), (402, {}, "no credit")]
    model = generator(server, concurrency=2, retries=5, timeout=0.5)
    began = time.monotonic()
    with pytest.raises(ValueError, match="wants to be paid"):
        model.reply(questions(tiny_data, model))
    assert time.monotonic() - began < 5


def test_what_is_no_completion_is_asked_for_again_later_each_time(server: ChatServer, tiny_data: Dataset) -> None:
    server.faults = [GARBAGE, NO_CHOICES]
    model = generator(server, concurrency=1, retries=2)
    assert isinstance(model.reply(questions(tiny_data, model, "PM")[:1])[0], Reply)
    first, second = (after - before for before, after in pairwise(server.times))
    assert first > 0.3 and second > 0.7  # half a second and one, less a quarter


def test_a_server_that_only_keeps_the_connection_alive_is_asked_again(server: ChatServer, tiny_data: Dataset) -> None:
    server.faults = [DRIP]
    model = generator(server, concurrency=1, retries=1, timeout=0.3)
    began = time.monotonic()
    assert isinstance(model.reply(questions(tiny_data, model, "PM")[:1])[0], Reply)
    assert time.monotonic() - began < server.slow and len(server.bodies) == 2


def test_a_server_that_asks_for_a_long_wait_is_left_alone(server: ChatServer, tiny_data: Dataset) -> None:
    server.faults = [(429, {"Retry-After": "600"}, "come back")] * 50
    model = generator(server, concurrency=2)
    with pytest.raises(ValueError, match="asks to wait for 600 s"):
        model.reply(questions(tiny_data, model))
    assert len(server.bodies) <= 2


def test_half_a_character_is_sent_as_a_lost_one(server: ChatServer, tiny_data: Dataset) -> None:
    model = generator(server)
    row = tiny_data.view(SETTINGS[0], tasks=["SA"])[0]
    row = replace(row, sample=replace(row.sample, input="good \ud83d mug, \ud83d\ude00"))
    (prompt,) = model.prompts([row])
    assert isinstance(model.reply([Question(row, prompt)])[0], Reply)
    assert "good \ufffd mug, \U0001f600" in server.asked[0]


def test_questions_are_under_way_together_but_not_more_than_wanted(server: ChatServer, tiny_data: Dataset) -> None:
    server.delay = 0.05
    model = generator(server, concurrency=3)
    asked = questions(tiny_data, model)
    began = time.monotonic()
    model.reply(asked)
    assert server.most_at_a_time == 3
    assert time.monotonic() - began < 0.05 * len(asked)


@pytest.mark.parametrize("taken", [1, None])
def test_no_connection_is_left_open_once_asking_ends(
    server: ChatServer, tiny_data: Dataset, taken: int | None
) -> None:
    model = generator(server, concurrency=2)
    answers = model.stream(questions(tiny_data, model))
    assert list(islice(answers, taken))
    del answers  # while the model lives on
    limit = time.monotonic() + 10
    while server.connected and time.monotonic() < limit:
        time.sleep(0.01)
    assert model.url and not server.connected


def test_a_connection_that_is_made_only_once_asking_has_ended_is_closed_too(
    server: ChatServer, tiny_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, turn, left, threads = socket.create_connection, count(), Event(), threading.active_count()

    def second_is_late(*args: Any, **how: Any) -> socket.socket:
        if next(turn) == 1:
            assert left.wait(30)
        return connect(*args, **how)

    monkeypatch.setattr(socket, "create_connection", second_is_late)
    model = generator(server, concurrency=2)
    answers = model.stream(questions(tiny_data, model))
    assert next(answers)
    del answers
    left.set()
    limit = time.monotonic() + 30
    while (threading.active_count() > threads or server.connected) and time.monotonic() < limit:
        time.sleep(0.01)
    gc.collect()  # a socket left open is told of by a warning, which is an error here
    assert next(turn) == 2 and threading.active_count() <= threads and not server.connected


def test_answers_come_as_they_are_there(server: ChatServer, tiny_data: Dataset) -> None:
    server.faults, server.slow = [SLOW], 1.0
    model = generator(server, concurrency=2)
    asked = questions(tiny_data, model)
    places = [place for place, _ in model.stream(asked)]
    assert sorted(places) == list(range(len(asked))) and places[-1] in (0, 1)  # whichever came first


def test_the_same_question_is_sent_the_same_way_whatever_the_order(server: ChatServer, tiny_data: Dataset) -> None:
    model = generator(server)
    asked = questions(tiny_data, model)
    model.reply(asked)
    first = Counter(json.dumps(body, sort_keys=True) for body in server.bodies)
    server.bodies.clear()
    for question in asked[::-1]:
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
    with pytest.raises(ValueError, match="begins with http"):
        OpenAIGenerator("m", Server(url))


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    for url in ("https://me:hidden@x/v1", "https://x/v1?key=hidden"):
        with pytest.raises(ValueError, match="OPENAI_API_KEY") as raised:
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
    with pytest.raises(ValueError, match=r"pip install 'ecellm\[openai\]'"):
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
    told = []
    for token in tokens:
        others = [(token, 0.5), (token.replace("y", "n"), 0.3), ("other", 0.2)]
        top = [{"token": text, "logprob": math.log(share)} for text, share in others]
        told.append({"token": token, "logprob": 0.0, "top_logprobs": top})
    choice = {"message": {"content": "".join(tokens)}, "logprobs": {"content": told}}
    likely = first_tokens(read_completion(json.dumps({"choices": [choice]}).encode()))
    assert likely is not None
    assert likely[begins] == pytest.approx(0.5) and likely[begins.replace("y", "n")] == pytest.approx(0.3)
    assert set(likely) <= {begins, begins.replace("y", "n"), "other"}


def test_an_estimate_goes_by_bytes_and_takes_open_answers_at_their_longest(
    server: ChatServer, tiny_data: Dataset
) -> None:
    model = generator(server)
    for task, written in (("PM", 1 + 10), ("SR", 1 + 10), ("SA", 4 + 10), ("AG", 100), ("AVE", 200)):
        asked = questions(tiny_data, model, task)
        read = sum(-(-len(SYSTEM) // 4) + -(-len(question.prompt.text.encode()) // 4) + 10 for question in asked)
        assert estimate(asked, Decoding()) == (len(asked), Usage(read, written * len(asked))), task
        assert estimate(asked, Decoding(free=True))[1].written == 100 * len(asked)


def test_prices_are_per_million_tokens() -> None:
    assert Prices(2, 8).cost(Usage(500_000, 250_000)) == 3.0
    assert Prices(2).cost(Usage(1, 1)) is None
    assert Prices(2, 8).told(Usage(1500, 20)) == "1,500 tokens read and 20 written (cost 0.0032)"


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
