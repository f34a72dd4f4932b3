"""Asking a table: every row and column kept, in order; invalid rows rejected; no question answered twice."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecellm.errors import DataError, EcellmError
from ecellm.inference import run as inference_run
from ecellm.inference.ask import ask, journal_file
from ecellm.inference.model import Model
from ecellm.inference.run import failed_file
from ecellm.inference.table_checks import checked_table
from ecellm.inference.table_output import TableCounts, TableOptions, rejects_file, unparsed_file
from ecellm.io.tables import rows
from ecellm.models.base import Reply
from ecellm.models.decoding.batching import batches
from ecellm.tasks import TASKS
from scored import ScoredGenerator

ROWS = [
    {"sku": f"00{number}", "title_1": f"mug {number}", "title_2": f"mug{' blue' * (number * 7 % 5)} {number}"}
    for number in range(25)
]
EXPECTED = [Model(ScoredGenerator()).match(row["title_1"], row["title_2"]) for row in ROWS]
RUN = {"model": "m"}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "CHUNK", 8)
    monkeypatch.setattr(inference_run, "batches", lambda questions: batches(questions, rows=3))


def write_csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def read_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(
    source: Path,
    out: Path,
    task: str = "PM",
    generator: ScoredGenerator | None = None,
    overwrite: bool = False,
    identity: dict[str, str] = RUN,
    **wanted: Any,
) -> TableCounts:
    options = TableOptions(**wanted)
    table = checked_table(TASKS[task], source, out, options, overwrite)
    return ask(generator or ScoredGenerator(), TASKS[task], table, source, out, identity, options)


FORMATS: dict[str, tuple[Callable[..., Path], Callable[..., list[dict[str, Any]]]]] = {
    "csv": (write_csv, read_csv),
    "jsonl": (write_jsonl, read_jsonl),
    "parquet": (write_parquet, lambda path: pq.read_table(path).to_pylist()),
}


@pytest.mark.parametrize("ending", FORMATS)
def test_every_row_and_column_is_kept_in_order_with_its_answer(ending: str, tmp_path: Path) -> None:
    write, read = FORMATS[ending]
    source, out = write(tmp_path / f"pairs.{ending}", ROWS), tmp_path / f"out.{ending}"
    counts = run(source, out)
    found = read(out)
    assert [{name: row[name] for name in ROWS[0]} for row in found] == ROWS
    assert list(found[0]) == ["sku", "title_1", "title_2", "answer", "probability"]
    assert [row["answer"] for row in found] == [answer.answer for answer in EXPECTED]
    assert [float(row["probability"]) for row in found] == pytest.approx([answer.probability for answer in EXPECTED])
    assert (counts.run.questions, counts.answered, counts.run.skipped) == (25, 25, 0)
    assert {path.name for path in tmp_path.iterdir()} == {source.name, out.name}
    assert {answer.answer for answer in EXPECTED} == {"yes", "no"}  # else the test could not tell rows apart


def test_rows_that_cannot_be_asked_are_set_aside_with_the_reason(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in ROWS[:12]]
    lines[2] = '{"broken'
    lines[5] = "[1]"
    lines[9] = json.dumps({**ROWS[9], "title_2": None})
    lines[10] = '{"title_1": "mug", "title_1": "cup", "title_2": "mug"}'
    source, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(lines))
    counts = run(source, out)
    assert [row["sku"] for row in read_jsonl(out)] == [ROWS[place]["sku"] for place in (0, 1, 3, 4, 6, 7, 8, 11)]
    aside = read_jsonl(rejects_file(out))
    assert [(row["row"], row["reason"]) for row in aside] == [
        (3, "not a JSON object."),
        (6, "not a JSON object."),
        (10, "title_2 is empty."),
        (11, "JSON object that gives title_1 twice."),
    ]
    assert aside[2]["values"] == {**ROWS[9], "title_2": None} and aside[0]["values"] == {"line": '{"broken'}
    assert counts.rejected.total() == 4 and counts.answered == 8


def test_a_csv_row_of_another_width_and_bad_bytes_are_set_aside(tmp_path: Path) -> None:
    source, out = tmp_path / "reviews.csv", tmp_path / "out.csv"
    source.write_bytes(b'text,note\n"good, really",1\nbad\nfine,caf\xe9\nn\xe9,2\n')
    counts = run(source, out, "SA")
    assert out.read_bytes().splitlines()[2].startswith(b"fine,caf\xe9,")  # a column that is no field stays as it is
    assert counts.rejected == {"missing columns.": 1, "text is not valid UTF-8.": 1}


def test_a_quotation_mark_that_is_never_closed_costs_its_line_alone(tmp_path: Path) -> None:
    source, out = tmp_path / "reviews.csv", tmp_path / "out.csv"
    source.write_text('text,note\ngood,1\n"bad,2\nfine,3\n"two\nlines",4\n')
    counts = run(source, out, "SA")
    assert [row["text"] for row in read_csv(out)] == ["good", "fine", "two\nlines"]
    (rejected,) = read_jsonl(rejects_file(out))
    assert (rejected["reason"], rejected["values"]) == (
        "quotation mark is not closed.",
        {"line_number": 3, "line": '"bad,2'},
    )
    assert counts.run.questions == counts.answered + counts.rejected.total() == 4


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_is_not_ours_in_a_text_file_comes_out_as_it_went_in(delimiter: str, ending: str, tmp_path: Path) -> None:
    lines = [
        f'sku{delimiter}"text"',
        f'"007"{delimiter} "good" ',
        f'caf\udce9{delimiter}"a ""b"""',
        f"{delimiter}fine",
    ]
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(ending.join(lines).encode("utf-8", "surrogateescape"))
    run(source, out, "SA")
    found = out.read_bytes().decode("utf-8", "surrogateescape").split(ending)
    assert found.pop() == ""
    assert [line[: len(own)] for line, own in zip(found, lines, strict=True)] == lines
    assert found[0] == lines[0] + delimiter + delimiter.join(["answer", "probability"])
    assert all(line[len(own) :].count(delimiter) == 2 for line, own in zip(found, lines, strict=True))


