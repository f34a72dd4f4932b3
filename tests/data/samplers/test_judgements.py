"""What the three ESCI tasks share: cleaned texts, one split per query, one judgement per pair."""

from collections import Counter, defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecellm.data.filters.quality import unfit
from ecellm.data.samplers import Draw, Plan, mpc, psi, qpr
from ecellm.data.samplers.judgements import NO_QUERY, NO_TEXT, NO_TITLE, REPEATED, judged, query_name
from ecellm.data.schema import Store
from ecellm.tasks import TASKS
from ecellm.tasks.judgements import shown_query, shown_title
from ecellm.types import Example
from judged_rows import esci, judgement, queries
from stores import store

PLENTY: Any = {("train", "IND"): 1000, ("validation", "IND"): 1000, ("test", "IND"): 1000}
SAMPLERS = {"MPC": mpc.SAMPLER, "PSI": psi.SAMPLER, "QPR": qpr.SAMPLER}


def drawn(shop: Store, seed: int = 1) -> list[Example]:
    return [example for sampler in SAMPLERS.values() for example in sampler.draw(shop, Plan(seed, PLENTY)).examples]


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("plain words", "plain words"),
        ("  two\t words \r\n", "  two  words   "),
        ("a<br>b</p> <b>c</b></br><p>", "a b  <b>c</b>  "),
        ("a <BR> b<br/>", "a <BR> b<br/>"),
        ("5 < 6 > 4", "5 < 6 > 4"),
        ("Café crème", "Cafe creme"),
        ("Lego® ½ kit™", "Lego 12 kitTM"),
        ("wide\u2003space\u00a0here", "wide space here"),
        ("日本", ""),
    ],
)
def test_a_title_is_shown_in_ascii_with_a_space_for_each_line_break_and_plain_tag(title: str, shown: str) -> None:
    assert shown_title(title) == shown


@pytest.mark.parametrize(
    ("query", "shown"),
    [("usb  hub ", "usb  hub "), ("<p>mug\n", "<p>mug\n"), ("thé", "the"), ("ｕｓｂ", "usb"), ("日本", "")],  # noqa: RUF001
)
def test_a_query_is_shown_in_ascii_and_nothing_else_of_it_changes(query: str, shown: str) -> None:
    assert shown_query(query) == shown


@settings(max_examples=8)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1, max_size=30))
def test_the_stores_queries_are_named_as_python_does(texts: list[str]) -> None:
    shop = esci([judgement(text, f"p{number}") for number, text in enumerate(texts)])
    left_out = Draw()
    rows = judged(shop, Plan(1, PLENTY), "PSI", left_out)
    found = {row["product_id"]: row["name"] for row in rows.to_pyarrow().to_pylist()}
    names = {f"p{number}": query_name(text) for number, text in enumerate(texts)}
    assert found == {product: name for product, name in names.items() if name}
    assert left_out.dropped[NO_QUERY] == sum(not name for name in names.values())


def test_a_query_with_one_tested_row_is_held_out_whole_however_it_is_spelled() -> None:
    spellings = ["usb  hub", "USB Hub", "usb\thub ", "\uff55\uff53\uff42 hub"]
    rows = [judgement(text, f"p{number}", "ES"[number % 2]) for number, text in enumerate(spellings)]
    rows.append(judgement("usb hub", "untitled", split="test"))
    examples = drawn(esci([*rows, *queries(10)], {"untitled": None}))
    splits = {example.split for example in examples if "hub" in example.input.lower()}
    assert splits in ({"test"}, {"validation"})
    assert {example.split for example in examples if "hub" not in example.input.lower()} == {"train"}
    shown = {example.facts[0].split("|")[1] for example in examples if "hub" in example.input.lower()}
    assert shown == {"usb hub"}


def test_the_tested_queries_are_halved_into_validation_and_test() -> None:
    rows = judged(esci(queries(200, tested=200)), Plan(1, PLENTY), "MPC", Draw())
    sides = {row["name"]: row["split"] for row in rows.to_pyarrow().to_pylist()}
    tested = sum(side == "test" for side in sides.values())
    assert set(sides.values()) == {"validation", "test"}
    assert 70 <= tested <= 130


judgements = st.lists(
    st.builds(
        judgement,
        st.sampled_from(["usb hub", "USB  Hub", "tea", "Tea ", "thé", "the", "<b>mug</b>", "mug"]),
        st.sampled_from("pqrst"),
        st.sampled_from("ESCI"),
        st.sampled_from(["train", "test"]),
        st.booleans(),
    ),
    max_size=40,
)


