"""The published ECInstruct form, both ways: folded on the way in, whole again on the way out."""

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecellm.data.dataset import PUBLISHED, Dataset, read_dataset
from ecellm.data.ecinstruct.format import export, published_rows
from ecellm.data.ecinstruct.importing import import_published
from ecellm.errors import EcellmError
from ecellm.evaluation.evaluate import evaluate
from ecellm.tasks import TASKS
from ecellm.types import ONE_SHOT, SETTINGS, SPLITS

Row = dict[str, Any]
Run = Callable[..., tuple[int, str, str]]


def row(**values: Any) -> Row:
    whole = {
        "instruction": "Say yes or no.",
        "input": '{"query": "mug", "product": "blue mug"}',
        "options": None,
        "output": "yes",
        "few_shot_example": None,
        "task": "Product_Substitue_Identification",
        "split": "train",
        "setting": "IND_Diverse_Instruction",
    }
    return {**whole, **values}


def imported(rows: list[Row], folder: Path, labels: list[list[str]] | None = None) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "rows.json"
    file.write_text(json.dumps(rows))
    if labels is not None:
        (folder / "labels.json").write_text(json.dumps(labels))
    import_published(file, folder / "data", folder / "labels.json" if labels is not None else None)
    return read_dataset(folder / "data")


def test_a_sample_that_several_settings_repeat_is_stored_once(tmp_path: Path) -> None:
    rows = [
        row(split="test", setting=f"IND_{part}", instruction=part)
        for part in ("Single_Instruction", "Diverse_Instruction", "Unseen_Instruction")
    ]
    data = imported(rows, tmp_path)
    assert len(data.examples("test")) == 1
    assert [data.view(setting)[0].instruction for setting in data.settings()] == [
        each["instruction"] for each in rows
    ]
    assert data.settings() == [each["setting"] for each in rows]


def test_equal_rows_of_one_setting_stay_two(tmp_path: Path) -> None:
    data = imported([row(), row(), row(setting="IND_Single_Instruction")], tmp_path)
    examples = data.examples("train")
    assert len(examples) == 2
    assert len({example.id for example in examples}) == 2
    assert len(data.view("IND_Diverse_Instruction", "train")) == 2
    assert len(data.view("IND_Single_Instruction", "train")) == 1


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_spelling_of_a_task_is_known(task: Any, tmp_path: Path) -> None:
    for place, name in enumerate((task.name, task.title, task.title.upper(), *task.aliases)):
        data = imported([row(task=name)], tmp_path / str(place))
        assert [example.task for example in data.examples("train")] == [task.name]
        assert [each["task"] for each in published_rows(data)] == [name]


def test_options_may_be_null_empty_a_list_or_a_python_list_as_text(tmp_path: Path) -> None:
    options = [None, "", ["A: x", "B: y"], '["A: x", "B: y"]', "['A: it', \"B: it's\"]"]
    data = imported(
        [row(task="SR", output="A", input=str(n), options=value) for n, value in enumerate(options)], tmp_path
    )
    assert [example.options for example in data.examples("train")] == [None, None, options[3], options[3], options[4]]
    assert [each["options"] for each in published_rows(data)] == [None, "", options[3], options[3], options[4]]


def test_a_row_needs_task_input_and_output_and_nothing_else(tmp_path: Path) -> None:
    bare = {"task": "PSI", "input": "x", "output": "no"}
    bad = [
        {**bare, "task": "Cooking"},
        {"input": "x", "output": "no"},
        {**bare, "output": None},
        {**bare, "split": "dev"},
    ]
    data = imported([bare, *bad, "text"], tmp_path)
    assert [example.split for example in data.examples("test")] == ["test"]
    assert data.view("IND_Diverse_Instruction")[0].instruction in TASKS["PSI"].seen_instructions
    assert data.manifest["rejected"] == {
        "rows.json": {"no output": 1, "no task": 1, "not a JSON object": 1, "unknown split": 1, "unknown task": 1}
    }
    rejects = [json.loads(line) for line in (data.path / "rejects.jsonl").read_text().splitlines()]
    assert [each["row"] for each in rejects] == [2, 3, 4, 5, 6]


def test_a_worked_example_is_read_and_given_back(tmp_path: Path) -> None:
    shot = json.dumps({"input": "in", "options": ["A: x"], "output": "A"})
    rows = [row(split="test", setting=f"IND_{ONE_SHOT}", few_shot_example=text) for text in (shot, "In: x, out: y")]
    data = imported([rows[0], {**rows[1], "input": "other"}], tmp_path)
    first, second = (asked.shot for asked in data.view(f"IND_{ONE_SHOT}"))
    assert first is not None and (first.input, first.options, first.output) == ("in", '["A: x"]', "A")
    assert second is not None and second.input == "In: x, out: y"