def test_cells_of_json_lines_come_out_as_they_went_in(tmp_path: Path) -> None:
    own = [
        '{"text": "good", "far": 1e400, "long": 1234567890123456789012, "zero": 1.50, "none": NaN}',
        '{ "half": "\\ud800" , "byte": "caf\udce9", "text" : "fine"  }  ',
        '{"text":12.50}',
    ]
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes("\n".join(own).encode("utf-8", "surrogateescape"))
    assert run(source, out, "SA").answered == 3
    found = out.read_bytes().decode("utf-8", "surrogateescape").splitlines()
    kept = [line.strip().removesuffix("}").rstrip() + ", " for line in own]
    assert [line[: len(one)] for line, one in zip(found, kept, strict=True)] == kept
    new = [json.loads("{" + line[len(one) :]) for line, one in zip(found, kept, strict=True)]
    assert all(row.keys() == {"answer", "probability"} for row in new)


def test_compressed_tables_are_read_and_written(tmp_path: Path) -> None:
    for ending in ("csv", "jsonl"):
        plain = FORMATS[ending][0](tmp_path / f"pairs.{ending}", ROWS)
        packed = tmp_path / f"packed.{ending}.gz"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        run(plain, tmp_path / f"out.{ending}")
        run(packed, tmp_path / f"out.{ending}.gz")
        found = gzip.decompress((tmp_path / f"out.{ending}.gz").read_bytes())
        assert found == (tmp_path / f"out.{ending}").read_bytes()
        packed.write_bytes(packed.read_bytes()[:-20])
        with pytest.raises(DataError, match="cannot be read: Compressed file ended"):
            run(packed, tmp_path / f"again.{ending}.gz")