@settings(max_examples=8)
@given(judgements, st.sampled_from([0, 1, 2]))
def test_no_query_and_no_judgement_stands_in_two_splits_of_any_tasks(rows: list[dict[str, Any]], seed: int) -> None:
    titles: dict[str, str | None] = {"p": "Thing", "q": "thing ", "r": "Thíng", "s": "Other", "t": " "}
    sides: dict[str, set[str]] = defaultdict(set)
    for example in drawn(esci(rows, titles), seed):
        for key in example.facts:
            _, query, title = key.split("|")
            assert query == query_name(query) and title == " ".join(shown_title(title).split()).lower()
            sides[query].add(example.split)
    assert all(len(found) == 1 for found in sides.values())
    tested = {query_name(row["query"]) for row in rows if row["split"] == "test"}
    assert all(("train" not in found) == (query in tested) for query, found in sides.items())


def test_what_cannot_be_shown_or_repeats_is_left_out_and_counted() -> None:
    rows = [
        judgement("mug", "p", "S"),
        judgement("MUG", "p", "E"),
        judgement("mug", "untitled"),
        judgement("mug", "nowhere"),
        judgement("日本", "p"),
        judgement("mug", "foreign"),
    ]
    shop = esci(rows, {"untitled": None, "foreign": "日本"})
    present = shop["products"].filter(lambda t: t.product_id != "nowhere")
    found = psi.SAMPLER.draw(Store({**shop.tables, "products": present}), Plan(1, PLENTY))
    assert [example.facts for example in found.examples] == [("judgement|mug|thing p",)]
    assert dict(found.dropped) == {NO_TITLE: 2, NO_QUERY: 1, REPEATED: 1, NO_TEXT: 1}


def test_of_two_labels_of_one_pair_the_first_in_the_alphabet_stays() -> None:
    rows = [judgement("mug", "p", "S"), judgement("mug", "p", "I"), judgement("Mug", "p", "E")]
    for order in (rows, rows[::-1]):
        (found,) = mpc.SAMPLER.draw(esci(order), Plan(1, PLENTY)).examples
        assert found.output.startswith("A: ")


def test_products_of_other_catalogues_are_no_answer() -> None:
    products = [{"catalogue": "amazon", "product_id": "p", "title": "Mug"}]
    found = mpc.SAMPLER.draw(store(judgements=[judgement("mug", "p")], products=products), Plan(1, PLENTY))
    assert found.examples == [] and found.dropped == {NO_TITLE: 1}


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_the_order_of_the_rows_changes_nothing_and_the_seed_changes_the_draw(sampler: Any) -> None:
    rows = queries(60, tested=20, labels="ESI")
    one = sampler.draw(esci(rows), Plan(1, PLENTY)).examples
    assert sampler.draw(esci(rows[::-1]), Plan(1, PLENTY)).examples == one
    assert sampler.draw(esci(rows), Plan(2, PLENTY)).examples != one


def test_tasks_draw_their_own_rows() -> None:
    shop, plan = esci(queries(200)), Plan(1, {("train", "IND"): 10})
    one, other = mpc.SAMPLER.draw(shop, plan).examples, psi.SAMPLER.draw(shop, plan).examples
    assert len(one) == len(other) == 10 + 5 + 20  # the quota and its reserve
    assert {example.facts for example in one} != {example.facts for example in other}


def test_a_users_own_splits_are_kept_with_every_row() -> None:
    splits = ("train", "train", "validation", "test", "test")
    rows = [judgement("mug", "p", label, split) for label, split in zip("ESESE", splits, strict=True)]
    rows += [judgement("mug", "q", "I", split) for split in splits]
    shop, plan = esci(rows), Plan(1, PLENTY, given_split=True)
    for sampler in (mpc.SAMPLER, psi.SAMPLER):
        examples = sampler.draw(shop, plan).examples
        assert Counter(example.split for example in examples) == {"train": 4, "validation": 2, "test": 4}
    ranked = qpr.SAMPLER.draw(shop, plan).examples
    assert {example.split for example in ranked} == {"train", "validation", "test"}


def test_the_language_of_a_row_is_told_by_its_texts_as_the_source_wrote_them() -> None:
    title = "ソニー Sony ワイヤレスヘッドホン"
    rows = [judgement("headphones", "p"), judgement("headphones", "q", "S")]
    shop = esci(rows, {"p": title, "q": "wireless headphones"})
    for name, sampler in SAMPLERS.items():
        found = sampler.draw(shop, Plan(1, PLENTY))
        assert {texts for texts in found.written.values() if "headphones" in texts} == set(found.written.values())
        unfitting = unfit(found.examples, TASKS[name], "en", None, found.written)
        assert unfitting and all(title in found.written[example.id] for _, example in unfitting)