def test_an_export_that_fails_leaves_neither_file(tmp_path: Path, tiny_data: Dataset, run: Run) -> None:
    rows, labels = tmp_path / "rows.json", tmp_path / "labels.json"
    labels.write_text("mine")
    for second, message in ((labels, "labels.json exists already"), (rows, "rows.json exists already")):
        code, _, err = run("export", tiny_data.path, "--out", rows, "--qpr-labels", second)
        assert code == 1 and message in err and not rows.exists() and labels.read_text() == "mine"


def test_labels_join_the_ranking_rows_of_every_setting_in_file_order(tmp_path: Path) -> None:
    def ranking(product: str, setting: str) -> Row:
        text = json.dumps({"query": "q", "product list": [f"A: {product}", "B: x"]})
        return row(task="Query_Product_Ranking", input=text, output="A,B", split="test", setting=setting)

    rows = [ranking(name, f"IND_{part}_Instruction") for part in ("Single", "Diverse") for name in ("a", "b")]
    data = imported(rows, tmp_path / "good", [["E", "S"], ["C", "I"]])
    assert [example.labels for example in data.examples("test")] == [("E", "S"), ("C", "I")]
    for labels, said in (
        ([["E", "S"]], "1 entries"),
        ([["E"], ["C", "I"]], "1 labels"),
        ([["E", "X"]] * 2, "E, S, C or I"),
    ):
        with pytest.raises(EcellmError, match=said):
            imported(rows, tmp_path / said, labels)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"task": "PSI", "input": "x", "output": "no"}, {"task"', "not a whole JSON file"),
        ("hello", "is not valid JSON (line 1, at 'hello')"),
        ("[]", "no usable row"),
        ('[{"task": "PSI"}]', "no usable row: no input: 1"),
        ("", "not a whole JSON file"),
        ('[{"task": "PSI"},\n{"input": NaN}]', "has NaN in line 2, which is no JSON: write null there"),
        ('{"input": -Infinity}', "has -Infinity in line 1, which is no JSON: write null there"),
        ('{"input": True}', "has True in line 1, which is no JSON: write true there"),
        ('{"input": ' + "9" * 5000 + "}", "has a number in line 1 that is too large (9999"),
        ('{"input": 1e400}', "has a number in line 1 that is too large (1e400"),
        ('{"input": 007}', "is not a valid JSON file (Invalid JSON number: 007)"),
        ("[{}] x", "is not valid JSON (line 1, at 'x')"),
        ("[" * 100_000, "not a whole JSON file"),
    ],
)
def test_a_file_that_is_none_is_refused_and_nothing_is_written(
    text: str, said: str, tmp_path: Path, run: Run
) -> None:
    file, out = tmp_path / "rows.json", tmp_path / "data"
    file.write_text(text)
    code, _, error = run("import", file, "--out", out)
    assert code == 1
    assert said in error
    assert "Traceback" not in error
    assert not out.exists()


def test_a_file_in_another_encoding_and_a_damaged_gzip_file_are_named(tmp_path: Path, run: Run) -> None:
    packed = gzip.compress(json.dumps([row(input=str(number)) for number in range(1000)]).encode())
    for name, data, said in (
        ("latin.json", '[{"input": "café"}]'.encode("latin-1"), "latin.json is not in UTF-8: save it as UTF-8."),
        ("cut.json", '[{"input": "caf\u00e9'.encode()[:-1], "cut.json is not a whole JSON file"),
        ("cut.json.gz", packed[:-20], "cut.json.gz is damaged or cut short"),
        ("packed.json", packed, "packed.json is compressed with gzip: name it packed.json.gz."),
        ("plain.json.gz", b"[]", "plain.json.gz is not compressed with gzip: remove .gz from its name."),
    ):
        (tmp_path / name).write_bytes(data)
        code, _, error = run("import", tmp_path / name, "--out", tmp_path / "data")
        assert code == 1 and said in error