def test_what_a_cell_must_be_to_be_a_text(tmp_path: Path) -> None:
    rows = [
        {"question": "loud?", "snippets": snippets}
        for snippets in (
            "[Update] it fits",
            '["quiet", "small"]',
            "['quiet']",
            ["quiet", None],
            [{"a": 1}],
            [["x"]],
            "",
        )
    ]
    source, out = write_jsonl(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    counts = run(source, out, "AP")
    assert [row["snippets"] for row in read_jsonl(out)] == [row["snippets"] for row in rows[:3]]
    assert counts.rejected == {
        "snippets has an item that is null.": 1,
        "snippets is no single text.": 2,
        "snippets is empty.": 1,
    }
    cells = pa.table(
        {"text": ["Café mug".encode(), b"caf\xe9", None], "far": pa.array([0, 253402300799999999, None])}
    )
    far = cells.set_column(1, "far", pa.array([0, 1 << 62, None], pa.timestamp("us", "Nowhere/Else")))
    pq.write_table(far, tmp_path / "in.parquet")
    counts = run(tmp_path / "in.parquet", tmp_path / "out.parquet", "SA")
    assert counts.answered == 1 and counts.rejected == {"text is not valid UTF-8.": 1, "text is empty.": 1}
    assert pq.read_table(tmp_path / "out.parquet").drop(["answer", "probability"]).equals(far[:1])


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_header_that_stands_there_again_is_rejected_as_build_does(ending: str, tmp_path: Path) -> None:
    divide = "\t" if ending == "tsv" else ","
    lines = [divide.join(cells) for cells in (("sku", "text"), ("1", "fine"), ("sku", "text"), ("2", "good"))]
    source, out = tmp_path / f"in.{ending}", tmp_path / f"out.{ending}"
    source.write_text("\n".join(lines) + "\n")
    counts = run(source, out, "SA")
    assert (counts.answered, counts.rejected) == (2, {"the header stands there again.": 1})
    (rejected,) = read_jsonl(rejects_file(out))
    assert rejected["values"] == {"line_number": 3, "line": lines[2]}
    assert [line.split(divide)[0] for line in out.read_text().splitlines()] == ["sku", "1", "2"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("name", "text"), [("in.csv", "text,é\nfine,1\n"), ("in.jsonl", '{"text": "é"}\n')])
def test_a_byte_order_mark_comes_out_as_it_went_in(name: str, text: str, packed: bool, tmp_path: Path) -> None:
    for mark in (b"\xef\xbb\xbf", b""):
        data = mark + text.encode()
        source = tmp_path / (name + ".gz" if packed else name)
        source.write_bytes(gzip.compress(data) if packed else data)
        out = source.with_name("out" + source.name.removeprefix("in"))
        assert run(source, out, "SA", overwrite=True).answered == 1
        written = gzip.decompress(out.read_bytes()) if packed else out.read_bytes()
        assert written.startswith(mark + text.encode().splitlines()[0][:-1])
        assert written.count(b"\xef\xbb\xbf") == len(mark) // 3


def test_columns_of_parquet_keep_the_type_that_they_have_in_the_file(tmp_path: Path) -> None:
    moments = pa.array([datetime(2024, 1, 2, 3, 4, 5), datetime(9999, 12, 31)], pa.timestamp("us"))
    kinds: dict[str, pa.DataType] = {
        "seconds": pa.timestamp("s"),  # which pyarrow writes as milliseconds: so the file has them
        "zoned": pa.timestamp("ms", "Europe/Berlin"),
        "micro": pa.timestamp("us"),
        "day": pa.date32(),
    }
    columns = {name: moments.cast(kind) for name, kind in kinds.items()}
    columns["word"] = pa.array(["a", "b"], pa.dictionary(pa.int8(), pa.string()))
    columns["lengths"] = pa.array([[timedelta(1)], None], pa.list_(pa.duration("s")))
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"text": ["fine", "good"], **columns}), source)
    assert run(source, out, "SA").answered == 2
    assert pq.read_table(out).drop(["answer", "probability"]).equals(pq.read_table(source), check_metadata=True)
    assert pq.read_schema(out).field("seconds").type == pa.timestamp("ms")


def test_texts_of_parquet_that_are_no_utf8_cost_their_row_only_where_they_are_asked(tmp_path: Path) -> None:
    texts = pa.array([b"fine", b"ca\xff", b"good"])
    broken = pa.Array.from_buffers(pa.string(), 3, texts.buffers())
    others = {
        "word": broken,
        "words": pa.ListArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), broken),
        "record": pa.StructArray.from_arrays([broken], ["name"]),
    }
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"text": ["a", "b", "c"], **others}), source)
    assert run(source, out, "SA").answered == 3
    assert pq.read_table(out).drop(["answer", "probability"]).equals(pq.read_table(source))
    pq.write_table(pa.table({"text": broken}), source)
    counts = run(source, out, "SA", overwrite=True)
    assert (counts.answered, counts.rejected) == (2, {"text is not valid UTF-8.": 1})
    pq.write_table(pa.table({"question": ["a", "b", "c"], "snippets": others["words"]}), source)
    counts = run(source, out, "AP", overwrite=True)
    assert (counts.answered, counts.rejected) == (2, {"snippets is not valid UTF-8.": 1})


