"""Shoppers' questions as the two AmazonQA tasks (AP, AG) share them: splits, forms, facts.

The source's own splits are used. A question that stands in several of them, for whatever product, belongs to the
last for both tasks, so that none is trained on by one task and tested by the other. Case and white space do not
tell questions apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ecellm.keys import SEPARATOR
from ecellm.records import Domain, Sample, Split, sample_id
from ecellm.tasks.drawing import draw_rows, normalised, outside
from ecellm.tasks.pieces import Cut, Path, input_and_options
from ecellm.tasks.task import Column, Draw, Form, Given, Pieces, Plan

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store

NO_SNIPPETS = "question has no review snippets"
NO_VOTE = "question has no answer with a helpful vote"

Eligible = Callable[["ir.Table"], "ir.BooleanValue"]


def drawn_questions(
    store: Store, plan: Plan, task: str, eligible: Eligible, found: Draw, voted: bool = False
) -> list[tuple[Split, Domain, dict[str, Any]]]:
    """Collect the questions that a task draws from the plan's categories; `found` counts what is left out.

    `eligible` says which questions the task may ask; with `voted` an answer must have a helpful vote. A row has the
    columns of the Store's table, `split` being the question's own, and `name`, which tells questions apart.
    Out-of-domain rows come from the test split alone.
    """
    from ecellm.store import keyed

    categories = {*plan.categories("IND"), *plan.categories("OOD")}

    def wanted(rows: ir.Table) -> ir.Table:
        return rows.filter(eligible(rows) & rows.category.isin(categories))

    rows = wanted(store.once("questions", lambda: _placed(store)))
    rows = rows.mutate(
        key=keyed(plan.seed, task, rows.digest), outside=outside(rows, plan), answer=rows.answerable.cast("string")
    )
    usable = rows.filter(rows.shown & rows.voted) if voted else rows.filter(rows.shown)
    shown = usable.filter(~usable.outside | (usable.split == "test"))
    drawn = draw_rows(
        store, shown.select("category", "product_id", "split", "key", "digest", "outside", "answer"), plan
    )
    chosen = {part: drawn.rows(*part) for part in plan.quotas}
    asked = _asked(store, [row for part in chosen.values() for row in part])
    questions = store["questions"]
    bare = questions.snippets.length() == 0
    found.drop(NO_SNIPPETS, store.count(rows.filter(~rows.shown)), wanted(questions.filter(bare)))
    if voted:
        unvoted = wanted(questions.filter(~bare & ~_voted(questions)))
        found.drop(NO_VOTE, store.count(rows.filter(rows.shown & ~rows.voted)), unvoted)
    return [
        (split, domain, {**asked[row["digest"]], "split": split})
        for (split, domain), part in chosen.items()
        for row in part
    ]


def _asked(store: Store, drawn: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Collect the drawn questions by digest, from those of their products alone."""
    products = store.given(drawn, category="string", product_id="string")
    digests = store.given(drawn, digest="string").distinct()
    near = store["questions"].semi_join(products, ["category", "product_id"]).view()
    near = near.mutate(name=normalised(near.question), digest=_digest(near))
    return {row["digest"]: row for row in store.rows(near.semi_join(digests, "digest"))}


def question_sample(task: str, split: Split, domain: Domain, row: dict[str, Any], output: str) -> Sample:
    """Return the sample of one question, as `drawn_questions` gives it."""
    text, _ = write(row)
    return Sample(
        id=sample_id(task, domain, text, None),
        task=task,
        domain=domain,
        split=split,
        input=text,
        options=None,
        output=output,
        category=row["category"],
        facts=(f"question|{row['name']}",),
        products=(f"amazon_qa|{row['product_id']}",),
    )


def write(given: Given) -> tuple[str, None]:
    """Return question and snippets."""
    return json.dumps({"question": given["question"], "document": given["snippets"]}), None


#: A question of one's own.
FORM = Form(
    (Column("question", "a shopper's question"), Column("snippets", "texts of reviews, best first", many=True)), write
)


def facts_in(sample: Sample) -> tuple[str, ...]:
    """Return the question that a row of AP or AG gives away, read off its input; none where the input is in no
    known form."""
    try:
        return (f"question|{' '.join(json.loads(sample.input)['question'].split()).lower()}",)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ()


def question_pieces(sample: Sample) -> Pieces:
    """Drop snippets from the last one on, shorten the first, then the question."""

    def rule(path: Path, value: str) -> Cut | None:
        match path:
            case ("document", 0):
                return Cut(rank=2, mark="snippet")
            case ("document", int()):
                return Cut(rank=1, how="drop", mark="snippet")
        return Cut(rank=3)

    return input_and_options(sample, rule)


def _placed(store: Store) -> ir.Table:
    """Return the questions without their texts: category, product_id, kind, answerable, shown (whether there are
    snippets), voted (whether an answer has a helpful vote, or may have), digest, name (which tells questions apart),
    and split, the last of those that the question is in."""
    import ibis

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
    from ecellm.store import keyed

    replies = rows.answers.map(lambda answer: answer.text + SEPARATOR + answer.helpful.cast("string").fill_null(""))
    place = (rows.category, rows.product_id, rows.kind, rows.answerable.cast("int64"))
    return keyed("question", rows.question, *place, rows.snippets.join("\n"), replies.join("\n"))
