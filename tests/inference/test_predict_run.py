"""The prediction run: every question once, batches within a budget, and nothing lost to an interruption."""

import json
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.dataset.dataset import Asked, Dataset, read_dataset, write_split
from ecellm.inference.generator import Question, Reply
from ecellm.inference.predict import Counts, batches, predict, questions
from ecellm.inference.scripted import ScriptedGenerator
from ecellm.prompts import Prompt
from ecellm.records import SETTINGS, Domain, Sample, Split
from ecellm.tasks import TASKS, pm
from ecellm.tasks.answers import FreeText

RUN = {"model": "m", "dataset": "d"}


def sample(number: int, task: str = "PM", domain: Domain = "IND", split: Split = "test") -> Sample:
    text = json.dumps({"product 1": {"title": "mug " * (number % 23)}, "product 2": {"title": f"{number}"}})
    return Sample(f"{task}-{domain}-{split}-{number:04}", task, domain, split, text, None, "yes")


def dataset_of(folder: Path, test: Sequence[Sample]) -> Dataset:
    train = [sample(number, split="train") for number in range(3)]
    for split, rows in (("train", train), ("validation", []), ("test", test)):
        write_split(rows, folder / f"{split}.parquet")
    (folder / "manifest.json").write_text('{"seed": 1}')
    return read_dataset(folder)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    folder = tmp_path / "dataset"
    folder.mkdir()
    return dataset_of(folder, [sample(number) for number in range(150)])


def script(asked: Asked) -> str:
    """Answer by the sample and the instruction, so that settings differ; now and then out of form."""
    place = len(asked.instruction) + int(asked.sample.id[-4:])
    return ("yes", "no", "Yes.", "I cannot say.", "no\u2028")[place % 5]


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n")[:-1]]


def ask(dataset: Dataset, out: Path, **chosen: object) -> Counts:
    return predict(ScriptedGenerator(script), questions(dataset, **chosen), out, RUN)  # type: ignore[arg-type]


