"""Questions from a user's rows: columns become the published texts, and answers come in the question's terms."""

from typing import Any

import pytest

from ecellm.errors import EcellmError, ServerError
from ecellm.inference.model import Model
from ecellm.inference.row_questions import answered, given_in, missing, row_question
from ecellm.models.base import Reply
from ecellm.models.decoding.candidates import candidates_of
from ecellm.tasks import TASKS
from scored import ScoredGenerator

ROWS: dict[str, dict[str, Any]] = {
    "AVE": {"title": "Blue steel mug", "brand": "Kern", "attributes": ["Color", "Weight"]},
    "PRP": {"title_1": "Tripod", "title_2": "Camera"},
    "PM": {"title_1": "mug", "brand_1": "Kern", "price_1": 12.5, "product_2": {"title": "a mug", "price": "12"}},
    "SA": {"text": " The lid leaks.\n"},
    "SR": {"history": ["mug", "pot"], "options": ["lid", "drill", "it's a tent"]},
    "MPC": {"query": "caf\u00e9 mug", "title": "Mug<br> <b>blue</b>"},
    "PSI": {"query": "mug", "title": "Cup"},
    "QPR": {"query": "mug", "titles": ["Lamp", "Mug", "Cup"]},
    "AP": {"question": "is it loud?", "snippets": ["very quiet", "nice"]},
    "AG": {"question": "is it loud?", "snippets": '["very quiet"]'},
}
INPUTS = {
    "AVE": '{"product title": "Blue steel mug", "product brand": "Kern", "target attributes": "Color and Weight"}',
    "PRP": '{"Product 1:": "Camera", "Product 2:": "Tripod"}',
    "PM": '{"product 1": {"title": "mug", "description": NaN, "manufacturer": "Kern", "price": "12.5"}, '
    '"product 2": {"title": "a mug", "description": NaN, "manufacturer": "nan", "price": "12"}}',
    "SA": " The lid leaks.\n",
    "SR": "['1st: mug', '2nd: pot']",
    "MPC": '{"query": "cafe mug", "product title": "Mug  <b>blue</b>"}',
    "PSI": '{"query": "mug", "product": "Cup"}',
    "QPR": '{"query": "mug", "product list": ["A: Lamp", "B: Mug", "C: Cup"]}',
    "AP": '{"question": "is it loud?", "document": ["very quiet", "nice"]}',
    "AG": '{"question": "is it loud?", "document": ["very quiet"]}',
}
COMPLETIONS: dict[str, tuple[str, Any]] = {
    "AVE": (
        '[{"attribute": "color", "value": "blue", "source": "product title"}, '
        '{"attribute": "weight", "value": "None", "source": "None"}]',
        [
            {"attribute": "Color", "value": "blue", "source": "title"},
            {"attribute": "Weight", "value": None, "source": None},
        ],
    ),
    "PRP": ("B", "also_view"),
    "PM": ("yes", "yes"),
    "SA": ("D: negative", "negative"),
    "SR": ("C", "it's a tent"),
    "MPC": ("C: The product is not what the query asks for, but goes well with it", "complement"),
    "PSI": ("no", "no"),
    "QPR": ("B,C,A", ["Mug", "Cup", "Lamp"]),
    "AP": ("yes", "yes"),
    "AG": ("It is quiet.", "It is quiet."),
}


