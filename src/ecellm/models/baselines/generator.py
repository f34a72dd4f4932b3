"""Inference with the MODEL folder of a baseline."""

from collections.abc import Sequence
from pathlib import Path

from ecellm.errors import ModelError
from ecellm.models.base import Reply, Request
from ecellm.models.baselines.base import check_inputs
from ecellm.models.baselines.registry import kind
from ecellm.models.calibration.applying import calibrated_reply
from ecellm.models.folder import INFO, ModelInfo, read_info
from ecellm.models.lexical.task_files import TaskFiles
from ecellm.prompts import Prompt
from ecellm.tasks import TASKS
from ecellm.types import Question


class BaselineGenerator:
    """One small model for each task, under one set of temperatures and thresholds. They read no instruction and no
    worked example, so all settings get the same answers."""

    def __init__(self, folder: Path, device: str = "cpu", info: ModelInfo | None = None):
        """Load the models of a folder; `info` is that of one that is not finished yet.

        Raises ModelError where its files are not those that were fitted, or an older version fitted them.
        """
        info = read_info(folder) if info is None else info
        if "offsets" not in info.model_fields_set:
            raise ModelError(f"{folder} was fitted by an older version of ecellm: fit it again.")
        if not info.parts or not info.parts.keys() <= TASKS.keys():
            unknown = ", ".join(sorted(info.parts.keys() - TASKS.keys()))
            named = f"unknown tasks ({unknown})" if unknown else "no task that it was fitted on"
            raise ModelError(f"{folder / INFO} names {named}: fit the baseline again.")
        self.folder = folder
        self.offsets = info.offsets
        self.temperatures = info.temperatures
        self.name = info.recipe.name
        self.models = {}
        for task, known in info.parts.items():
            part = TaskFiles(folder, task)
            if part.there() and part.older_hash() == known:
                raise ModelError(f"{folder} was fitted by an older version of ecellm: fit it again.")
            if not part.there() or part.hash() != known:
                raise ModelError(f"The files of {task} in {folder} are not those that were fitted: fit it again.")
            self.models[task] = kind(self.name, task).load(part, device)

    def prompts(self, questions: Sequence[Question]) -> list[Prompt]:
        """Return the examples' own texts; a token is a run between spaces, and only their number counts.

        Raises ModelError for a task that the baseline was not fitted on, and DataError for an input that is not in
        its task's form.
        """
        others = sorted({one.example.task for one in questions} - set(self.models))
        if others:
            raise ModelError(
                f"{self.folder} answers {', '.join(self.models)}, not {', '.join(others)}: "
                f"add --tasks {','.join(self.models)}."
            )
        check_inputs([one.example for one in questions])
        texts = [f"{one.example.input}\n{one.example.options or ''}" for one in questions]
        return [Prompt(text, [0] * len(text.split())) for text in texts]

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer a batch, in order."""
        replies: dict[int, Reply] = {}
        for task, model in self.models.items():
            places = [place for place, request in enumerate(requests) if request.question.example.task == task]
            examples = [requests[place].question.example for place in places]
            found = zip(examples, model.reply(examples) if examples else [], strict=True)
            decided = [calibrated_reply(example, reply, self.offsets, self.temperatures) for example, reply in found]
            replies.update(zip(places, decided, strict=True))
        return [replies[place] for place in range(len(requests))]
