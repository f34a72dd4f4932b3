"""The page at /: a form for each task, the answer to it, what is wrong beside its field, and who may send it."""

import json
import shlex
from typing import Any
from unittest.mock import patch

import httpx2
import pytest
from page_forms import OWN, Shown, opened, sent

from ecellm.models.base import Generator
from ecellm.serving.app import create_app
from ecellm.serving.batching import Limits
from ecellm.serving.guard import Allowed
from ecellm.serving.keys import Keys
from ecellm.serving.page_answer import marked
from ecellm.serving.schemas import example_body
from ecellm.tasks import TASKS
from ecellm.tasks.task import Quote
from own_tasks import buying_again, headline
from scripted import ScriptedGenerator
from served import asking, first_candidate, run, service_of

KEY = "a-key-of-this-test"
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("name", TASKS)
def test_a_task_s_form_is_filled_in_and_answers_as_its_endpoint_does(xs: Generator, name: str) -> None:
    async def ask() -> tuple[Shown, Shown, dict[str, Any]]:
        async with asking(xs) as client:
            page = await opened(client, f"/?task={name}")
            reply = await client.post(TASKS[name].address, json=example_body(TASKS[name]))
            return page, await sent(client, page), reply.json()

    page, answered, known = run(ask())
    form = page.form("Question")
    for column in TASKS[name].form.columns:
        field = form.find(id=f"field-{column.name}")
        assert field is not None and form.find("label", attrs={"for": f"field-{column.name}"})
    assert answered.reply.status_code == 200
    text = answered.text("#answer")
    texts = [known["answer"]] if isinstance(known["answer"], str) else []
    for item in known["answer"] if isinstance(known["answer"], list) else []:
        texts += [value for value in item.values() if value] if isinstance(item, dict) else [item]
    assert all(" ".join(one.split()) in text for one in texts)
    bars = {row.th.get_text(): row.select_one(".figure").get_text() for row in answered.soup.select(".bars tbody tr")}  # type: ignore[union-attr]
    assert len(bars) == min(10, len(known["probabilities"] or {}))
    if isinstance(known["answer"], str) and known["answer"] in (known["probabilities"] or {}):
        assert bars[f"{known['answer']} (the answer)"] == f"{100 * known['probability']:.1f}%"
    assert "Answered in" in text and "ms" in text
    line = shlex.split(answered.text("#copy-curl").replace("\\ ", ""))
    assert line[2] == f"http://service{TASKS[name].address}" and json.loads(line[-1]) == example_body(TASKS[name])


def test_the_page_shows_every_task_of_the_model_and_one_that_is_added_at_once() -> None:
    async def ask() -> tuple[Shown, Shown]:
        async with asking() as client:
            page = await opened(client, "/?task=RH")
            return page, await sent(client, page, {"text": "Best mug ever."})

    with patch.dict(TASKS, {"RH": headline.TASK, "BA": buying_again.TASK}):
        page, answered = run(ask())
        names = [link["href"] for link in page.soup.select("nav.tasks a")]
        assert names == [f"?task={name}" for name in TASKS]
    assert page.fields("Question") == {"do": "answer", "text": ""}
    assert answered.text(".verdict") == "hello"


def test_the_second_example_and_an_empty_form_are_a_link_away() -> None:
    async def ask() -> list[Shown]:
        async with asking() as client:
            return [await opened(client, f"/?task=SA&example={place}") for place in (2, 0, 99)]

    second, empty, beyond = run(ask())
    assert second.fields("Question")["text"] == TASKS["SA"].sample_rows[1]["text"]
    assert empty.fields("Question")["text"] == beyond.fields("Question")["text"] == ""


