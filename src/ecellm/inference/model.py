"""The Python API: a model that answers the ten tasks' questions, one at a time or many.

    import ecellm

    model = ecellm.load_model("runs/demo/model")
    model.match({"title": "clickart 950 000", "price": "0"}, "clickart 950000 dvd").answer   # "yes"

Every method takes one question, or lists of equal length for many; what is one text or record for all of them may be
given once. Each answer is an `Answer`; many answers come as a list in the order of the questions. All methods raise
EcellmError, naming the question, where one is invalid, and ServerError where a server gave no answer.
"""

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any, TypedDict, TypeGuard, overload

from ecellm.errors import DataError, EcellmError, ServerError
from ecellm.inference.frames import Frame, FrameT, rows_of, with_answers
from ecellm.inference.row_questions import Answer, answered, row_question
from ecellm.models.base import Failure, Generator, Request
from ecellm.models.decoding.batching import batches
from ecellm.tasks import TASKS, Task, chosen_tasks

#: A product: its title, or its fields by name (title, description, brand, price, feature).
Product = str | Mapping[str, object]
Texts = list[str] | tuple[str, ...]
Products = list[str] | list[dict[str, Any]] | list[Mapping[str, Any]] | list[Product]
TextLists = list[list[str]] | list[tuple[str, ...]]
#: Answers whose type only the method knows that asks for them, and one of them or several.
Answers = list[Answer[Any]]
Answered = Answer[Any] | Answers


class AttributeValue(TypedDict):
    """What a text says of an attribute."""

    attribute: str
    value: str | None
    source: str | None
    """The field that the value stands in."""


