"""Rows whose answers are drawn, and a model that answers them by given log-probabilities."""

import json
from collections.abc import Callable, Sequence

from ecellm.io.hashing import keyed_choice, keyed_number
from ecellm.models.base import Failure, Reply, Request
from ecellm.models.calibration.applying import candidate_reply
from ecellm.models.decoding.candidates import candidates_of, right_candidate
from ecellm.types import Example, Question, Split
from scored import ScoredGenerator

JUDGED = '["A: exact", "B: substitute", "C: complement", "D: irrelevant"]'
Logs = Callable[[Example], Sequence[float]]
STARS = json.dumps(
    [f"{letter}: {name}" for letter, name in zip("ABCDE", ["great", "good", "fine", "poor", "bad"], strict=True)]
)


def example(number: int, task: str = "PM", split: Split = "validation") -> Example:
    """A row whose answer is drawn: of PM one in four is yes, of MPC two in three are exact."""
    if task == "PM":
        options, output = None, "yes" if keyed_choice(4, split, number) == 0 else "no"
        pair = [{"title": f"mug {split} {number}"}, {"title": "mug"}]
        for record in pair:
            record |= {"manufacturer": "nan", "price": "5", "description": "for tea"}
        text = json.dumps({"product 1": pair[0], "product 2": pair[1]})
    elif task == "MPC":
        text = json.dumps({"query": f"mug {number}", "product title": f"cup {keyed_choice(9, split, number, 'cup')}"})
        options, output = JUDGED, json.loads(JUDGED)[max(0, keyed_choice(9, split, number) - 5)]
    else:
        text, options = f"A mug, bought on day {number} of {split}.", STARS
        output = json.loads(STARS)[keyed_choice(5, split, number)]
    return Example(f"{task}-{split}-{number}", task, "IND", split, text, options, output)


def questions_of(count: int, task: str = "PM", split: Split = "validation") -> list[Question]:
    return [Question(example(number, task, split), "Which?") for number in range(count)]


def evidence(one: Example) -> list[float]:
    """Log-odds that say something of the right answer, and are too low for yes: thresholds help."""
    right = right_candidate(one)
    noise = [4 * keyed_number("noise", one.id, place) for place in range(len(candidates_of(one) or ()))]
    return [value + 2.0 * (place == right) - 2.0 * (place == 0) for place, value in enumerate(noise)]


def noise(one: Example) -> list[float]:
    """Log-odds that say nothing of the answer."""
    return [4 * keyed_number("noise", one.id, place) for place in range(len(candidates_of(one) or ()))]


class Logits(ScoredGenerator):
    """Answers by given log-probabilities."""

    def __init__(self, logs: Logs, offsets: dict[str, list[float]], temperatures: dict[str, float]) -> None:
        super().__init__()
        self.logs, self.offsets, self.temperatures = logs, offsets, temperatures

    def _reply(self, request: Request) -> Reply | Failure:
        one = request.question.example
        self.asked.append(one.id)
        if one.id in self.failing:
            return Failure("the server is busy")
        return candidate_reply(one, self.logs(one), self.offsets, self.temperatures)


def generator(logs: Logs = evidence, **fitted: dict[str, list[float]] | dict[str, float]) -> Logits:
    return Logits(logs, fitted.get("offsets", {}), fitted.get("temperatures", {}))  # type: ignore[arg-type]


def answers(model: Logits, questions: Sequence[Question]) -> list[Reply]:
    replies = model.reply(
        [Request(one, prompt) for one, prompt in zip(questions, model.prompts(questions), strict=True)]
    )
    return [reply for reply in replies if isinstance(reply, Reply)]