@pytest.mark.parametrize(
    ("name", "changes", "field", "message"),
    [
        ("PM", {"title_2": ""}, "title_2", "Fill in this field."),
        ("PM", {"title_2": "", "price_2": "5"}, "title_2", "Fill in this field."),
        ("SA", {"text": "a" * 20_001}, "text", "at most 20000 characters"),
        ("QPR", {"titles": "only one"}, "titles", "at least 2 items"),
        ("QPR", {"titles": ""}, "titles", "Fill in this field."),
        ("PRP", {"title_1": "a", "title_2": "a"}, "title_1", "are the same"),
        ("MPC", {"query": "漢字"}, "query", "letters beyond ASCII"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(name: str, changes: dict[str, str], field: str, message: str) -> None:
    async def ask() -> Shown:
        async with asking() as client:
            return await sent(client, await opened(client, f"/?task={name}"), changes)

    page = run(ask())
    assert page.reply.status_code == 422
    wrong = page.soup.find(id=f"field-{field}")
    assert wrong is not None and wrong["aria-invalid"] == "true"
    assert f"error-{field}" in str(wrong["aria-describedby"]).split()
    assert message in page.text(f"#error-{field}")
    assert page.soup.select_one(f'[role=alert] a[href="#field-{field}"]') is not None
    kept = page.fields("Question")
    assert all(kept[column] == value for column, value in changes.items())
    assert page.text("title").startswith("Error")


def test_texts_and_answers_are_escaped_and_nothing_else_is_loaded() -> None:
    evil = "<script>alert(1)</script>'\"&"

    async def ask() -> Shown:
        async with asking(ScriptedGenerator(lambda question: evil)) as client:
            page = await opened(client, "/?task=AG")
            return await sent(client, page, {"question": evil, "snippets": f"so: {evil}"})

    page = run(ask())
    (script,) = page.soup.find_all("script")
    assert "alert" not in script.get_text()
    assert page.text(".verdict") == page.text("mark") == evil
    assert page.fields("Question")["question"] == evil
    policy = page.reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert page.reply.headers["cache-control"] == "no-store"
    assert not page.soup.select("[style], [onclick], img, iframe, link[rel=stylesheet]")


def test_half_of_a_surrogate_pair_in_an_answer_is_no_error() -> None:
    async def ask() -> Shown:
        async with asking(ScriptedGenerator(lambda question: "5\ud800")) as client:
            return await sent(client, await opened(client, "/?task=AG"))

    assert run(ask()).text(".verdict") == "5?"


def test_attribute_values_are_marked_in_the_product_s_texts() -> None:
    triples = [
        {"attribute": "length", "value": "210 cm", "source": "product title"},
        {"attribute": "material", "value": "None", "source": "None"},
    ]

    async def ask() -> Shown:
        async with asking(ScriptedGenerator(lambda question: json.dumps(triples))) as client:
            return await sent(client, await opened(client, "/?task=AVE"))

    page = run(ask())
    assert page.text(".marked") == "title Harbour Trout Rod 210 cm Length, carbon, green"
    assert page.text("mark") == "210 cm Length"
    assert page.text("#answer tbody").count("none") == 2


@pytest.mark.parametrize(
    ("text", "parts", "found"),
    [
        ("redhead, red", ["red"], "redhead, [red]"),
        ("redhead", ["red"], "[red]head"),
        ("Red mug", ["red"], "[Red] mug"),
        ("covered, Red, red", ["red"], "covered, Red, [red]"),
        ("covered in Red", ["red"], "covered in [Red]"),
        ("Covered", ["RED"], "Cove[red]"),
        ("a big red mug", ["red mug", "big red"], "a [big red] mug"),
        ("a mug", ["jug", ""], "a mug"),
        ("İ red", ["RED"], "İ red"),
        ("", [], ""),
    ],
)
def test_what_is_marked(text: str, parts: list[str], found: str) -> None:
    segments = marked(text, [Quote("title", part) for part in parts])
    assert "".join(f"[{one.text}]" if one.marked else one.text for one in segments) == found


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        (OWN, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "https://behind.a.proxy"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://elsewhere"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://service:81"}, 403),
    ],
)
def test_forms_of_other_sites_are_refused(headers: dict[str, str], status: int) -> None:
    async def ask() -> Shown:
        async with asking() as client:
            return Shown(await client.post("/?task=SA", data={"text": "Good."}, headers=headers))

    page = run(ask())
    assert page.reply.status_code == status
    if status == 403:
        assert "another site" in page.text("main")


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8000", 200), ("127.0.0.1:8000", 200), ("[::1]:8000", 200), ("evil.example:8000", 403), ("[", 403)],
)
def test_without_a_key_this_machine_is_reached_by_its_own_names_only(host: str, status: int) -> None:
    async def ask() -> int:
        async with asking() as client:
            client.base_url = "http://127.0.0.1:8000"
            headers = {"host": host, "sec-fetch-site": "same-origin"}
            return (await client.post("/?task=SA", data={"text": "Good."}, headers=headers)).status_code

    assert run(ask()) == status


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {"content-type": "application/json"}, 415),
        (b"text=" + b"a" * (4 * 2**20), {"content-type": FORM}, 413),
        (b"text=a", {"content-type": FORM, "content-encoding": "gzip"}, 415),
        (b"text=\xff%ff", {"content-type": FORM}, 200),
        (b"--b\r\nbroken", {"content-type": "multipart/form-data; boundary=b"}, 422),
        (b"broken", {"content-type": "multipart/form-data"}, 422),
        (b"&".join(b"f%d=1" % number for number in range(2000)), {"content-type": FORM}, 422),
    ],
)
def test_odd_forms_are_refused_on_a_page(content: bytes, headers: dict[str, str], status: int) -> None:
    async def ask() -> tuple[httpx2.Response, int]:
        async with asking() as client:
            odd = await client.post("/?task=SA", content=content, headers=headers)
            return odd, (await sent(client, await opened(client))).reply.status_code

    odd, good = run(ask())
    assert odd.status_code == status and good == 200
    assert odd.headers["content-type"].startswith("text/html") and "<h1>" in odd.text