def test_every_task_has_an_example_here() -> None:
    assert set(ROWS) == set(INPUTS) == set(COMPLETIONS) == set(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_a_row_reads_as_the_published_rows_do(task: str) -> None:
    example = row_question(TASKS[task], ROWS[task], "1").question.example
    assert example.input == INPUTS[task]
    parts = TASKS[task].pieces(example)
    assert "".join(piece.text for piece in parts.input) == example.input
    assert "".join(piece.text for piece in parts.options) == (example.options or "")
    assert TASKS[task].answer.parse(COMPLETIONS[task][0], example) is not None


@pytest.mark.parametrize("task", TASKS)
def test_an_answer_comes_in_the_questions_own_terms(task: str) -> None:
    made = row_question(TASKS[task], ROWS[task], "1")
    candidates = candidates_of(made.question.example)
    scores = None if candidates is None else dict.fromkeys(candidates, 1 / len(candidates))
    text, expected = COMPLETIONS[task]
    answer = answered(TASKS[task], made, Reply(text, 0.5 if scores else None, scores))
    assert answer.answer == expected and answer.text == text
    if scores:
        assert answer.probabilities is not None and sum(answer.probabilities.values()) == pytest.approx(1)
        assert ("B,C,A" if task == "QPR" else expected) in answer.probabilities
    assert answered(TASKS[task], made, Reply("")).answer is None


def test_probabilities_of_equal_options_add_up() -> None:
    made = row_question(TASKS["SR"], {"history": ["mug"], "options": ["lid", "lid", "pot"]}, "1")
    answer = answered(TASKS["SR"], made, Reply("A", 0.5, {"A": 0.5, "B": 0.2, "C": 0.3}))
    assert answer.probabilities == pytest.approx({"lid": 0.7, "pot": 0.3})


@pytest.mark.parametrize("task", TASKS)
def test_a_needed_value_that_is_missing_is_named(task: str) -> None:
    for column in TASKS[task].form.columns:
        row = {**given_in(TASKS[task], ROWS[task]), column.name: float("nan")}
        if column.needed:
            with pytest.raises(EcellmError, match=f"{column.name} is empty"):
                row_question(TASKS[task], row, "1")
        else:
            row_question(TASKS[task], row, "1")


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("QPR", {"titles": ["a", "b", "c", "d", "e"]}, "titles has 5 of them: 2 to 4 can be ranked"),
        ("QPR", {"titles": "one title"}, "titles has 1 of them"),
        ("SR", {"options": ["x"] * 21}, "options has 21 of them: 2 to 20"),
        ("PRP", {"title_2": "Tripod"}, "title_1 and title_2 are the same"),
        ("MPC", {"title": "\u8336"}, "title is empty once letters beyond ASCII are gone"),
        ("AVE", {"attributes": ["Salt and Pepper"]}, "'Salt and Pepper'"),
        ("PM", {"product_1": "{broken"}, "product_1 is no JSON object"),
        ("PM", {"product_1": '{"title": "a", "title": "b"}'}, "product_1 is a JSON object that gives title twice"),
        ("PM", {"product_1": '{"title": ' + "[" * 9000}, "product_1 is JSON that is nested too deeply"),
        ("PM", {"product_1": 3}, "product_1 is neither an object nor a text"),
        ("PM", {"product_1": "SKU-1"}, "title_1 stands beside product_1: give product 1 as columns or as a record"),
        ("PM", {"product_2": {"title": "mug"}, "price_2": 3}, "price_2 stands beside product_2"),
        ("PRP", {"product_2": "mug"}, "title_2 stands beside product_2"),
        ("SA", {"text": ["a", "b"]}, "text is no single text"),
        ("SA", {"text": "caf\udce9"}, "text is not valid UTF-8"),
    ],
)
def test_an_invalid_row_is_reported_in_one_sentence(task: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EcellmError, match=message):
        row_question(TASKS[task], {**ROWS[task], **changes}, "1")


def test_a_record_counts_for_its_products_columns() -> None:
    assert missing(TASKS["PM"], ["title_1", "price_1"]) == ["title_2"]
    assert missing(TASKS["PM"], ["product_1", "product_2"]) == []
    given = given_in(TASKS["PM"], {"product_1": '{"title": "mug", "brand": "Kern"}', "product_2": "a pot"})
    assert (given["title_1"], given["brand_1"], given["title_2"], given["price_2"]) == ("mug", "Kern", "a pot", None)


def test_each_product_may_have_its_own_form_and_empty_cells_are_no_second_one() -> None:
    rows: list[dict[str, Any]] = [
        {"product_1": "", "title_1": "mug", "product_2": "cup", "title_2": ""},
        {
            "product_1": None,
            "title_1": "mug",
            "product_2": {"title": "cup"},
            "title_2": None,
            "price_2": float("nan"),
        },
    ]
    for row in rows:
        given = given_in(TASKS["PM"], row)
        assert (given["title_1"], given["title_2"]) == ("mug", "cup")
    assert given_in(TASKS["SA"], {"text": "fine", "product_1": [1]})["text"] == "fine"
    fields = TASKS["PM"].with_fields(["title", "product"])
    given = given_in(fields, {"title_1": "a", "product_1": "pen", "title_2": "b", "product_2": "ink"})
    assert (given["title_1"], given["product_1"], given["product_2"]) == ("a", "pen", "ink")