def test_times_of_the_type_int96_stay_the_same_whatever_their_year(tmp_path: Path) -> None:
    moments = [datetime(2024, 1, 2, 3, 4, 5, 678901), datetime(9999, 12, 31), datetime(1600, 1, 1)]
    table = pa.table({"text": ["a", "b", "c"], "time": pa.array(moments, pa.timestamp("us"))})
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(table, source, use_deprecated_int96_timestamps=True)
    assert run(source, out, "SA").answered == 3
    assert pq.read_table(out)["time"].to_pylist() == moments


def test_a_row_that_does_not_fit_is_set_aside_and_the_others_are_asked(tmp_path: Path) -> None:
    generator = ScoredGenerator()
    generator.budget = 1200
    rows = [{"text": "good " * (1 if number != 4 else 300)} for number in range(6)]
    source, out = write_csv(tmp_path / "reviews.csv", rows), tmp_path / "out.csv"
    counts = run(source, out, "SA", generator)
    assert counts.answered == 5 and counts.rejected == {"Example 5 does not fit.": 1}


@pytest.mark.parametrize("dies_after", [1, 4, 7])
def test_an_interrupted_run_goes_on_and_gives_the_same_output(dies_after: int, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "pairs.csv", [*ROWS, {**ROWS[0], "title_1": ""}])
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    run(source, whole)

    class Dying(ScoredGenerator):
        left = dies_after

        def reply(self, questions: Any) -> Any:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return super().reply(questions)

    with pytest.raises(KeyboardInterrupt):
        run(source, out, generator=Dying())
    assert not out.exists()
    with journal_file(out).open("a") as file:
        file.write('{"row": 2')  # a line that the kill tore
    generator = ScoredGenerator()
    counts = run(source, out, generator=generator)
    assert counts.run.skipped >= dies_after and len(set(generator.asked)) < 25
    assert out.read_bytes() == whole.read_bytes()
    assert rejects_file(out).read_bytes() == rejects_file(whole).read_bytes()


def test_rows_without_an_answer_are_asked_again_by_the_next_run(tmp_path: Path) -> None:
    source, out = write_csv(tmp_path / "pairs.csv", ROWS), tmp_path / "out.csv"
    failing = ScoredGenerator()
    failing.failing = {"mug 3", "mug 20"}
    counts = run(source, out, generator=failing)
    assert counts.run.failed == {"the server is busy.": 2} and not out.exists()
    reason = "the server is busy."
    assert read_jsonl(failed_file(out)) == [{"row": 4, "reason": reason}, {"row": 21, "reason": reason}]
    assert run(source, out).run.skipped == 23
    assert [row["answer"] for row in read_csv(out)] == [answer.answer for answer in EXPECTED]
    assert not failed_file(out).exists()


def test_rows_without_an_answer_may_be_left_out(tmp_path: Path) -> None:
    source, out = write_csv(tmp_path / "pairs.csv", ROWS), tmp_path / "out.csv"
    failing = ScoredGenerator()
    failing.failing = {"mug 3", "mug 20"}
    counts = run(source, out, generator=failing, skip_failed=True)
    assert (counts.answered, counts.run.failed, counts.rejected) == (23, {}, {"the server is busy.": 2})
    assert [row["sku"] for row in read_csv(out)] == [
        row["sku"] for number, row in enumerate(ROWS) if number not in (3, 20)
    ]
    assert [row["values"] for row in read_jsonl(rejects_file(out))] == [ROWS[3], ROWS[20]]
    assert {path.name for path in tmp_path.iterdir()} == {source.name, out.name, rejects_file(out).name}


def test_two_runs_do_not_ask_for_one_output_at_a_time(tmp_path: Path) -> None:
    source, out = write_csv(tmp_path / "pairs.csv", ROWS), tmp_path / "out.csv"
    tried: list[str] = []

    class Beside(ScoredGenerator):
        def reply(self, questions: Any) -> Any:
            if not tried:
                with pytest.raises(DataError, match=r"Another run is writing .*out\.csv\.part\.jsonl"):
                    run(source, out)
                run(source, tmp_path / "other.csv")  # beside it is free
                tried.append("once")
            return super().reply(questions)

    run(source, out, generator=Beside())
    assert tried and out.read_bytes() == (tmp_path / "other.csv").read_bytes()