def test_an_unknown_task_and_a_full_queue_are_errors_on_the_page() -> None:
    service = service_of(first_candidate(), Limits(queue=1, rows=1, wait=0))

    async def ask() -> tuple[Shown, Shown]:
        async with asking(service=service) as client:
            unknown = await opened(client, "/?task=NOPE")
            page = await opened(client, "/?task=SA")
            assert service.batcher is not None
            service.batcher.limits = Limits(queue=0)
            return unknown, await sent(client, page)

    unknown, full = run(ask())
    assert unknown.reply.status_code == 404 and "no task of that name" in unknown.text("main")
    assert full.reply.status_code == 429 and int(full.reply.headers["retry-after"]) >= 1
    assert "Too many questions" in full.text("[role=alert]")


def test_before_the_model_is_loaded_a_page_says_so_and_comes_again() -> None:
    async def ask() -> Shown:
        transport = httpx2.ASGITransport(create_app(service_of(first_candidate())))
        async with httpx2.AsyncClient(transport=transport, base_url="http://service") as client:
            return await opened(client)

    page = run(ask())
    assert page.reply.status_code == 503 and "being loaded" in page.text("main")
    assert page.soup.select_one('meta[http-equiv="refresh"]') is not None


def test_with_keys_one_signs_in_and_the_cookie_opens_the_page_alone() -> None:
    async def ask() -> dict[str, Any]:
        async with asking(allowed=Allowed(Keys([KEY, "another"]))) as client:
            found: dict[str, Any] = {"before": await opened(client)}
            found["posted before"] = await client.post("/?task=SA", data={"text": "Good."}, headers=OWN)
            found["wrong"] = Shown(await client.post("/sign-in", data={"key": "no"}, headers=OWN))
            found["long"] = await client.post("/sign-in", data={"key": "k" * 5000}, headers=OWN)
            found["cross"] = await client.post(
                "/sign-in", data={"key": KEY}, headers={"sec-fetch-site": "cross-site"}
            )
            found["right"] = await client.post("/sign-in", data={"key": KEY}, headers=OWN)
            page = await opened(client, "/?task=SA")
            found["page"], found["answer"] = page, await sent(client, page)
            found["docs"] = await client.get("/docs")
            found["api"] = await client.post("/v1/sentiment", json={"text": "Good."})
            found["metrics"] = await client.get("/metrics")
            found["reload"] = await client.post("/admin/reload")
            found["out"] = await client.post("/sign-out", headers=OWN)
            found["after"] = await opened(client)
            client.cookies.clear()
            found["bearer"] = await client.get("/", headers={"authorization": f"Bearer {KEY}"})
            return found

    found = run(ask())
    before: Shown = found["before"]
    assert before.reply.status_code == 401 and list(before.fields("Sign in")) == ["key"]
    assert [form["action"] for form in before.soup.find_all("form")] == ["sign-in"]
    assert "PM" not in before.reply.text, "nothing of the model is shown"
    assert found["posted before"].status_code == found["after"].reply.status_code == 401
    assert found["wrong"].reply.status_code == 401 and "none of the service's keys" in found["wrong"].text("main")
    assert (found["long"].status_code, found["cross"].status_code) == (413, 403)
    cookie = found["right"].headers["set-cookie"]
    assert found["right"].status_code == 303 and KEY not in cookie
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Max-Age=43200" in cookie
    assert found["page"].reply.status_code == found["answer"].reply.status_code == found["docs"].status_code == 200
    assert "$ECELLM_API_KEY" in found["answer"].text("#copy-curl")
    assert "ECELLM_API_KEY" in found["answer"].text("#copy-python")
    assert [found[name].status_code for name in ("api", "metrics", "reload")] == [401, 401, 401]
    assert found["bearer"].status_code == 200


def test_sessions_expire_and_end_with_their_key() -> None:
    keys = Keys([KEY])
    session = keys.session(KEY, 1000)
    assert session is not None and keys.session("other", 1000) is None
    assert keys.accept_session(session, 999) and not keys.accept_session(session, 1000)
    assert Keys(["new", KEY]).accept_session(session, 999) and not Keys(["new"]).accept_session(session, 999)
    _, _, signature = session.partition(".")
    for forged in (
        f"9999.{signature}",
        f"1000.{signature[:-1]}",
        "1000.",
        "",
        ".",
        f"\uff11000.{signature}",
        "1000.ü",
    ):
        assert not keys.accept_session(forged, 5)
