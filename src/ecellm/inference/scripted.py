"""A generator that says what it is told to: for tests, and for trying a dataset without a model."""

from collections.abc import Callable, Mapping, Sequence

from ecellm.dataset.dataset import Asked
from ecellm.inference.generator import Question, Reply
from ecellm.prompts import TEMPLATES, Prompt, layout

Script = Mapping[str, str] | Callable[[Asked], str]


class ScriptedGenerator:
    """Answers from a script: a mapping of sample ids to texts, or a function of the sample as asked."""

    def __init__(self, script: Script):
        self.script = script

    def prompts(self, asked: Sequence[Asked]) -> list[Prompt]:
        """Return the whole prompts in the compact layout, their bytes as tokens; nothing is cut."""
        texts = ["".join(piece.text for piece in layout(one, TEMPLATES["compact"])) for one in asked]
        return [Prompt(text, list(text.encode("utf-8", "surrogatepass"))) for text in texts]

    def reply(self, questions: Sequence[Question]) -> list[Reply]:
        """Answer a batch, in order; raises KeyError for a sample that the script does not name."""
        return [Reply(self._say(question.asked)) for question in questions]

    def _say(self, asked: Asked) -> str:
        return self.script(asked) if callable(self.script) else self.script[asked.sample.id]
