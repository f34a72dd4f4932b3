"""A run from two catalogues to pairs: evidence, resuming, and what does not change the pairs."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from catalogues import FIELDS, LEFT, PM, RIGHT, TRUE, Overlap, read_csv, write_csv
from ecellm.errors import ConfigError, DataError, ModelError
from ecellm.linking.options import LinkOptions, Mode, Search
from ecellm.linking.records import Catalogue, read_catalogue
from ecellm.linking.run import Linked, candidates_file, evidence_file, link, rejects_file
from ecellm.linking.scoring import journal_file
from ecellm.linking.truth import Truth, read_truth
from ecellm.models.base import Reply, Request
from scripted import ScriptedGenerator

LEXICAL = LinkOptions(search=Search.LEXICAL)


def catalogue(path: Path, rows: Sequence[Sequence[object]]) -> Catalogue:
    return read_catalogue(write_csv(path, ("id", "title", "price"), [(*row, 5)[:3] for row in rows]), {}, FIELDS)


@pytest.fixture
def left(tmp_path: Path) -> Catalogue:
    return catalogue(tmp_path / "left.csv", LEFT)


@pytest.fixture
def right(tmp_path: Path) -> Catalogue:
    return catalogue(tmp_path / "right.csv", RIGHT)


def run(
    left: Catalogue, right: Catalogue | None, out: Path, options: LinkOptions = LEXICAL, **more: object
) -> Linked:
    model = more.pop("model", None) or Overlap()
    return link(model, PM, left, right, out, {"model": "overlap"}, options, **more)  # type: ignore[arg-type]


def truth(tmp_path: Path, left: Catalogue, right: Catalogue, pairs: Sequence[tuple[str, str]] = TRUE) -> Truth:
    table = write_csv(tmp_path / "truth.csv", ("left_id", "right_id"), pairs)
    return read_truth(table, left, right, within=left is right)


def test_pairs_come_with_their_probability_and_reasons(left: Catalogue, right: Catalogue, tmp_path: Path) -> None:
    out = tmp_path / "pairs.csv"
    found = run(left, right, out)
    rows = read_csv(out)
    assert found.pairs == len(rows) == 4 and found.evidence is None
    assert [(row["left_id"], row["right_id"], round(float(row["probability"]), 3)) for row in rows] == [
        ("a3", "b4", 0.8),
        ("a4", "b5", 0.75),
        ("a1", "b1", 0.6),
        ("a2", "b3", 0.6),
    ]
    assert rows[2] == rows[2] | {
        "left_title": "acorn photo studio 7",
        "right_title": "acorn photo studio 7.0",
        "shared_words": "acorn photo studio",
        "left_numbers": "7",
        "right_numbers": "7.0",
        "left_price": "5",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["left.csv", "pairs.csv", "right.csv"]


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.parquet", "pairs.tsv", "pairs.csv.gz"])
def test_every_format_holds_the_same_pairs(name: str, left: Catalogue, right: Catalogue, tmp_path: Path) -> None:
    run(left, right, tmp_path / "pairs.csv")
    wanted = {(row["left_id"], row["right_id"]) for row in read_csv(tmp_path / "pairs.csv")}
    out = tmp_path / name
    run(left, right, out)
    if name.endswith("parquet"):
        rows = pq.read_table(out).to_pylist()
    elif name.endswith("jsonl"):
        rows = [json.loads(line) for line in out.read_text().splitlines()]
    else:
        records = read_catalogue(out, {"id": "left_id", "title": "right_id"}, ("title",)).records
        rows = [{"left_id": record.key, "right_id": record.title} for record in records]
    assert {(row["left_id"], row["right_id"]) for row in rows} == wanted


def test_evidence_counts_missing_pairs_of_the_whole(left: Catalogue, right: Catalogue, tmp_path: Path) -> None:
    known = truth(tmp_path, left, right, [*TRUE, ("a5", "b6"), ("a9", "b1")])
    found = run(left, right, tmp_path / "pairs.csv", truth=known).evidence
    assert found is not None and (found.true_pairs, found.unknown_pairs, found.pairs) == (4, 1, 4)
    assert found.candidate_recall[1] == found.candidate_recall[max(found.candidate_recall)] == 0.75
    assert (found.precision.value, found.recall.value, found.f1.value) == (0.75, 0.75, 0.75)
    assert found.f1.low <= 0.75 <= found.f1.high and found.f1.low < found.f1.high
    assert [point.pairs for point in found.curve if point.threshold in (0.5, 0.7, 0.9)] == [4, 2, 0]
    assert json.loads(evidence_file(tmp_path / "pairs.csv").read_text())["f1"]["value"] == 0.75


def test_a_target_precision_chooses_the_lowest_threshold(left: Catalogue, right: Catalogue, tmp_path: Path) -> None:
    known = truth(tmp_path, left, right, TRUE[1:])
    options = LinkOptions(search=Search.LEXICAL, target_precision=1.0)
    found = run(left, right, tmp_path / "pairs.csv", options, truth=known)
    assert found.evidence is not None and found.evidence.precision.value == found.evidence.recall.value == 1.0
    assert found.threshold == 0.75 and found.pairs == 2
    with pytest.raises(ConfigError, match="No threshold gives a precision of 1"):
        run(left, right, tmp_path / "none.csv", options, truth=truth(tmp_path, left, right, [("a5", "b6")]))


def test_a_killed_run_is_resumed_and_gives_the_same_pairs(left: Catalogue, right: Catalogue, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "pairs.csv"
    uninterrupted = Overlap()
    run(left, right, whole, model=uninterrupted)

    class Killed(Overlap):
        def reply(self, requests: Sequence[Request]) -> list[Reply]:
            """Die at the second batch."""
            if self.answered:
                raise KeyboardInterrupt
            return super().reply(requests)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ecellm.linking.scoring.CHUNK", 3)
        with pytest.raises(KeyboardInterrupt):
            run(left, right, out, model=Killed())
        assert candidates_file(out).exists() and journal_file(out).exists() and not out.exists()
        resumed = Overlap()
        run(left, right, out, model=resumed)
    assert 0 < resumed.answered < uninterrupted.answered
    assert out.read_bytes() == whole.read_bytes()
    assert not candidates_file(out).exists() and not journal_file(out).exists()


def test_an_unfinished_run_of_other_input_is_refused(left: Catalogue, right: Catalogue, tmp_path: Path) -> None:
    out = tmp_path / "pairs.csv"

    class Dies(Overlap):
        def reply(self, requests: Sequence[Request]) -> list[Reply]:
            """Die at once."""
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(left, right, out, model=Dies())
    with pytest.raises(DataError, match=r"candidates of other input or options: .* remove it and pairs\.csv\.part"):
        run(left, catalogue(tmp_path / "other.csv", RIGHT[:-1]), out)
    candidates_file(out).write_bytes(b"cut")
    with pytest.raises(DataError, match="is damaged: remove it"):
        run(left, right, out)


def test_the_order_of_rows_changes_nothing(left: Catalogue, right: Catalogue, tmp_path: Path) -> None:
    run(left, right, tmp_path / "pairs.csv")
    mixed = [random.Random(3).sample(rows, len(rows)) for rows in (LEFT, RIGHT)]
    tables = [catalogue(tmp_path / f"mixed{number}.csv", rows) for number, rows in enumerate(mixed)]
    run(*tables, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "pairs.csv").read_bytes()


def test_within_one_catalogue_pairs_have_a_cluster(tmp_path: Path) -> None:
    rows = [
        ("3", "steel mug red"),
        ("1", "steel mug red"),
        ("2", "steel mug red xl"),
        ("4", "oak table"),
        ("5", "oak table"),
    ]
    one = catalogue(tmp_path / "one.csv", rows)
    options = LinkOptions(search=Search.LEXICAL, mode=Mode.MANY_TO_MANY)
    known = truth(tmp_path, one, one, [("3", "1"), ("2", "1"), ("2", "3"), ("5", "4")])
    found = run(one, None, tmp_path / "pairs.csv", options, truth=known)
    pairs = read_csv(tmp_path / "pairs.csv")
    assert {(row["left_id"], row["right_id"], row["cluster"]) for row in pairs} == {
        ("1", "2", "1"),
        ("1", "3", "1"),
        ("2", "3", "1"),
        ("4", "5", "4"),
    }
    assert found.evidence is not None and found.evidence.f1.value == 1.0


def test_true_pairs_of_rejected_records_are_missing(right: Catalogue, tmp_path: Path) -> None:
    left = catalogue(tmp_path / "left.csv", [*LEFT, ("a4", "another title")])
    known = truth(tmp_path, left, right)
    found = run(left, right, tmp_path / "pairs.csv", truth=known).evidence
    assert found is not None and (found.true_pairs, found.rejected_pairs, found.unknown_pairs) == (3, 1, 0)
    assert found.recall.value == pytest.approx(2 / 3) and max(found.candidate_recall.values()) == pytest.approx(2 / 3)


def test_figures_of_an_earlier_run_do_not_stand_beside_new_pairs(
    left: Catalogue, right: Catalogue, tmp_path: Path
) -> None:
    out = tmp_path / "pairs.csv"
    run(left, right, out, truth=truth(tmp_path, left, right))
    assert evidence_file(out).exists()
    run(left, right, out)
    assert not evidence_file(out).exists()


def test_where_nothing_matches_the_table_has_its_columns_and_records_are_counted(tmp_path: Path) -> None:
    one, other = catalogue(tmp_path / "a.csv", [("1", "mug")]), catalogue(tmp_path / "b.csv", [("1", "lamp")])
    found = run(one, other, tmp_path / "pairs.parquet")
    table = pq.read_table(tmp_path / "pairs.parquet")
    assert (found.pairs, found.candidates, found.without) == (0, 0, 1)
    assert table.num_rows == 0 and table.column_names[:4] == ["left_id", "right_id", "probability", "left_title"]


@pytest.mark.parametrize("entry", ['{"pair": 999, "p": 0.5}', '{"pair": 1, "p": null}', '{"pair": "1", "p": 2}'])
def test_a_damaged_journal_is_named_by_its_line(
    entry: str, left: Catalogue, right: Catalogue, tmp_path: Path
) -> None:
    out = tmp_path / "pairs.csv"
    known = truth(tmp_path, left, right, [("a5", "b6")])
    with pytest.raises(ConfigError, match="No threshold"):
        run(left, right, out, LinkOptions(search=Search.LEXICAL, target_precision=1.0), truth=known)
    lines = journal_file(out).read_text().splitlines()
    journal_file(out).write_text("\n".join([*lines[:2], entry, *lines[3:]]) + "\n")
    with pytest.raises(DataError, match="line 3 is no answer: remove that line"):
        run(left, right, out)


def test_rejected_rows_stand_beside_the_pairs(right: Catalogue, tmp_path: Path) -> None:
    left = catalogue(tmp_path / "left.csv", [*LEFT, ("a9", "")])
    run(left, right, tmp_path / "pairs.csv")
    lines = rejects_file(tmp_path / "pairs.csv").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"table": "left.csv", "row": 6, "reason": "title is empty."}]


def test_a_model_without_probabilities_is_refused(left: Catalogue, right: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="gives its answers no probabilities"):
        run(left, right, tmp_path / "pairs.csv", model=ScriptedGenerator(lambda question: "yes"))


def test_true_pairs_that_cannot_be_read_are_named(left: Catalogue, right: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="has no pair of these records, such as 'x' and 'b1', where records have ids such as 'a1'"
    ):
        truth(tmp_path, left, right, [("x", "b1")])
    table = write_csv(tmp_path / "labelled.csv", ("left_id", "right_id", "label"), [(*TRUE[0], "no")])
    with pytest.raises(DataError, match="has a column label: give a table of the true pairs alone"):
        read_truth(table, left, right, within=False)
    with pytest.raises(DataError, match="row 1 pairs a1 with itself"):
        truth(tmp_path, left, left, [("a1", "a1")])
    table = write_csv(tmp_path / "wrong.csv", ("left", "right"), TRUE)
    with pytest.raises(DataError, match="row 1 has no left_id and right_id"):
        read_truth(table, left, right, within=False)