def test_gzipped_rows_are_those_of_the_plain_file(tmp_path: Path) -> None:
    text = json.dumps([row(input=f"caf\u00e9 {number}") for number in range(5)], ensure_ascii=False)
    (tmp_path / "rows.json").write_text("\ufeff" + text, encoding="utf-8")
    (tmp_path / "rows.json.gz").write_bytes(gzip.compress(("\ufeff" + text).encode()))
    plain, packed = (tmp_path / "plain", tmp_path / "packed")
    import_published(tmp_path / "rows.json", plain)
    manifest = import_published(tmp_path / "rows.json.gz", packed)
    assert read_dataset(plain).hash() == read_dataset(packed).hash()
    digest = hashlib.sha256((tmp_path / "rows.json.gz").read_bytes()).hexdigest()
    assert manifest["inputs"] == [{"path": "rows.json.gz", "sha256": digest}]


def test_what_does_not_come_back_as_it_was_is_counted(tmp_path: Path, run: Run) -> None:
    rows = [
        row(input=5, note="x", source=None),
        row(input=4.5, options=["A: x"], note="y"),
        row(input={"text": "mug"}, output=True, instruction=7),
        row(few_shot_example={"input": "x", "output": "y"}),
        row(task="Cooking", input=5, note="z"),
    ]
    file, out = tmp_path / "rows.json", tmp_path / "data"
    file.write_text(json.dumps(rows))
    code, _, error = run("import", file, "--out", out)
    data = read_dataset(out)
    stored, whole = "a number or a truth value, stored as its text", "a list or an object, stored as its JSON"
    assert data.manifest["converted"] == {
        "rows.json": {
            f"few_shot_example is {whole}": 1,
            f"input is {whole}": 1,
            f"input is {stored}": 2,
            f"instruction is {stored}": 1,
            f"options is {whole}": 1,
            f"output is {stored}": 1,
        }
    }
    assert data.manifest["unread_keys"] == {"rows.json": {"note": 2, "source": 1}}
    assert [example.input for example in data.examples("train")[:3]] == ["5", "4.5", '{"text": "mug"}']
    assert code == 0 and f"Converted: input is {stored}: 2." in error
    assert "Not read: unknown keys 'note' (2), 'source' (1)." in error


def test_a_row_that_gives_a_key_twice_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    twice = json.dumps(row()).replace('"output"', '"input": "other", "output"')
    file.write_text(f"{twice}\n{json.dumps(row())}\n")
    manifest = import_published(file, tmp_path / "data")
    assert manifest["rejected"] == {"rows.jsonl": {"a key stands twice": 1}}
    assert manifest["published_rows"] == {"IND_Diverse_Instruction": 1}


def test_a_byte_order_mark_is_no_part_of_the_first_row_or_of_the_labels(tmp_path: Path) -> None:
    rows = [row(input=str(number)) for number in range(3)]
    lines = "\n".join(map(json.dumps, rows))
    for name, text in {"array": json.dumps(rows), "lines": lines}.items():
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
        import_published(tmp_path / name, tmp_path / f"{name} data")
        assert [example.input for example in read_dataset(tmp_path / f"{name} data").examples("train")] == list("012")
    labels = tmp_path / "labels.json"
    ranking = row(
        task="QPR", split="test", input='{"query": "mug", "product list": ["A: mug", "B: pot"]}', output="A"
    )
    (tmp_path / "ranking.json").write_text(json.dumps([ranking]))
    labels.write_bytes(b'\xef\xbb\xbf[["E", "S"]]')
    import_published(tmp_path / "ranking.json", tmp_path / "ranked", labels)
    assert [example.labels for example in read_dataset(tmp_path / "ranked").examples("test")] == [("E", "S")]


def test_half_of_a_surrogate_pair_rejects_its_row_and_whole_pairs_come_back(tmp_path: Path) -> None:
    texts = ["input", "output", "options", "instruction", "few_shot_example"]
    halves = [row(**{name: f"a \ud83d {name}"}) for name in texts] + [row(input="\udc00\ud800")]
    whole = [row(input="a \U0001f600 mug"), row(input={"text": "\ud800"})]
    file, out = tmp_path / "rows.json", tmp_path / "data"
    file.write_text(json.dumps([*halves, *whole]))
    manifest = import_published(file, out)
    reasons = {f"half of a surrogate pair in {name}": 1 for name in texts} | {"half of a surrogate pair in input": 2}
    assert manifest["rejected"] == {"rows.json": reasons}
    assert len((out / "rejects.jsonl").read_text().splitlines()) == len(halves)
    export(read_dataset(out), tmp_path / "again.json")
    inputs = [each["input"] for each in json.loads((tmp_path / "again.json").read_text())]
    assert inputs == ["a \U0001f600 mug", '{"text": "\\ud800"}']


