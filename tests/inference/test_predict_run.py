"""The prediction run: every question once, batches within a budget, and nothing lost to an interruption."""

import json
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.data.dataset import Dataset, read_dataset, write_split
from ecellm.errors import ConfigError, DataError, EcellmError, ServerError
from ecellm.inference.join import Joined, join
from ecellm.inference.predict import predict
from ecellm.inference.run import RunCounts, failed_file
from ecellm.inference.selection import questions, shard
from ecellm.inference.usage import took_file
from ecellm.models.base import Failure, Reply, Request, Usage
from ecellm.models.decoding.batching import batches
from ecellm.models.failure_limit import FAILURES_IN_A_ROW
from ecellm.prompts import Prompt
from ecellm.tasks import TASKS, pm
from ecellm.tasks.answers import FreeText
from ecellm.types import SETTINGS, Domain, Example, Question, Split
from scripted import ScriptedGenerator

RUN = {"model": "m", "dataset": "d"}


def example(number: int, task: str = "PM", domain: Domain = "IND", split: Split = "test") -> Example:
    text = json.dumps({"product 1": {"title": "mug " * (number % 23)}, "product 2": {"title": f"{number}"}})
    return Example(f"{task}-{domain}-{split}-{number:04}", task, domain, split, text, None, "yes")


def dataset_of(folder: Path, test: Sequence[Example]) -> Dataset:
    train = [example(number, split="train") for number in range(3)]
    for split, rows in (("train", train), ("validation", []), ("test", test)):
        write_split(rows, folder / f"{split}.parquet")
    (folder / "manifest.json").write_text('{"seed": 1}')
    return read_dataset(folder)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    folder = tmp_path / "dataset"
    folder.mkdir()
    return dataset_of(folder, [example(number) for number in range(150)])


def script(question: Question) -> str:
    """Answer by the sample and the instruction, so that settings differ; now and then out of form."""
    place = len(question.instruction) + int(question.example.id[-4:])
    return ("yes", "no", "Yes.", "I cannot say.", "no\u2028")[place % 5]


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n")[:-1]]


def ask(dataset: Dataset, out: Path, **chosen: object) -> RunCounts:
    return predict(ScriptedGenerator(script), questions(dataset, **chosen), out, RUN)  # type: ignore[arg-type]


