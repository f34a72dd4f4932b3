"""The methods of the Python API for event loops, written by tests/async_methods.py."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, overload

from ecellm.errors import DataError
from ecellm.inference.frames import Frame, FrameT, rows_of, with_answers
from ecellm.inference.method_arguments import (
    Answered,
    Answers,
    AttributeValue,
    Product,
    Products,
    TextLists,
    Texts,
    are_lists,
    in_columns,
    is_many,
    record_of,
    task_named,
)
from ecellm.inference.row_questions import Answer
from ecellm.tasks import Task, chosen_tasks


class AsyncTaskMethods(ABC):
    """A method for each of the ten tasks, and `ask` for any."""

    @overload
    async def ask(
        self, task: str, rows: Sequence[Mapping[str, object]], fields: Sequence[str] | None = None
    ) -> Answers: ...
    @overload
    async def ask(self, task: str, rows: FrameT, fields: Sequence[str] | None = None) -> FrameT: ...
    async def ask(
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
            return with_answers(rows, chosen, await self._answers(chosen, rows_of(rows)))
        if not isinstance(rows, Sequence) or not all(isinstance(row, Mapping) for row in rows):
            raise DataError("The rows are neither a list of mappings nor a pandas, Polars or Arrow table.")
        return await self._answers(chosen, rows)

    @abstractmethod
    async def _answers(self, chosen: Task, rows: Sequence[Mapping[str, object]]) -> Answers:
        """Answer rows of a task, in order."""

    @overload
    async def extract(self, product: Product, attributes: Texts) -> Answer[list[AttributeValue]]: ...
    @overload
    async def extract(
        self, product: Products, attributes: Texts | TextLists
    ) -> list[Answer[list[AttributeValue]]]: ...
    async def extract(self, product: Product | Products, attributes: Texts | TextLists) -> Answered:
        """AVE: return the values that the product's texts give for the attributes."""
        if isinstance(product, str | Mapping):
            return await self._one(task_named("extract"), {**record_of(product), "attributes": attributes})
        each = attributes if are_lists(attributes) else [attributes] * len(product)
        return await self._many(task_named("extract"), [record_of(one) for one in product], attributes=each)

    @overload
    async def relate(self, title_1: str, title_2: str) -> Answer[str]: ...
    @overload
    async def relate(self, title_1: Texts, title_2: Texts) -> list[Answer[str]]: ...
    async def relate(self, title_1: str | Texts, title_2: str | Texts) -> Answered:
        """PRP: return also_buy, also_view or similar."""
        return await self._pairs(task_named("relate"), title_1=title_1, title_2=title_2)

    @overload
    async def match(
        self, product_1: Product, product_2: Product, fields: Sequence[str] | None = None
    ) -> Answer[str]: ...
    @overload
    async def match(
        self, product_1: Products, product_2: Products, fields: Sequence[str] | None = None
    ) -> list[Answer[str]]: ...
    async def match(
        self, product_1: Product | Products, product_2: Product | Products, fields: Sequence[str] | None = None
    ) -> Answered:
        """PM: return whether two records are the same product, yes or no; `fields` as of `ask`."""
        return await self._pairs(task_named("match"), fields, product_1=product_1, product_2=product_2)

    @overload
    async def rate_sentiment(self, text: str) -> Answer[str]: ...
    @overload
    async def rate_sentiment(self, text: Texts) -> list[Answer[str]]: ...
    async def rate_sentiment(self, text: str | Texts) -> Answered:
        """SA: return a review's sentiment, from very positive to very negative."""
        return await self._pairs(task_named("rate_sentiment"), text=text)

    @overload
    async def recommend(self, history: Texts, options: Texts) -> Answer[str]: ...
    @overload
    async def recommend(self, history: TextLists, options: TextLists) -> list[Answer[str]]: ...
    async def recommend(self, history: Texts | TextLists, options: Texts | TextLists) -> Answered:
        """SR: return the option that is bought next; the history is of texts, oldest first."""
        if not are_lists(options):
            return await self._one(task_named("recommend"), {"history": history, "options": options})
        return await self._many(task_named("recommend"), [{} for _ in options], history=history, options=options)

    @overload
    async def judge(self, query: str, title: str) -> Answer[str]: ...
    @overload
    async def judge(self, query: str | Texts, title: Texts) -> list[Answer[str]]: ...
    async def judge(self, query: str | Texts, title: str | Texts) -> Answered:
        """MPC: return how a product stands to a query: exact, substitute, complement or irrelevant."""
        return await self._pairs(task_named("judge"), query=query, title=title)

    @overload
    async def check_substitute(self, query: str, title: str) -> Answer[str]: ...
    @overload
    async def check_substitute(self, query: str | Texts, title: Texts) -> list[Answer[str]]: ...
    async def check_substitute(self, query: str | Texts, title: str | Texts) -> Answered:
        """PSI: return whether a product can stand in for what the query asks for, yes or no."""
        return await self._pairs(task_named("check_substitute"), query=query, title=title)

    @overload
    async def rank(self, query: str, titles: Texts) -> Answer[list[str]]: ...
    @overload
    async def rank(self, query: str | Texts, titles: TextLists) -> list[Answer[list[str]]]: ...
    async def rank(self, query: str | Texts, titles: Texts | TextLists) -> Answered:
        """QPR: return two to four titles, the one that serves the query best first."""
        return await self._with_lists(task_named("rank"), "query", query, "titles", titles)

    @overload
    async def check_answerable(self, question: str, snippets: Texts) -> Answer[str]: ...
    @overload
    async def check_answerable(self, question: str | Texts, snippets: TextLists) -> list[Answer[str]]: ...
    async def check_answerable(self, question: str | Texts, snippets: Texts | TextLists) -> Answered:
        """AP: return whether snippets of reviews answer the question, yes or no."""
        return await self._with_lists(task_named("check_answerable"), "question", question, "snippets", snippets)

    @overload
    async def answer(self, question: str, snippets: Texts) -> Answer[str]: ...
    @overload
    async def answer(self, question: str | Texts, snippets: TextLists) -> list[Answer[str]]: ...
    async def answer(self, question: str | Texts, snippets: Texts | TextLists) -> Answered:
        """AG: return an answer to the question, from snippets of reviews."""
        return await self._with_lists(task_named("answer"), "question", question, "snippets", snippets)

    async def _pairs(self, task: str, fields: Sequence[str] | None = None, /, **values: object) -> Answered:
        """Ask about single values, or about lists of them."""
        if not any(is_many(value) for value in values.values()):
            return await self._one(task, values, fields)
        rows = next(len(value) for value in values.values() if is_many(value))
        each = {name: value if is_many(value) else [value] * rows for name, value in values.items()}
        return await self._many(task, [{} for _ in range(rows)], fields, **each)

    async def _with_lists(
        self, task: str, name: str, value: str | Texts, lists: str, texts: Texts | TextLists
    ) -> Answered:
        """Ask with one list of texts, or with a list of such lists."""
        if not are_lists(texts):
            return await self._one(task, {name: value, lists: texts})
        each = value if is_many(value) else [value] * len(texts)
        return await self._many(task, [{} for _ in texts], **{name: each, lists: texts})

    async def _many(
        self,
        task: str,
        rows: Sequence[Mapping[str, object]],
        fields: Sequence[str] | None = None,
        /,
        **more: Sequence[object],
    ) -> Answers:
        """Ask rows with more columns; raises DataError where these are of other lengths."""
        columns = in_columns(more, len(rows))
        return await self.ask(task, [{**row, **column} for row, column in zip(rows, columns, strict=True)], fields)

    async def _one(self, task: str, row: Mapping[str, object], fields: Sequence[str] | None = None) -> Answer[Any]:
        """Ask one row."""
        (found,) = await self.ask(task, [row], fields)
        return found
