"""Asking a baseline's MODEL folder as any other model is asked."""

from collections.abc import Sequence
from pathlib import Path

from ecellm.baselines.kinds import kind
from ecellm.baselines.part import Part
from ecellm.dataset.dataset import Asked
from ecellm.inference.generator import Question, Reply
from ecellm.models.folder import read_facts
from ecellm.prompts import Prompt


class BaselineGenerator:
    """One small model for each task. They read no instruction and no example, so all settings are answered alike."""

    def __init__(self, folder: Path, device: str = "cpu"):
        facts = read_facts(folder)
        self.folder = folder
        self.name: str = facts["recipe"]["name"]
        self.models = {}
        for task, known in facts["parts"].items():
            part = Part(folder, task)
            if not part.notes.is_file() or not part.weights.is_file() or part.hash() != known:
                raise ValueError(f"The files of {task} in {folder} are not those that were fitted: fit it again.")
            self.models[task] = kind(self.name, task).load(part, device)

    def prompts(self, asked: Sequence[Asked]) -> list[Prompt]:
        """Return the samples' own texts; a token is a run between spaces, and only their number counts.

        Raises ValueError for a task that the baseline was not fitted on.
        """
        others = sorted({one.sample.task for one in asked} - set(self.models))
        if others:
            raise ValueError(
                f"{self.folder} answers {', '.join(self.models)}, not {', '.join(others)}: "
                f"add --tasks {','.join(self.models)}."
            )
        texts = [f"{one.sample.input}\n{one.sample.options or ''}" for one in asked]
        return [Prompt(text, [0] * len(text.split())) for text in texts]

    def reply(self, questions: Sequence[Question]) -> list[Reply]:
        """Answer a batch, in order."""
        replies: dict[int, Reply] = {}
        for task, model in self.models.items():
            places = [place for place, one in enumerate(questions) if one.asked.sample.task == task]
            found = model.reply([questions[place].asked.sample for place in places]) if places else []
            replies.update(zip(places, found, strict=True))
        return [replies[place] for place in range(len(questions))]