def test_rows_of_odd_values_are_rejected_and_counted(tmp_path: Path) -> None:
    odd = [row(split=["train"]), row(setting={}), row(task=[1]), [row()], 5, None]
    file = tmp_path / "rows.json"
    deep = json.dumps(row(input=0)).replace('"input": 0', f'"input": {"[" * 5000 + "]" * 5000}')
    file.write_text("\n".join([*map(json.dumps, [*odd, row()]), deep]))
    manifest = import_published(file, tmp_path / "data")
    assert manifest["rejected"]["rows.json"] == {
        "nested too deeply": 1,
        "not a JSON object": 3,
        "unknown setting": 1,
        "unknown split": 1,
        "unknown task": 1,
    }
    assert manifest["published_rows"] == {"IND_Diverse_Instruction": 1}


def test_labels_of_rows_that_list_no_products_are_refused(tmp_path: Path) -> None:
    rows = [row(task="QPR", split="test", input='{"query": "mug"}')]
    with pytest.raises(EcellmError, match="A QPR test row has no query and list of products to label"):
        imported(rows, tmp_path / "data", [["E", "S"]])
    with pytest.raises(EcellmError, match="E, S, C or I"):
        imported(rows, tmp_path / "list", [[["E"]]])  # type: ignore[list-item]


def test_json_lines_are_read_too(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row(input=str(number))) for number in range(3)) + "\n")
    import_published(file, tmp_path / "data")
    assert [example.input for example in read_dataset(tmp_path / "data").examples("train")] == ["0", "1", "2"]


