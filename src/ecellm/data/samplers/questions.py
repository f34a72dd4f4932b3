"""Drawing shoppers' questions, as the two AmazonQA tasks (AP, AG) share it.

The source's own splits are used. A question that stands in several of them, for whatever product, belongs to the
last for both tasks, so that none is trained on by one task and tested by the other. Case and white space do not
tell questions apart.
"""

from collections.abc import Callable, Mapping

import ibis
import ibis.expr.types as ir

from ecellm.data.samplers.base import Draw, Plan
from ecellm.data.samplers.drawing import draw_rows, normalised, outside
from ecellm.data.schema import Row, Store, keyed
from ecellm.io.hashing import SEPARATOR
from ecellm.tasks.questions import write
from ecellm.types import Domain, Example, Split, new_example

NO_SNIPPETS = "question has no review snippets"
NO_VOTE = "question has no answer with a helpful vote"
UNTESTED = "question is out of domain, but not of the test split"
#: Says which questions, as `_placed` gives them, a task cannot ask.
Unusable = Callable[[ir.Table], ir.BooleanValue]
WITHOUT_SNIPPETS: Mapping[str, Unusable] = {NO_SNIPPETS: lambda questions: ~questions.shown}


def drawn_questions(
    store: Store, plan: Plan, task: str, unusable: Mapping[str, Unusable], found: Draw
) -> list[tuple[Split, Domain, Row]]:
    """Collect the questions that a task draws from the plan's categories; `found` counts what is filtered out.

    `unusable` says by reason which questions the task cannot ask: each counts under the first reason that it meets.
    A row has the columns of the Store's table, `split` being the question's own, and `name`, which tells questions
    apart. Out-of-domain rows come from the test split alone.
    """
    rows = store.once("questions", lambda: _placed(store))
    rows = rows.filter(rows.category.isin({*plan.categories("IND"), *plan.categories("OOD")}))
    rows = rows.mutate(
        key=keyed(plan.seed, task, rows.digest), outside=outside(rows, plan), answer=rows.answerable.cast("string")
    )
    usable = _filtered(store, rows, unusable, found)
    drawn = draw_rows(
        store, usable.select("category", "product_id", "split", "key", "digest", "outside", "answer"), plan
    )
    chosen = {part: drawn.rows(*part) for part in plan.quotas}
    texts = _texts(store, [row for part in chosen.values() for row in part])
    return [
        (split, domain, {**texts[row["digest"]], "split": split})
        for (split, domain), part in chosen.items()
        for row in part
    ]


def _filtered(store: Store, rows: ir.Table, unusable: Mapping[str, Unusable], found: Draw) -> ir.Table:
    """Return the questions that can be asked; `found` counts the others by the first reason that each meets."""
    reasons: Mapping[str, Unusable] = {**unusable, UNTESTED: lambda rows: rows.outside & (rows.split != "test")}
    judged = rows.mutate(
        reason=ibis.cases(*((is_met(rows), ibis.literal(reason)) for reason, is_met in reasons.items()))
    )
    counted = {row["reason"]: row["rows"] for row in store.rows(judged.group_by("reason").agg(rows=judged.count()))}
    questions = store["questions"]
    whole = questions.mutate(digest=_digest(questions))
    for reason in reasons:
        lost = judged.filter(judged.reason == reason)
        found.drop(reason, counted.get(reason, 0), whole.semi_join(lost, "digest").drop("digest"))
    return judged.filter(judged.reason.isnull())


def _texts(store: Store, drawn: list[Row]) -> dict[str, Row]:
    """Collect the drawn questions by digest, from those of their products alone."""
    products = store.given(drawn, category="string", product_id="string")
    digests = store.given(drawn, digest="string").distinct()
    near = store["questions"].semi_join(products, ["category", "product_id"]).view()
    near = near.mutate(name=normalised(near.question), digest=_digest(near))
    return {row["digest"]: row for row in store.rows(near.semi_join(digests, "digest"))}


def question_sample(task: str, split: Split, domain: Domain, row: Row, output: str) -> Example:
    """Return the sample of one question, as `drawn_questions` gives it."""
    text, _ = write(row)
    return new_example(
        task,
        domain,
        split,
        text,
        None,
        output,
        category=row["category"],
        facts=(f"question|{row['name']}",),
        products=(f"amazon_qa|{row['product_id']}",),
    )


def _placed(store: Store) -> ir.Table:
    """Return the questions without their texts: category, product_id, kind, answerable, shown (whether there are
    snippets), voted (whether an answer has a helpful vote, or may have), digest, name (which tells questions apart),
    and split, the last of those that the question is in."""
    questions = store["questions"]
    rows = store.keep(
        questions.select(
            "category",
            "product_id",
            "kind",
            "answerable",
            "split",
            shown=questions.snippets.length() > 0,
            voted=_voted(questions),
            digest=_digest(questions),
            name=normalised(questions.question).hexdigest("md5"),
        )
    )
    order = ibis.cases((rows.split == "train", 0), (rows.split == "validation", 1), else_=2)
    last = rows.mutate(place=order).group_by("name").agg(last=lambda t: t.place.max())
    split = ibis.cases((last["last"] == 0, "train"), (last["last"] == 1, "validation"), else_="test")
    return rows.drop("split").inner_join(last.select(name="name", split=split), "name")


def _voted(questions: ir.Table) -> ir.BooleanValue:
    """Say whether an answer has a helpful vote; where votes are not known it may have."""
    return questions.answers.filter(lambda answer: answer.helpful.fill_null(1) > 0).length() > 0


def _digest(rows: ir.Table) -> ir.StringValue:
    """Return the md5 of all that a row shows: rows of one digest are equal rows."""
    replies = rows.answers.map(lambda answer: answer.text + SEPARATOR + answer.helpful.cast("string").fill_null(""))
    place = (rows.category, rows.product_id, rows.kind, rows.answerable.cast("int64"))
    return keyed("question", rows.question, *place, rows.snippets.join("\n"), replies.join("\n"))