def test_every_question_of_every_setting_is_answered_once(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "answers" / "all.jsonl"
    counts = ask(dataset, out)
    found = lines(out)
    assert Counter(row["setting"] for row in found) == dict.fromkeys(SETTINGS[:4], 150)
    assert len({(row["id"], row["setting"]) for row in found}) == 600 == counts.answered == counts.questions
    questions_of = {(row.example.id, name): row for name in SETTINGS[:4] for row in dataset.view(name)}
    for row in found:
        text = script(questions_of[row["id"], row["setting"]])
        assert row["task"] == "PM" and row["text"] == text
        assert row["answer"] == TASKS["PM"].answer.parse(text, questions_of[row["id"], row["setting"]].example)
        assert "probability" not in row
    assert counts.unparsed == sum(row["answer"] is None for row in found) > 0
    assert counts.skipped == 0


def test_probability_and_scores_stand_on_the_line_and_odd_text_survives(dataset: Dataset, tmp_path: Path) -> None:
    class Sure(ScriptedGenerator):
        def reply(self, questions: Sequence[Request]) -> list[Reply]:
            return [Reply("half \ud83d, line\nbreak", 0.75, {"yes": 0.75, "no": 0.25}) for _ in questions]

    out = tmp_path / "out.jsonl"
    predict(Sure({}), questions(dataset, limit=3), out, RUN)
    for row in lines(out):
        assert row["text"] == "half \ud83d, line\nbreak"
        assert row["answer"] is None and row["probability"] == 0.75
        assert row["scores"] == {"yes": 0.75, "no": 0.25}


def test_what_was_truncated_is_counted(dataset: Dataset, tmp_path: Path) -> None:
    class Tight(ScriptedGenerator):
        def prompts(self, questions: Sequence[Question]) -> list[Prompt]:
            made = super().prompts(questions)
            return [
                replace(prompt, truncated={"tokens truncated": 2} if place < 5 else {})
                for place, prompt in enumerate(made)
            ]

    counts = predict(Tight(script), questions(dataset, [SETTINGS[0]]), tmp_path / "out.jsonl", RUN)
    assert counts.truncated_prompts == 5 and counts.truncated == {"tokens truncated": 10}


def test_a_second_run_answers_nothing_again(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    ask(dataset, out)
    before = out.read_bytes()

    def never(question: Question) -> str:
        raise AssertionError("answered again")

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
    answered = 0

    def crashing(question: Question) -> str:
        nonlocal answered
        if answered == answers_before_the_crash:
            raise RuntimeError("out of memory")
        answered += 1
        return script(question)

    with pytest.raises(RuntimeError):
        predict(ScriptedGenerator(crashing), questions(dataset), out, RUN)
    assert whole.read_bytes().startswith(out.read_bytes())  # whole batches only
    counts = ask(dataset, out)
    assert out.read_bytes() == whole.read_bytes()
    assert counts.answered + counts.skipped == 600
    took = lines(took_file(out))
    assert sum(row["answered"] for row in took) == 600 and all(row["seconds"] >= 0 for row in took)
    assert len(took) == 1 + (counts.skipped > 0)


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
        import sys, time
        from pathlib import Path
        sys.path.append({str(Path(__file__).parents[1])!r})
        from ecellm.data.dataset import read_dataset
        from ecellm.inference.predict import predict
        from ecellm.inference.selection import questions
        from scripted import ScriptedGenerator

        def answer(question):
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
    always = ScriptedGenerator(lambda question: "yes")
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
        with pytest.raises(DataError, match=named):
            predict(ScriptedGenerator(script), questions(dataset), out, run)
    (tmp_path / "out.jsonl.meta.json").unlink()
    with pytest.raises(DataError, match="does not name their model"):
        ask(dataset, out)
    assert out.read_bytes() == before
    out.unlink()
    assert predict(ScriptedGenerator(script), questions(dataset, limit=3), out, {**RUN, "model": "x"}).answered == 3


@pytest.mark.parametrize("line", ["not json", "[1]", '{"id": "PM-1"}', "\u00ff"])
def test_a_broken_line_in_the_middle_is_an_error_that_names_it(dataset: Dataset, tmp_path: Path, line: str) -> None:
    out = tmp_path / "out.jsonl"
    ask(dataset, out, limit=2)
    out.write_bytes(out.read_bytes() + line.encode("latin-1") + b"\n")
    with pytest.raises(DataError, match="line 3 is no answer"):
        ask(dataset, out)


def test_an_output_that_is_a_folder_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        ask(dataset, tmp_path)


def test_unknown_settings_and_settings_without_rows_are_errors(dataset: Dataset) -> None:
    with pytest.raises(EcellmError, match=r"Unknown setting 'IND_Single'.*IND_Single_Instruction"):
        questions(dataset, ["IND_Single"])
    with pytest.raises(DataError, match="no test rows under OOD_Single_Instruction"):
        questions(dataset, ["IND_Single_Instruction", "OOD_Single_Instruction"])
    with pytest.raises(DataError, match="no test rows of SA"):
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
    rows = [example(n, task) for task in tasks for n in range(40)]
    rows += [example(n, "AA", "OOD") for n in range(40)]
    with patch.dict(TASKS, tasks):
        data = dataset_of(tmp_path, rows)
        for limit in (1, 5, 60, 100_000):
            chosen = questions(data, limit=limit)
            by_task = Counter(row.example.task for rows in chosen.values() for row in rows)
            assert sum(by_task.values()) == min(limit, 4 * 160)
            if limit == 60:
                assert set(by_task.values()) == {20}
                assert {name: sum(row.example.task == "AA" for row in rows) for name, rows in chosen.items()} == {
                    name: 3 if place < 4 else 2 for place, name in enumerate(SETTINGS)
                }
            assert chosen == questions(data, limit=limit)


@given(lengths=st.lists(st.tuples(st.integers(1, 300), st.booleans()), max_size=60), tokens=st.integers(50, 900))
def test_batches_hold_all_questions_within_the_budget(lengths: list[tuple[int, bool]], tokens: int) -> None:
    tasks = {"OPEN": replace(pm.TASK, name="OPEN", answer=FreeText())}
    requests = [
        Request(Question(example(place, "OPEN" if is_open else "PM"), ""), Prompt("", [0] * length))
        for place, (length, is_open) in enumerate(lengths)
    ]
    with patch.dict(TASKS, tasks):
        made = batches(requests, tokens, 8)
        assert made == batches(requests[::-1], tokens, 8)
    assert sorted(request.question.example.id for batch in made for request in batch) == sorted(
        request.question.example.id for request in requests
    )
    for batch in made:
        widest = max(len(question.prompt.ids) for question in batch)
        assert len(batch) == 1 or (len(batch) * widest <= tokens and len(batch) <= 8)
        assert len({request.question.example.task for request in batch}) == 1


def test_a_script_may_be_a_mapping(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    answers = {row.example.id: "no" for row in dataset.view(SETTINGS[0])}
    predict(ScriptedGenerator(answers), questions(dataset, [SETTINGS[0]]), out, RUN)
    assert {row["answer"] for row in lines(out)} == {"no"}


class Flow(ScriptedGenerator):
    """Gives answers as a server does, singly and from the last to the first, and fails where the script says so."""

    under_way = 0
    """Questions whose answers still come after a halt."""

    def stream(
        self, questions: Sequence[Request], halt: Event | None = None
    ) -> Iterator[tuple[int, Reply | Failure]]:
        late = 0
        for place in reversed(range(len(questions))):
            late += halt is not None and halt.is_set()
            if late > self.under_way:
                return
            text = self._say(questions[place].question)
            yield place, Failure("no luck") if text == "fail" else Reply(text, usage=Usage(10, 2))


def test_answers_that_come_singly_are_kept_singly_and_asked_once(dataset: Dataset, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    ask(dataset, whole)
    seen: list[tuple[str, str]] = []

    def interrupted(question: Question) -> str:
        if len(seen) == 100:
            raise RuntimeError("cut off")
        seen.append((question.example.id, question.instruction))
        return script(question)

    with pytest.raises(RuntimeError):
        predict(Flow(interrupted), questions(dataset), out, RUN)
    assert len(lines(out)) == 100
    seen.clear()

    def on(question: Question) -> str:
        seen.append((question.example.id, question.instruction))
        return script(question)

    counts = predict(Flow(on), questions(dataset), out, RUN)
    assert (counts.skipped, counts.answered, len(seen)) == (100, 500, 500)
    assert counts.usage == Usage(5000, 1000)
    texts = [{(row["id"], row["setting"]): row["text"] for row in lines(file)} for file in (whole, out)]
    assert texts[0] == texts[1] and len(texts[0]) == 600
    assert lines(out)[0]["usage"] == {"prompt": 10, "written": 2}


def test_two_runs_do_not_write_one_file_at_a_time(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    tried = list[Question]()

    def second(question: Question) -> str:
        if not tried:
            tried.append(question)
            with pytest.raises(DataError, match=r"Another run is writing .*out\.jsonl"):
                ask(dataset, out)
            ask(dataset, tmp_path / "other.jsonl", limit=5)  # beside it is free
        return "yes"

    predict(Flow(second), questions(dataset), out, RUN)
    assert tried and len(lines(out)) == 600
    assert ask(dataset, out).skipped == 600


def test_a_run_does_not_start_where_another_began_and_ended_meanwhile(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"

    def meanwhile(planned: Sequence[Request]) -> None:
        ask(dataset, out, limit=5)

    with pytest.raises(DataError, match="Another run is writing"):
        predict(Flow(script), questions(dataset), out, RUN, before=meanwhile)
    assert len(lines(out)) == 5 and ask(dataset, out).skipped == 5


@pytest.mark.parametrize("kind", ["batches", "singly"])
def test_questions_without_an_answer_are_written_down_and_asked_again(
    dataset: Dataset, tmp_path: Path, kind: str
) -> None:
    def unlucky(question: Question) -> str:
        return "fail" if int(question.example.id[-4:]) % 5 == 0 else "yes"

    class Batched(Flow):
        stream = None  # type: ignore[assignment]

        def reply(self, questions: Sequence[Request]) -> Sequence[Reply | Failure]:
            return [reply for _, reply in sorted(Flow(self.script).stream(questions))]

    made = Flow if kind == "singly" else Batched
    out = tmp_path / "out.jsonl"
    chosen = questions(dataset)
    seen = list[tuple[int, int]]()
    counts = predict(made(unlucky), chosen, out, RUN, lambda done, total: seen.append((done, total)))
    assert (counts.answered, counts.failed) == (480, {"no luck": 120}) and seen[-1] == (600, 600)
    failed = lines(failed_file(out))
    assert len(failed) == 120
    assert failed[0].keys() == {"id", "task", "setting", "reason"} and failed[0]["reason"] == "no luck"
    assert not {row["id"] for row in failed} & {row["id"] for row in lines(out)}
    counts = predict(made(lambda question: "no"), chosen, out, RUN)
    assert (counts.answered, counts.skipped, counts.failed) == (120, 480, {})
    assert not failed_file(out).exists() and len(lines(out)) == 600


def test_many_failures_in_a_row_end_the_run_and_what_was_answered_is_kept(dataset: Dataset, tmp_path: Path) -> None:
    out, texts = tmp_path / "out.jsonl", Counter[str]()

    def down(question: Question) -> str:
        text = "yes" if texts["yes"] < 10 else "fail"
        texts[text] += 1
        return text

    with pytest.raises(ServerError, match=f"{FAILURES_IN_A_ROW} questions in a row.*no luck"):
        predict(Flow(down), questions(dataset), out, RUN)
    assert len(lines(out)) == 10 and texts["fail"] == FAILURES_IN_A_ROW == len(lines(failed_file(out)))


def test_a_plan_sees_only_what_is_left_and_may_refuse_before_anything_is_written(
    dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"

    def refuse(planned: Sequence[Request]) -> None:
        raise ConfigError(f"{len(planned)} are too many")

    with pytest.raises(EcellmError, match="600 are too many"):
        predict(Flow(script), questions(dataset), out, RUN, before=refuse)
    assert not list(tmp_path.glob("out*"))
    predict(Flow(script), questions(dataset, limit=20), out, RUN)
    with pytest.raises(EcellmError, match="580 are too many"):
        predict(Flow(script), questions(dataset), out, RUN, before=refuse)

    def stop(usage: Usage) -> None:
        if usage.written >= 20:
            raise ConfigError("enough")

    with pytest.raises(EcellmError, match="enough"):
        predict(Flow(script), questions(dataset), out, RUN, spent=stop)
    assert len(lines(out)) == 30


def test_answers_under_way_when_a_run_ends_are_kept_for_they_are_paid_for(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    counted: list[Usage] = []

    def stop(usage: Usage) -> None:
        counted.append(usage)
        raise ConfigError("enough")

    generator = Flow(script)
    generator.under_way = 7
    with pytest.raises(EcellmError, match="enough"):
        predict(generator, questions(dataset), out, RUN, spent=stop)
    assert len(lines(out)) == 8 and counted == [Usage(10, 2)]
    assert predict(generator, questions(dataset), out, RUN).skipped == 8


@given(of=st.integers(1, 7))
def test_shards_are_disjoint_cover_all_and_do_not_depend_on_what_else_is_asked(of: int) -> None:
    rows = {name: [Question(example(number), name) for number in range(60)] for name in SETTINGS[:2]}
    parts = [shard(rows, number, of) for number in range(1, of + 1)]
    for name in rows:
        found = [row.example.id for part in parts for row in part[name]]
        assert sorted(found) == sorted(row.example.id for row in rows[name])
    few = {SETTINGS[0]: rows[SETTINGS[0]][::-3]}
    for number, part in enumerate(parts, start=1):
        assert {row.example.id for row in part[SETTINGS[0]]} == {row.example.id for row in part[SETTINGS[1]]}
        assert shard(few, number, of)[SETTINGS[0]] == [row for row in few[SETTINGS[0]] if row in part[SETTINGS[0]]]


def test_shards_are_about_even() -> None:
    rows = {SETTINGS[0]: [Question(example(number), "") for number in range(2000)]}
    sizes = [len(shard(rows, number, 4)[SETTINGS[0]]) for number in (1, 2, 3, 4)]
    assert sum(sizes) == 2000 and all(430 <= size <= 570 for size in sizes)  # 500, sigma 19


@pytest.fixture
def parts(dataset: Dataset, tmp_path: Path) -> list[Path]:
    """The answers of three shards."""
    made = []
    for number in (1, 2, 3):
        made.append(tmp_path / f"part{number}.jsonl")
        predict(ScriptedGenerator(script), shard(questions(dataset), number, 3), made[-1], RUN)
    return made


def test_joined_shards_are_the_whole_run(dataset: Dataset, tmp_path: Path, parts: list[Path]) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "all.jsonl"
    ask(dataset, whole)
    assert join(parts, out) == Joined(600, 0, 0)
    assert [row["answered"] for row in lines(took_file(out))] == [len(lines(part)) for part in parts]
    assert sorted(out.read_text().splitlines()) == sorted(whole.read_text().splitlines())
    assert ask(dataset, out).skipped == 600  # the record came with it


def test_joining_keeps_an_answer_once_and_counts_what_failed(
    dataset: Dataset, tmp_path: Path, parts: list[Path]
) -> None:
    more = tmp_path / "more.jsonl"
    ask(dataset, more, limit=50)
    failed_file(parts[0]).write_text('{"id": "PM-1"}\n')
    out = tmp_path / "all.jsonl"
    assert join([*parts, more], out) == Joined(600, 50, 1)
    assert len(lines(out)) == 600


def test_a_part_that_lost_answers_is_named(dataset: Dataset, tmp_path: Path, parts: list[Path]) -> None:
    answered = [len(lines(part)) for part in parts]
    parts[1].write_bytes(b"".join(parts[1].read_bytes().splitlines(keepends=True)[2:]))
    joined = join(parts, tmp_path / "fewer.jsonl")
    assert joined == Joined(598, 0, 0, joined.short)
    (said,) = joined.short
    assert said == f"{parts[1]} has {answered[1] - 2} answers, 2 fewer than part2.jsonl.took.jsonl counts."
    parts[1].write_text("")
    with pytest.raises(
        EcellmError, match=rf"part2.jsonl is empty, but .*took.jsonl counts {answered[1]} answers: run"
    ):
        join(parts, tmp_path / "all.jsonl")
    took_file(parts[1]).unlink()
    joined = join(parts, tmp_path / "all.jsonl")
    assert joined == Joined(600 - answered[1], 0, 0, (f"{parts[1]} has no answers.",))


def test_parts_that_do_not_belong_together_are_not_joined(
    dataset: Dataset, tmp_path: Path, parts: list[Path]
) -> None:
    out = tmp_path / "all.jsonl"
    other = tmp_path / "other.jsonl"
    predict(ScriptedGenerator(script), questions(dataset, limit=9), other, {**RUN, "model": "x", "server": "y"})
    with pytest.raises(EcellmError, match="not of one run: another model and server"):
        join([*parts, other], out)
    changed = tmp_path / "changed.jsonl"
    predict(ScriptedGenerator(lambda question: "other"), questions(dataset, limit=9), changed, RUN)
    with pytest.raises(EcellmError, match=r"one answer in .*part\d.jsonl and another in .*changed.jsonl"):
        join([*parts, changed], out)
    parts[1].write_bytes(parts[1].read_bytes()[:-3])
    with pytest.raises(EcellmError, match=r"part2.jsonl ends within an answer"):
        join(parts, out)
    (tmp_path / "part3.jsonl.meta.json").unlink()
    with pytest.raises(EcellmError, match=r"part3.jsonl has no part3.jsonl.meta.json"):
        join(parts[2:], out)
    with pytest.raises(EcellmError, match="There is no file"):
        join([tmp_path / "none.jsonl"], out)
    assert not list(tmp_path.glob("all*"))
    with pytest.raises(EcellmError, match="exists already"):
        join(parts, parts[0])