class Model:
    """A model that answers questions of the ten tasks."""

    def __init__(self, generator: Generator):
        self.generator = generator

    @overload
    def ask(
        self, task: str, rows: Sequence[Mapping[str, object]], fields: Sequence[str] | None = None
    ) -> Answers: ...
    @overload
    def ask(self, task: str, rows: FrameT, fields: Sequence[str] | None = None) -> FrameT: ...
    def ask(
        self, task: str, rows: Sequence[Mapping[str, object]] | Frame, fields: Sequence[str] | None = None
    ) -> Answers | Frame:
        """Answer questions of a task by its columns (docs/asking.md), such as {"query": ..., "title": ...}.

        A sequence of mappings gets a list of `Answer` in its order. A pandas or Polars frame or an Arrow table gets
        a copy of itself with the columns `answer`, `probability` and `probabilities` (a JSON object as text).

        `fields` are those of PM's records, where the model was tuned on others than the published ones.

        Raises ConfigError for an unknown task or fields, DataError, naming the row, for an invalid one,
        and ServerError where a server gave no answer.
        """
        (chosen,) = chosen_tasks(task)
        if fields is not None:
            chosen = chosen.with_fields(fields)
        if isinstance(rows, Frame):
            return with_answers(rows, chosen, self._answers(chosen, rows_of(rows)))
        if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
            raise DataError("The rows are neither a list of mappings nor a pandas, Polars or Arrow table.")
        return self._answers(chosen, rows)

    def _answers(self, chosen: Task, rows: Sequence[Mapping[str, object]]) -> Answers:
        """Answer rows of a task, in order; the generator makes batches of questions of a like length."""
        made = []
        for number, row in enumerate(rows):
            try:
                made.append(row_question(chosen, row, str(number)))
            except EcellmError as error:
                raise DataError(f"Question {number}: {error}" if len(rows) > 1 else str(error)) from error
        prompts = self.generator.prompts([one.question for one in made])
        requests = [Request(one.question, prompt) for one, prompt in zip(made, prompts, strict=True)]
        found: dict[int, Answer[object]] = {}
        for batch in batches(requests):
            for request, reply in zip(batch, self.generator.reply(batch), strict=True):
                number = int(request.question.example.id)
                if isinstance(reply, Failure):
                    named = f"Question {number}" if len(rows) > 1 else "The question"
                    raise ServerError(f"{named} got no answer: {reply.reason}")
                found[number] = answered(chosen, made[number], reply)
        return [found[number] for number in range(len(rows))]

    @overload
    def extract(self, product: Product, attributes: Texts) -> Answer[list[AttributeValue]]: ...
    @overload
    def extract(self, product: Products, attributes: Texts | TextLists) -> list[Answer[list[AttributeValue]]]: ...
    def extract(self, product: Product | Products, attributes: Texts | TextLists) -> Answered:
        """AVE: return the values that the product's texts give for the attributes."""
        if isinstance(product, str | Mapping):
            return self.ask(_named("extract"), [{**_record(product), "attributes": attributes}])[0]
        each = attributes if _lists(attributes) else [attributes] * len(product)
        return self._many(_named("extract"), [_record(one) for one in product], attributes=each)

    @overload
    def relate(self, title_1: str, title_2: str) -> Answer[str]: ...
    @overload
    def relate(self, title_1: Texts, title_2: Texts) -> list[Answer[str]]: ...
    def relate(self, title_1: str | Texts, title_2: str | Texts) -> Answered:
        """PRP: return also_buy, also_view or similar."""
        return self._pairs(_named("relate"), title_1=title_1, title_2=title_2)

    @overload
    def match(self, product_1: Product, product_2: Product, fields: Sequence[str] | None = None) -> Answer[str]: ...
    @overload
    def match(
        self, product_1: Products, product_2: Products, fields: Sequence[str] | None = None
    ) -> list[Answer[str]]: ...
    def match(
        self, product_1: Product | Products, product_2: Product | Products, fields: Sequence[str] | None = None
    ) -> Answered:
        """PM: return whether two records are the same product, yes or no; `fields` as of `ask`."""
        return self._pairs(_named("match"), fields, product_1=product_1, product_2=product_2)

    @overload
    def rate_sentiment(self, text: str) -> Answer[str]: ...
    @overload
    def rate_sentiment(self, text: Texts) -> list[Answer[str]]: ...
    def rate_sentiment(self, text: str | Texts) -> Answered:
        """SA: return a review's sentiment, from very positive to very negative."""
        return self._pairs(_named("rate_sentiment"), text=text)

    @overload
    def recommend(self, history: Texts, options: Texts) -> Answer[str]: ...
    @overload
    def recommend(self, history: TextLists, options: TextLists) -> list[Answer[str]]: ...
    def recommend(self, history: Texts | TextLists, options: Texts | TextLists) -> Answered:
        """SR: return the option that is bought next; the history is of texts, oldest first."""
        if not _lists(options):
            return self.ask(_named("recommend"), [{"history": history, "options": options}])[0]
        return self._many(_named("recommend"), [{} for _ in options], history=history, options=options)

    @overload
    def judge(self, query: str, title: str) -> Answer[str]: ...
    @overload
    def judge(self, query: str | Texts, title: Texts) -> list[Answer[str]]: ...
    def judge(self, query: str | Texts, title: str | Texts) -> Answered:
        """MPC: return how a product stands to a query: exact, substitute, complement or irrelevant."""
        return self._pairs(_named("judge"), query=query, title=title)

    @overload
    def check_substitute(self, query: str, title: str) -> Answer[str]: ...
    @overload
    def check_substitute(self, query: str | Texts, title: Texts) -> list[Answer[str]]: ...
    def check_substitute(self, query: str | Texts, title: str | Texts) -> Answered:
        """PSI: return whether a product can stand in for what the query asks for, yes or no."""
        return self._pairs(_named("check_substitute"), query=query, title=title)

    @overload
    def rank(self, query: str, titles: Texts) -> Answer[list[str]]: ...
    @overload
    def rank(self, query: str | Texts, titles: TextLists) -> list[Answer[list[str]]]: ...
    def rank(self, query: str | Texts, titles: Texts | TextLists) -> Answered:
        """QPR: return two to four titles, the one that serves the query best first."""
        return self._with_lists(_named("rank"), "query", query, "titles", titles)

    @overload
    def check_answerable(self, question: str, snippets: Texts) -> Answer[str]: ...
    @overload
    def check_answerable(self, question: str | Texts, snippets: TextLists) -> list[Answer[str]]: ...
    def check_answerable(self, question: str | Texts, snippets: Texts | TextLists) -> Answered:
        """AP: return whether snippets of reviews answer the question, yes or no."""
        return self._with_lists(_named("check_answerable"), "question", question, "snippets", snippets)

    @overload
    def answer(self, question: str, snippets: Texts) -> Answer[str]: ...
    @overload
    def answer(self, question: str | Texts, snippets: TextLists) -> list[Answer[str]]: ...
    def answer(self, question: str | Texts, snippets: Texts | TextLists) -> Answered:
        """AG: return an answer to the question, from snippets of reviews."""
        return self._with_lists(_named("answer"), "question", question, "snippets", snippets)

    def _pairs(self, task: str, fields: Sequence[str] | None = None, /, **values: object) -> Answered:
        """Ask about single values, or about lists of them."""
        if not any(_is_many(value) for value in values.values()):
            return self.ask(task, [values], fields)[0]
        rows = next(len(value) for value in values.values() if _is_many(value))
        each = {name: value if _is_many(value) else [value] * rows for name, value in values.items()}
        return self._many(task, [{} for _ in range(rows)], fields, **each)

    def _with_lists(self, task: str, name: str, value: str | Texts, lists: str, texts: Texts | TextLists) -> Answered:
        """Ask with one list of texts, or with a list of such lists."""
        if not _lists(texts):
            return self.ask(task, [{name: value, lists: texts}])[0]
        each = value if _is_many(value) else [value] * len(texts)
        return self._many(task, [{} for _ in texts], **{name: each, lists: texts})

    def _many(
        self,
        task: str,
        rows: Sequence[Mapping[str, object]],
        fields: Sequence[str] | None = None,
        /,
        **more: Sequence[object],
    ) -> Answers:
        """Ask rows with more columns; raises DataError where these are of other lengths."""
        # By position: a pandas Series would be looked up by its index.
        listed = {name: list(values) for name, values in more.items()}
        for name, values in listed.items():
            if len(values) != len(rows):
                raise DataError(f"{name} has {len(values)} values where the other list has {len(rows)}.")
        columns = [{name: values[place] for name, values in listed.items()} for place in range(len(rows))]
        return self.ask(task, [{**row, **column} for row, column in zip(rows, columns, strict=True)], fields)


def _named(verb: str) -> str:
    """Return the name of the task that a method asks."""
    return next(task.name for task in TASKS.values() if task.verb == verb)


def _is_many(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sized) and isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def _lists(value: Sequence[object]) -> bool:
    """Say whether these are lists of texts, not texts."""
    return _is_many(value) and _is_many(next(iter(value), None))


def _record(product: Product) -> Mapping[str, object]:
    return {"title": product} if isinstance(product, str) else product