def test_of_a_long_history_the_newest_purchases_are_shown() -> None:
    history = [f"item {number}" for number in range(70)]
    example = row_question(TASKS["SR"], {"history": history, "options": ["a", "b"]}, "1").question.example
    assert example.input.startswith("['1st: item 20',") and example.input.endswith("'50th: item 69']")


def test_the_models_methods_ask_their_tasks() -> None:
    model = Model(ScoredGenerator(COMPLETIONS["AVE"][0]))
    assert model.match("mug", {"title": "a mug", "price": "12"}).answer in ("yes", "no")
    assert model.relate("Tripod", "Camera").answer in ("also_buy", "also_view", "similar")
    assert model.rate_sentiment("It leaks.").answer in (
        "very positive",
        "positive",
        "neutral",
        "negative",
        "very negative",
    )
    assert model.recommend(["mug"], ["lid", "pot"]).answer in ("lid", "pot")
    assert model.judge("mug", "Cup").answer in ("exact", "substitute", "complement", "irrelevant")
    assert model.check_substitute("mug", "Cup").answer in ("yes", "no")
    assert sorted(model.rank("mug", ["Cup", "Lamp"]).answer or []) == ["Cup", "Lamp"]
    assert model.check_answerable("loud?", ["quiet"]).answer in ("yes", "no")
    assert model.answer("loud?", ["quiet"]).answer == COMPLETIONS["AVE"][0]
    assert model.extract("Blue mug", ["Color", "Weight"]).answer == COMPLETIONS["AVE"][1]
    closed = model.match("mug", "cup")
    assert closed.probabilities is not None and closed.probability == max(closed.probabilities.values())
    assert closed.p_yes == closed.probabilities["yes"]
    assert model.judge("mug", "Cup").p_yes is None and model.answer("loud?", ["quiet"]).p_yes is None


def test_many_questions_get_the_answers_of_one_at_a_time_in_order() -> None:
    model = Model(ScoredGenerator())
    titles = [f"mug {'blue ' * (number % 5)}{number}" for number in range(90)]
    assert model.match(titles, titles[::-1]) == [
        model.match(*pair) for pair in zip(titles, titles[::-1], strict=True)
    ]
    assert model.judge("mug", titles) == [model.judge("mug", title) for title in titles]
    assert model.rate_sentiment(titles) == [model.rate_sentiment(title) for title in titles]
    lists = [titles[:2], titles[1:4]]
    assert model.rank("mug", lists) == [model.rank("mug", titles) for titles in lists]
    assert model.recommend(lists, lists) == [model.recommend(titles, titles) for titles in lists]
    assert model.check_answerable(["a?", "b?"], lists) == [
        model.check_answerable(question, snippets) for question, snippets in zip(["a?", "b?"], lists, strict=True)
    ]
    products = [{"title": "mug"}, {"title": "pot", "brand": "Kern"}]
    both = model.extract(products, ["Color"])
    assert both == [model.extract(product, ["Color"]) for product in products]
    assert model.rate_sentiment([]) == []


def test_invalid_questions_are_named_by_number() -> None:
    model = Model(ScoredGenerator())
    with pytest.raises(EcellmError, match="Question 1: text is empty"):
        model.rate_sentiment(["good", " "])
    with pytest.raises(EcellmError, match="title_2 has 1 values where the other list has 2"):
        model.relate(["a", "b"], ["c"])
    with pytest.raises(EcellmError, match="Unknown task"):
        model.ask("XYZ", [])


def test_a_question_that_gets_no_answer_is_an_error() -> None:
    generator = ScoredGenerator()
    generator.failing = {"broken"}
    with pytest.raises(ServerError, match="Question 1 got no answer: the server is busy"):
        Model(generator).rate_sentiment(["fine", "broken"])