def test_every_question_of_every_setting_is_answered_once(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "answers" / "all.jsonl"
    counts = ask(dataset, out)
    found = lines(out)
    assert Counter(row["setting"] for row in found) == dict.fromkeys(SETTINGS[:4], 150)
    assert len({(row["id"], row["setting"]) for row in found}) == 600 == counts.answered == counts.questions
    asked = {(row.sample.id, name): row for name in SETTINGS[:4] for row in dataset.view(name)}
    for row in found:
        text = script(asked[row["id"], row["setting"]])
        assert row["task"] == "PM" and row["text"] == text
        assert row["answer"] == TASKS["PM"].answer.parse(text, asked[row["id"], row["setting"]].sample)
        assert "probability" not in row
    assert counts.unparsed == sum(row["answer"] is None for row in found) > 0
    assert counts.skipped == 0


def test_probability_and_scores_stand_on_the_line_and_odd_text_survives(dataset: Dataset, tmp_path: Path) -> None:
    class Sure(ScriptedGenerator):
        def reply(self, questions: Sequence[Question]) -> list[Reply]:
            return [Reply("half \ud83d, line\nbreak", 0.75, {"yes": 0.75, "no": 0.25}) for _ in questions]

    out = tmp_path / "out.jsonl"
    predict(Sure({}), questions(dataset, limit=3), out, RUN)
    for row in lines(out):
        assert row["text"] == "half \ud83d, line\nbreak"
        assert row["answer"] is None and row["probability"] == 0.75
        assert row["scores"] == {"yes": 0.75, "no": 0.25}


def test_what_was_cut_is_counted(dataset: Dataset, tmp_path: Path) -> None:
    class Tight(ScriptedGenerator):
        def prompts(self, asked: Sequence[Asked]) -> list[Prompt]:
            made = super().prompts(asked)
            return [replace(prompt, cut={"tokens cut": 2} if place < 5 else {}) for place, prompt in enumerate(made)]

    counts = predict(Tight(script), questions(dataset, [SETTINGS[0]]), tmp_path / "out.jsonl", RUN)
    assert counts.cut_prompts == 5 and counts.cut == {"tokens cut": 10}


def test_a_second_run_answers_nothing_again(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    ask(dataset, out)
    before = out.read_bytes()

    def never(asked: Asked) -> str:
        raise AssertionError("asked again")

    counts = predict(ScriptedGenerator(never), questions(dataset), out, RUN)
    assert (counts.answered, counts.skipped) == (0, 600) and out.read_bytes() == before


def test_a_part_and_then_the_whole_gives_each_answer_once(dataset: Dataset, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    ask(dataset, whole)
    assert ask(dataset, out, limit=37).answered == 37
    assert ask(dataset, out, settings=[SETTINGS[1]]).skipped > 0
    ask(dataset, out)
    assert sorted(out.read_text().splitlines()) == sorted(whole.read_text().splitlines())


@pytest.mark.parametrize("answers_before_the_crash", [0, 1, 40, 41, 599])
def test_a_run_that_crashed_goes_on_to_the_same_file(
    dataset: Dataset, tmp_path: Path, answers_before_the_crash: int
) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    ask(dataset, whole)
    said = 0

    def crashing(asked: Asked) -> str:
        nonlocal said
        if said == answers_before_the_crash:
            raise RuntimeError("out of memory")
        said += 1
        return script(asked)

    with pytest.raises(RuntimeError):
        predict(ScriptedGenerator(crashing), questions(dataset), out, RUN)
    assert whole.read_bytes().startswith(out.read_bytes())  # whole batches only
    counts = ask(dataset, out)
    assert out.read_bytes() == whole.read_bytes()
    assert counts.answered + counts.skipped == 600


@pytest.mark.parametrize("share", [0.0001, 0.1, 0.33333, 0.5, 0.99999])
def test_a_torn_last_line_is_answered_again(dataset: Dataset, tmp_path: Path, share: float) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    ask(dataset, whole)
    ask(dataset, out)
    text = whole.read_bytes()
    out.write_bytes(text[: int(len(text) * share)])
    ask(dataset, out)
    assert out.read_bytes() == text


def test_a_killed_process_goes_on_to_the_same_file(dataset: Dataset, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    code = f"""
        import time
        from pathlib import Path
        from ecellm.dataset.dataset import read_dataset
        from ecellm.inference.predict import predict, questions
        from ecellm.inference.scripted import ScriptedGenerator

        def answer(asked):
            time.sleep(0.002)
            return "yes"

        dataset = read_dataset(Path({str(dataset.path)!r}))
        predict(ScriptedGenerator(answer), questions(dataset), Path({str(out)!r}), {RUN!r})
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
    try:
        wait_for(lambda: (out.is_file() and out.stat().st_size > 0) or process.poll() is not None)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    always = ScriptedGenerator(lambda asked: "yes")
    counts = predict(always, questions(dataset), out, RUN)
    assert counts.skipped > 0 and counts.answered > 0
    predict(always, questions(dataset), whole, RUN)
    assert out.read_bytes() == whole.read_bytes()


def wait_for(done: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not done():
        assert time.monotonic() < limit, "nothing was written in a minute"
        time.sleep(0.001)


def test_answers_of_another_model_or_dataset_are_not_mixed(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    ask(dataset, out, limit=3)
    before = out.read_bytes()
    for run, named in (({**RUN, "model": "x"}, "another model:"), ({**RUN, "dataset": "x"}, "another dataset:")):
        with pytest.raises(ValueError, match=named):
            predict(ScriptedGenerator(script), questions(dataset), out, run)
    (tmp_path / "out.jsonl.meta.json").unlink()
    with pytest.raises(ValueError, match="does not say whose"):
        ask(dataset, out)
    assert out.read_bytes() == before
    out.unlink()
    assert predict(ScriptedGenerator(script), questions(dataset, limit=3), out, {**RUN, "model": "x"}).answered == 3


@pytest.mark.parametrize("line", ["not json", "[1]", '{"id": "PM-1"}', "\u00ff"])
def test_a_broken_line_in_the_middle_is_an_error_that_names_it(dataset: Dataset, tmp_path: Path, line: str) -> None:
    out = tmp_path / "out.jsonl"
    ask(dataset, out, limit=2)
    out.write_bytes(out.read_bytes() + line.encode("latin-1") + b"\n")
    with pytest.raises(ValueError, match="line 3 is no answer"):
        ask(dataset, out)


def test_an_output_that_is_a_folder_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder"):
        ask(dataset, tmp_path)


def test_unknown_settings_and_settings_without_rows_are_errors(dataset: Dataset) -> None:
    with pytest.raises(ValueError, match=r"Unknown setting 'IND_Single'.*IND_Single_Instruction"):
        questions(dataset, ["IND_Single"])
    with pytest.raises(ValueError, match="no test rows under OOD_Single_Instruction"):
        questions(dataset, ["IND_Single_Instruction", "OOD_Single_Instruction"])
    with pytest.raises(ValueError, match="no test rows of SA"):
        questions(dataset, tasks=["SA"])
    assert list(questions(dataset)) == list(SETTINGS[:4])


def test_progress_starts_where_the_run_starts_and_ends_at_the_total(dataset: Dataset, tmp_path: Path) -> None:
    out, seen = tmp_path / "out.jsonl", list[tuple[int, int]]()
    ask(dataset, out, limit=30)
    run = questions(dataset)
    predict(ScriptedGenerator(script), run, out, RUN, lambda done, total: seen.append((done, total)))
    assert seen[0] == (30, 600) and seen[-1] == (600, 600) and seen == sorted(seen)


def test_a_limit_is_a_total_spread_evenly_over_tasks_and_settings(tmp_path: Path) -> None:
    tasks = {name: replace(pm.TASK, name=name) for name in ("PM", "AA", "BB")}
    rows = [sample(n, task) for task in tasks for n in range(40)]
    rows += [sample(n, "AA", "OOD") for n in range(40)]
    with patch.dict(TASKS, tasks):
        data = dataset_of(tmp_path, rows)
        for limit in (1, 5, 60, 100_000):
            asked = questions(data, limit=limit)
            by_task = Counter(row.sample.task for rows in asked.values() for row in rows)
            assert sum(by_task.values()) == min(limit, 4 * 160)
            if limit == 60:
                assert set(by_task.values()) == {20}
                assert {name: sum(row.sample.task == "AA" for row in rows) for name, rows in asked.items()} == {
                    name: 3 if place < 4 else 2 for place, name in enumerate(SETTINGS)
                }
            assert asked == questions(data, limit=limit)


@given(lengths=st.lists(st.tuples(st.integers(1, 300), st.booleans()), max_size=60), tokens=st.integers(50, 900))
def test_batches_hold_all_questions_within_the_budget(lengths: list[tuple[int, bool]], tokens: int) -> None:
    tasks = {"OPEN": replace(pm.TASK, name="OPEN", answer=FreeText())}
    asked = [
        Question(Asked(sample(place, "OPEN" if is_open else "PM"), ""), Prompt("", [0] * length))
        for place, (length, is_open) in enumerate(lengths)
    ]
    with patch.dict(TASKS, tasks):
        made = batches(asked, tokens, 8)
        assert made == batches(asked[::-1], tokens, 8)
    assert sorted(question.asked.sample.id for batch in made for question in batch) == sorted(
        question.asked.sample.id for question in asked
    )
    for batch in made:
        widest = max(len(question.prompt.ids) for question in batch)
        assert len(batch) == 1 or (len(batch) * widest <= tokens and len(batch) <= 8)
        assert len({question.asked.sample.task for question in batch}) == 1


def test_a_script_may_be_a_mapping(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    answers = {row.sample.id: "no" for row in dataset.view(SETTINGS[0])}
    predict(ScriptedGenerator(answers), questions(dataset, [SETTINGS[0]]), out, RUN)
    assert {row["answer"] for row in lines(out)} == {"no"}
