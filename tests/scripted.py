"""A generator that answers from a script."""

from collections.abc import Callable, Mapping, Sequence

from ecellm.models.base import Reply, Request
from ecellm.prompts import TEMPLATES, Prompt, layout
from ecellm.types import Question

Script = Mapping[str, str] | Callable[[Question], str]


class ScriptedGenerator:
    """Answers from a script: a mapping of example ids to texts, or a function of the question."""

    def __init__(self, script: Script):
        self.script = script

    def prompts(self, questions: Sequence[Question]) -> list[Prompt]:
        """Return the whole prompts in the compact layout, their bytes as tokens; nothing is truncated."""
        texts = ["".join(piece.text for piece in layout(one, TEMPLATES["compact"])) for one in questions]
        return [Prompt(text, list(text.encode("utf-8", "surrogatepass"))) for text in texts]

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer a batch, in order; raises KeyError for an example that the script does not name."""
        return [Reply(self._say(request.question)) for request in requests]

    def _say(self, question: Question) -> str:
        return self.script(question) if callable(self.script) else self.script[question.example.id]
