"""The worker of the batcher: a model answers the questions of any task, as `ecellm ask` would, and goes on with chats
where it is a language model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ecellm.errors import EcellmError, ModelError, ServerError
from ecellm.inference.row_questions import Answer, RowQuestion, answered
from ecellm.models.base import Chat, ChatReply, Chatting, Failure, Generator, Request
from ecellm.models.decoding.candidates import candidates_of
from ecellm.serving.batching import Ready
from ecellm.tasks import Task


@dataclass(frozen=True)
class TaskQuestion:
    """A question of a task, made from a client's row."""

    task: Task
    made: RowQuestion


@dataclass(frozen=True)
class _Prompted:
    """A question with its prompt."""

    question: TaskQuestion
    request: Request


@dataclass(frozen=True)
class _PromptedChat:
    """A chat with its tokens."""

    chat: Chat
    ids: list[int]


#: An item of the queue: a question of a task, or a chat.
Item = TaskQuestion | Chat
Found = Answer[object] | ChatReply
#: The kinds of which batches are made: multiple-choice questions are scored, free-form ones and chats generated.
CHOICE, FREE, CHAT = "choice", "free-form", "chat"


class ModelWorker:
    """Answers questions by a generator, with the prompts and batches that `predict` has."""

    def __init__(
        self,
        generator: Generator,
        read: Callable[[int], object] = lambda tokens: None,
        identity: Mapping[str, str] | None = None,
    ):
        """Take a model and what its answers depend on; `read` is called with the prompt tokens of each batch."""
        self.generator, self.read, self.identity = generator, read, identity or {}

    def prepare(self, items: Sequence[Item]) -> list[Ready | Exception]:
        """Return the questions with their prompts, and the error of each whose prompt does not fit."""
        questions = iter(self._questions([item for item in items if isinstance(item, TaskQuestion)]))
        return [next(questions) if isinstance(item, TaskQuestion) else self._chat(item) for item in items]

    def _chat(self, chat: Chat) -> Ready | Exception:
        if not isinstance(self.generator, Chatting):
            return ModelError("The model does not chat: ask it the questions of its tasks.")
        try:
            ids = self.generator.chat_prompt(chat)
        except EcellmError as error:
            return error
        return Ready(_PromptedChat(chat, ids), tokens=len(ids) + chat.decoding.max_new_tokens, kind=CHAT)

    def _questions(self, items: Sequence[TaskQuestion]) -> list[Ready | Exception]:
        try:
            prompts = self.generator.prompts([item.made.question for item in items])
        except EcellmError as error:  # one of them: which?
            return [error] if len(items) == 1 else [self._questions([item])[0] for item in items]
        requests = [Request(item.made.question, prompt) for item, prompt in zip(items, prompts, strict=True)]
        return [
            Ready(
                _Prompted(item, request),
                tokens=max(1, len(request.prompt.ids)),
                kind=FREE if candidates_of(request.question.example) is None else CHOICE,
            )
            for item, request in zip(items, requests, strict=True)
        ]

    def answer(self, batch: Sequence[_Prompted | _PromptedChat]) -> list[Found | Exception]:
        """Answer questions in their own terms, or go on with chats."""
        self.read(sum(len(one.ids if isinstance(one, _PromptedChat) else one.request.prompt.ids) for one in batch))
        chats = [one for one in batch if isinstance(one, _PromptedChat)]
        if chats:
            assert isinstance(self.generator, Chatting) and len(chats) == len(batch)
            try:
                return list(self.generator.chat([one.chat for one in chats], [one.ids for one in chats]))
            except Exception as error:  # not tried again: their clients may have received a part
                return [error] * len(chats)
        return self._answers([one for one in batch if isinstance(one, _Prompted)])

    def _answers(self, batch: Sequence[_Prompted]) -> list[Found | Exception]:
        replies = self.generator.reply([one.request for one in batch])
        return [
            ServerError(f"The question got no answer: {reply.reason}")
            if isinstance(reply, Failure)
            else answered(one.question.task, one.question.made, reply)
            for one, reply in zip(batch, replies, strict=True)
        ]