def test_an_exported_dataset_has_the_published_rows_of_each_setting(tiny_data: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    export(tiny_data, file)
    rows = json.loads(file.read_text())
    counts = Counter((each["setting"], each["split"]) for each in rows)
    held = {(split, domain): len(tiny_data.examples(split, domain)) for split in SPLITS for domain in ("IND", "OOD")}  # type: ignore[arg-type]
    theirs = {"train": "train", "validation": "val", "test": "test"}
    for setting in SETTINGS:
        for split in SPLITS:
            tested_only = "Unseen" in setting or "1-shot" in setting
            wanted = 0 if tested_only and split != "test" else held[split, setting[:3]]  # type: ignore[index]
            assert counts[setting, theirs[split]] == wanted, (setting, split)
    shots = [each for each in rows if each["setting"] == f"IND_{ONE_SHOT}"]
    assert shots and all({"input", "output"} <= json.loads(each["few_shot_example"]).keys() for each in shots)


def test_export_then_import_gives_the_same_samples_and_views(tiny_data: Dataset, tmp_path: Path) -> None:
    export(tiny_data, tmp_path / "rows.json")
    import_published(tmp_path / "rows.json", tmp_path / "data")
    back = read_dataset(tmp_path / "data")
    for split in SPLITS:
        for domain in ("IND", "OOD"):
            kept = [
                (example.id, example.task, example.input, example.options, example.output)
                for example in tiny_data.examples(split, domain)  # type: ignore[arg-type]
            ]
            found = [
                (example.id, example.task, example.input, example.options, example.output)
                for example in back.examples(split, domain)  # type: ignore[arg-type]
            ]
            assert sorted(found) == sorted(kept)
    for setting in tiny_data.settings():
        texts = {asked.example.id: asked.instruction for asked in tiny_data.view(setting)}
        assert {asked.example.id: asked.instruction for asked in back.view(setting)} == texts


ROWS = st.lists(
    st.builds(
        row,
        instruction=st.sampled_from(["one", "two", None]),
        input=st.sampled_from(["a", "b", "", "ü \n"]),
        options=st.sampled_from([None, "", '["A: x"]']),
        output=st.sampled_from(["yes", "no"]),
        few_shot_example=st.sampled_from([None, "", "shot"]),
        task=st.sampled_from(["Product_Matching", "Product_Relation_Predicition"]),
        split=st.sampled_from(["train", "val", "test"]),
        setting=st.sampled_from(SETTINGS),
    ),
    min_size=1,
    max_size=25,
)


@given(ROWS)
@settings(max_examples=60)
def test_export_of_an_import_gives_the_same_rows_back(rows: list[Row]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        assert list(published_rows(imported(rows, Path(folder)))) == rows


AUTHORS = {
    "PRP": "Product_Relation_Predicition",
    "PSI": "Product_Substitue_Identification",
    "QPR": "Query_Product_Ranking",
}


RELATIONS = '["A: bought with it", "B: viewed with it", "C: like it"]'
#: Labels of the QPR rows of `rows_to_test`.
LABELS = [["E", "S"], ["C", "E"], ["I", "S"]]


def rows_to_test(named: Callable[[str], str]) -> list[Row]:
    """Return three test rows of PM and of each task that the authors spell otherwise; `named` gives a task's name."""
    texts = {
        "PM": ('{"product 1": {}, "product 2": {}}', None, ("no", "yes", "no")),
        "PRP": ('{"product 1:": "mug", "product 2:": "pot"}', RELATIONS, ("A", "B", "A")),
        "PSI": ('{"query": "mug", "product": "pot"}', None, ("yes", "yes", "no")),
        "QPR": ('{"query": "mug", "product list": ["A: mug", "B: pot"]}', None, ("A,B", "B,A", "B,A")),
    }
    return [
        row(task=named(name), input=text.replace("mug", f"mug {n}"), options=options, output=output, split="test")
        for name, (text, options, outputs) in texts.items()
        for n, output in enumerate(outputs)
    ]


@pytest.mark.parametrize("is_imported", [False, True])
def test_authors_spelling_names_the_tasks_as_their_evaluation_does(
    is_imported: bool, tmp_path: Path, run: Run
) -> None:
    data = imported(rows_to_test(lambda name: name.lower() if is_imported else TASKS[name].title), tmp_path)
    if not is_imported:  # as a built dataset has none
        (data.path / PUBLISHED).unlink()
    for name, options in (("kept", ()), ("authors", ("--spelling", "authors"))):
        assert run("export", data.path, "--out", tmp_path / f"{name}.json", *options)[0] == 0
    kept, authors = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("kept", "authors"))
    own = {name: name.lower() if is_imported else TASKS[name].title for name in ("PM", *AUTHORS)}
    theirs = {"PM": "Product_Matching", **AUTHORS}
    assert {each["task"] for each in kept} == set(own.values())
    named = {own[name]: theirs[name] for name in own}
    assert [each["task"] for each in authors] == [named[each["task"]] for each in kept]
    assert [{**each, "task": None} for each in authors] == [{**each, "task": None} for each in kept]


def test_a_file_in_authors_spelling_gives_the_same_samples_and_figures(tmp_path: Path) -> None:
    first = imported(rows_to_test(lambda name: TASKS[name].title), tmp_path / "1", LABELS)
    export(first, tmp_path / "authors.json", authors_names=True)
    second = imported(json.loads((tmp_path / "authors.json").read_text()), tmp_path / "2", LABELS)
    assert second.examples("test") == first.examples("test")
    setting = "IND_Diverse_Instruction"
    with (tmp_path / "said.jsonl").open("w") as file:
        for place, example in enumerate(first.examples("test")):
            text = "it is hard to tell" if place % 3 == 0 else example.output
            said = {"id": example.id, "task": example.task, "setting": setting, "text": text}
            file.write(json.dumps(said) + "\n")
    scores = [evaluate(tmp_path / "said.jsonl", data)["scores"] for data in (first, second)]
    assert scores[0] == scores[1]
    main = {row["task"]: row for row in scores[0] if row["main"] and row["scoring"] == "published"}
    assert main.keys() == {"PM", *AUTHORS}
    assert all(row["value"] > 0 and row["unparsed"] == 1 for row in main.values())


def test_spelling_is_refused_for_lm_evaluation_harness(tiny_data: Dataset, tmp_path: Path, run: Run) -> None:
    code, _, error = run(
        "export", tiny_data.path, "--out", tmp_path / "tasks", "--format", "lm-eval", "--spelling", "authors"
    )
    assert code == 1
    assert "--spelling belongs to the published rows" in error
    assert not (tmp_path / "tasks").exists()


def test_the_verbs_go_both_ways_and_refuse_to_overwrite(tiny_data: Dataset, tmp_path: Path, run: Run) -> None:
    first, second, data = tmp_path / "1.json", tmp_path / "2.json", tmp_path / "data"
    assert run("export", tiny_data.path, "--out", first)[0] == 0
    code, said, _ = run("import", first, "--out", data)
    assert (code, "rows imported as" in said) == (0, True)
    assert run("export", data, "--out", second)[0] == 0
    assert second.read_bytes() == first.read_bytes()
    for again in (("export", data, "--out", second), ("import", first, "--out", data)):
        code, _, error = run(*again)
        assert code == 1
        assert "exists already" in error
