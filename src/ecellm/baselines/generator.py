"""Asking a baseline's MODEL folder as any other model is asked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecellm.baselines.kinds import kind
from ecellm.baselines.part import Part
from ecellm.dataset.dataset import Asked
from ecellm.inference.closed import decided_again
from ecellm.inference.generator import Question, Reply
from ecellm.models.folder import read_facts
from ecellm.prompts import Prompt


class BaselineGenerator:
    """One small model for each task, under one set of temperatures and thresholds. They read no instruction and no
    example, so all settings are answered alike."""

    def __init__(self, folder: Path, device: str = "cpu", facts: dict[str, Any] | None = None):
        """Load the models of a folder; `facts` are those of one that is not finished yet.

        Raises ValueError where its files are not those that were fitted, or an older version fitted them.
        """
        facts = read_facts(folder) if facts is None else facts
        if "offsets" not in facts:
            raise ValueError(f"{folder} was fitted by an older version of ecellm: fit it again.")
        self.folder = folder
        self.offsets: dict[str, list[float]] = facts["offsets"]
        self.temperatures: dict[str, float] = facts["temperatures"]
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
            samples = [questions[place].asked.sample for place in places]
            found = zip(samples, model.reply(samples) if samples else [], strict=True)
            decided = [decided_again(sample, reply, self.offsets, self.temperatures) for sample, reply in found]
            replies.update(zip(places, decided, strict=True))
        return [replies[place] for place in range(len(questions))]