def test_a_run_that_was_killed_at_any_moment_goes_on_and_asks_nothing_kept_again(tmp_path: Path) -> None:
    source, out = write_csv(tmp_path / "pairs.csv", ROWS * 40), tmp_path / "out.csv"
    code = f"""
        import time
        from pathlib import Path
        from ecellm.inference.ask import ask
        from ecellm.inference.table_checks import checked_table
        from ecellm.inference.table_output import TableOptions
        from ecellm.tasks import TASKS
        from scored import ScoredGenerator

        class Slow(ScoredGenerator):
            def reply(self, questions):
                time.sleep(0.02)
                return super().reply(questions)

        source, out, task = Path({str(source)!r}), Path({str(out)!r}), TASKS["PM"]
        ask(Slow(), task, checked_table(task, source, out, TableOptions()), source, out, {RUN!r})
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    try:
        limit = time.monotonic() + 60
        while not (journal_file(out).exists() and journal_file(out).read_bytes().count(b"\n") > 100):
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.001)
    finally:
        process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = journal_file(out).read_bytes().rpartition(b"\n")[0].count(b"\n")
    generator = ScoredGenerator()
    counts = run(source, out, generator=generator)
    assert 100 <= kept == counts.run.skipped < 1000 == counts.answered
    assert [row["answer"] for row in read_csv(out)] == [answer.answer for answer in EXPECTED] * 40


def test_another_models_or_inputs_answers_are_refused(tmp_path: Path) -> None:
    source, out = write_csv(tmp_path / "pairs.csv", ROWS), tmp_path / "out.csv"
    failing = ScoredGenerator()
    failing.failing = {"mug 3"}
    run(source, out, generator=failing)
    with pytest.raises(DataError, match="answers of another model"):
        run(source, out, identity={"model": "other"})
    write_csv(source, ROWS[:20])
    with pytest.raises(DataError, match="answers of another input"):
        run(source, out)


def test_uncertain_answers_are_left_to_a_human_and_counted(tmp_path: Path) -> None:
    source, out = write_csv(tmp_path / "pairs.csv", ROWS), tmp_path / "out.csv"
    counts = run(source, out, abstain=0.7, prefix="pm_", scores=True)
    sure = [answer.answer if answer.probability >= 0.7 else "" for answer in EXPECTED]  # type: ignore[operator]
    found = read_csv(out)
    assert [row["pm_answer"] for row in found] == sure
    assert counts.abstained == sure.count("") and 0 < counts.abstained < 25
    assert json.loads(found[0]["pm_scores"]) == pytest.approx(EXPECTED[0].probabilities)


def test_answers_of_every_type_are_written(tmp_path: Path) -> None:
    rows = [{"query": "mug", "titles": ["Lamp", "Mug", "Cup"]}, {"query": "tent", "titles": ["Tent", "Rope"]}]
    ranked = [Model(ScoredGenerator()).rank(row["query"], row["titles"]).answer for row in rows]  # type: ignore[arg-type]
    source, out = write_parquet(tmp_path / "lists.parquet", rows), tmp_path / "out.parquet"
    run(source, out, "QPR")
    assert pq.read_table(out)["answer"].to_pylist() == ranked
    cells = write_csv(tmp_path / "lists.csv", [{**row, "titles": json.dumps(row["titles"])} for row in rows])
    run(cells, tmp_path / "out.csv", "QPR")
    assert [json.loads(row["answer"]) for row in read_csv(tmp_path / "out.csv")] == ranked
    products = write_parquet(tmp_path / "products.parquet", [{"title": "mug", "attributes": ["Color"]}] * 2)
    text = '[{"attribute": "color", "value": "blue", "source": "product title"}]'
    run(products, tmp_path / "values.parquet", "AVE", ScoredGenerator(text))
    answers = pq.read_table(tmp_path / "values.parquet")
    assert answers["answer"].to_pylist() == [[{"attribute": "Color", "value": "blue", "source": "title"}]] * 2
    assert answers["probability"].to_pylist() == [None, None]
    unread = run(products, tmp_path / "unread.parquet", "AVE", ScoredGenerator("blue"))
    assert unread.unparsed == 2 and pq.read_table(tmp_path / "unread.parquet")["answer"].to_pylist() == [None, None]


@pytest.mark.parametrize("ending", FORMATS)
def test_half_of_a_surrogate_pair_in_an_answer_is_no_error(ending: str, tmp_path: Path) -> None:
    write, read = FORMATS[ending]
    source = write(tmp_path / f"in.{ending}", [{"title": "5 cm", "attributes": "Length", "sku": "é"}])
    triple = {"attribute": "length", "value": "5\ud800", "source": "product title"}
    run(source, out := tmp_path / f"out.{ending}", "AVE", ScoredGenerator(json.dumps([triple])))
    (row,) = read(out)
    found = json.loads(row["answer"]) if ending == "csv" else row["answer"]
    assert found == [{"attribute": "Length", "value": "5?", "source": "title"}] and row["sku"] == "é"


def test_what_the_model_said_is_kept_for_answers_that_are_none(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "pairs.csv", [*ROWS[:3], {**ROWS[0], "title_1": ""}])

    class Vague(ScoredGenerator):
        def reply(self, questions: Any) -> Any:
            return [Reply("I am not sure.") for _ in questions]

    said = Vague()
    counts = run(source, tmp_path / "a/b/out.csv", "PM", said)  # folders are made
    kept = [{"row": number, "completion": "I am not sure."} for number in (1, 2, 3)]
    assert counts.unparsed == 3 and read_jsonl(unparsed_file(tmp_path / "a/b/out.csv")) == kept
    assert "completion" not in read_csv(tmp_path / "a/b/out.csv")[0]
    run(source, out := tmp_path / "out.csv", "PM", said, text=True, prefix="pm_")
    assert [row["pm_completion"] for row in read_csv(out)] == ["I am not sure."] * 3
    run(source, out, "PM", overwrite=True, text=True)
    assert [row["completion"] for row in read_csv(out)] == [answer.answer for answer in EXPECTED[:3]]
    assert not unparsed_file(out).exists(), "those of an earlier run are gone"


def test_where_every_row_is_rejected_there_is_no_table(tmp_path: Path) -> None:
    source, out = write_csv(tmp_path / "pairs.csv", [{**row, "title_2": ""} for row in ROWS]), tmp_path / "out.csv"
    out.write_text("an earlier run's")
    counts = run(source, out, overwrite=True)
    assert (counts.answered, counts.rejected) == (0, {"title_2 is empty.": 25})
    assert out.read_text() == "an earlier run's" and len(read_jsonl(rejects_file(out))) == 25
    assert {path.name for path in tmp_path.iterdir()} == {source.name, out.name, rejects_file(out).name}


@pytest.mark.parametrize(
    ("name", "text", "out", "task", "wanted", "message"),
    [
        (
            "in.csv",
            "title_1,name\na,b\n",
            "out.csv",
            "PM",
            {},
            "no column title_2; it has title_1, name, and PM takes",
        ),
        ("in.jsonl", '{"text": "a", "answer": 1}\n', "out.jsonl", "SA", {}, "has a column answer already"),
        ("in.csv", "text\n", "out.csv", "SA", {}, "has no rows"),
        ("in.csv", "", "out.csv", "SA", {}, "is empty: it should begin with the names"),
        ("in.csv", "text,text\na,b\n", "out.csv", "SA", {}, "the column 'text' more than once"),
        ("in.csv", "text\na\n", "out.parquet", "SA", {}, "should end as in.csv does"),
        ("in.xlsx", "text\na\n", "out.xlsx", "SA", {}, "of no known kind"),
        ("in.parquet", "text", "out.parquet", "SA", {}, "in.parquet is text, not Parquet"),
        ("in.csv", "question,snippets\na,b\n", "out.csv", "AG", {"abstain": 0.5}, "leave --abstain out"),
        ("in.csv", "t\udce9xt\na\n", "out.csv", "SA", {}, "is not in UTF-8"),
        (
            "in.jsonl",
            '[{"text": "a"}]\n',
            "out.jsonl",
            "SA",
            {},
            "holds a JSON array",
        ),
        ("in.csv", "version https://git-lfs.github.com/spec/v1\n", "out.csv", "SA", {}, "is a pointer of Git LFS"),
        ("in.csv", "text\na\n", "in.csv", "SA", {}, "is the input itself"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_asked(
    name: str, text: str, out: str, task: str, wanted: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, errors="surrogateescape")
    with pytest.raises(EcellmError, match=message):
        run(tmp_path / name, tmp_path / out, task, overwrite=name == out, **wanted)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_parquet_column_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(twice, tmp_path / "in.parquet")
    with pytest.raises(EcellmError, match="the column 'text' more than once"):
        run(tmp_path / "in.parquet", tmp_path / "out.parquet", "SA")


@pytest.mark.parametrize("beside", [rejects_file, unparsed_file, failed_file])
def test_a_file_that_a_run_would_replace_is_no_input(beside: Callable[[Path], Path], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    source = write_jsonl(beside(out), ROWS)
    with pytest.raises(EcellmError, match="name another output"):
        run(source, out)
    assert read_jsonl(source) == ROWS and not out.exists()


def test_a_column_of_ones_own_is_seen_wherever_it_first_stands(tmp_path: Path) -> None:
    own = [*ROWS, {**ROWS[0], "answer": "mine"}]
    with pytest.raises(EcellmError, match="has a column answer already"):
        run(write_jsonl(tmp_path / "in.jsonl", own), tmp_path / "out.jsonl")


def test_rows_that_cannot_be_read_may_be_more_than_a_chunk(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("no object\n" * 20 + json.dumps(ROWS[0]) + "\n")
    assert run(source, tmp_path / "out.jsonl").answered == 1


@pytest.mark.parametrize("kind", [pa.list_(pa.string_view()), pa.struct([("a", pa.string_view())])], ids=str)
def test_a_row_of_parquet_may_be_left_out_whatever_the_types_of_its_columns(
    kind: pa.DataType, tmp_path: Path
) -> None:
    values = [["a"], ["b"], ["c"]] if pa.types.is_list(kind) else [{"a": "a"}, {"a": "b"}, {"a": "c"}]
    texts = pa.array(["fine", None, "good"])
    source, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"text": texts, "own": pa.array(values, kind)}), source)
    assert run(source, out, "SA").answered == 2
    found = pq.read_table(out)
    assert found["own"].to_pylist() == [values[0], values[2]] and found["text"].to_pylist() == ["fine", "good"]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_value_of_several_lines_in_the_first_column_is_one_value(delimiter: str, tmp_path: Path) -> None:
    lines = ["title_1 title_2", '"red mug', 'large" mug', '"a', "b", 'c" d', "e f"]
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    text = "\n".join(lines) + "\n"
    own = text.replace(' mug\n"a', f'{delimiter}mug\n"a').replace("title_1 ", f"title_1{delimiter}")
    own = own.replace(" d", f"{delimiter}d").replace("e f", f"e{delimiter}f")
    source.write_text(own)
    counts = run(source, out)
    assert (counts.answered, counts.rejected) == (3, {})
    with out.open(newline="") as file:
        found = [(row["title_1"], row["title_2"]) for row in csv.DictReader(file, delimiter=delimiter)]
    assert found == [("red mug\nlarge", "mug"), ("a\nb\nc", "d"), ("e", "f")]


def test_a_file_called_tsv_is_divided_by_tabs(tmp_path: Path) -> None:
    source, out = tmp_path / "in.tsv", tmp_path / "out.tsv"
    source.write_text("title_1\ttitle_2\tnotes, with, many, commas\na\tb\tc\n")
    assert run(source, out).answered == 1 and out.read_text().startswith("title_1\ttitle_2\tnotes, with")


@pytest.mark.parametrize(("name", "data"), [("a.csv", b"\xef\xbb\xbf"), ("a.csv.gz", b""), ("a.jsonl.gz", b"")])
def test_a_table_of_nothing_is_empty(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(EcellmError, match="is empty"):
        run(tmp_path / name, tmp_path / f"out{name}")


def test_an_output_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    source, out = write_csv(tmp_path / "pairs.csv", ROWS), tmp_path / "out.csv"
    out.write_text("mine")
    with pytest.raises(EcellmError, match="exists already"):
        run(source, out)
    assert out.read_text() == "mine"
    run(source, out, overwrite=True)
    assert len(read_csv(out)) == 25
    with pytest.raises(EcellmError, match="There is no file"):
        run(tmp_path / "none.csv", out, overwrite=True)
