"""The TF-IDF baseline: the model of each task learns what it can, alike every time, and says what it lacks."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit
from sklearn.feature_extraction.text import TfidfVectorizer

from ecellm.data.dataset import Dataset, read_dataset, write_split
from ecellm.errors import EcellmError
from ecellm.evaluation.evaluate import evaluate
from ecellm.io.hashing import keyed_choice, keyed_shuffle
from ecellm.models.baselines.fit import fit_baseline
from ecellm.models.lexical.linear_fitting import fit_classifier, fit_pair_features, fit_recommender, fit_terms
from ecellm.models.lexical.logistic_regression import Weights
from ecellm.models.lexical.sparse_rows import SparseRows
from ecellm.models.lexical.text_pairs import text_pair, text_pairs
from ecellm.models.lexical.value_dictionary import fit_dictionary
from ecellm.tasks import TASKS
from ecellm.tasks.metrics import class_metric
from ecellm.tasks.text_pairs import TextPair
from ecellm.types import SPLITS, Example, Split
from fitted import answered

COLORS = ["red", "blue", "green", "black", "white", "pink"]
THINGS = ["mug", "lamp", "pot", "scarf", "box", "chair", "clock", "brush"]
STARS = '["A: very positive", "B: positive", "C: neutral", "D: negative", "E: very negative"]'
RELATIONS = '["A: bought", "B: seen", "C: similar"]'
JUDGED = '["A: exact", "B: substitute", "C: complement", "D: irrelevant"]'
WORDS = {"A": "love", "B": "nice", "C": "okay", "D": "weak", "E": "broken"}
ROWS = {"train": 90, "validation": 45, "test": 30}


def pick(items: list[str], *key: object) -> str:
    return items[keyed_choice(len(items), 5, *key)]


def thing(*key: object) -> str:
    return f"{pick(COLORS, 'color', *key)} {pick(THINGS, 'thing', *key)}"


def made(task: str, split: Split, number: int) -> Example:
    """A row whose answer can be read off its words."""
    key = (task, split, number)
    title, other = thing(*key), thing(*key, "other")
    labels, options = None, None
    if task == "PM":
        output = pick(["yes", "no"], *key)
        shown = title if output == "yes" else other
        record = {"description": float("nan"), "manufacturer": "nan", "price": "9"}
        text = json.dumps({"product 1": {"title": title} | record, "product 2": {"title": f"the {shown}"} | record})
    elif task == "SA":
        letter, options = pick(list("ABCDE"), *key), STARS
        output = json.loads(STARS)["ABCDE".index(letter)]
        text = f"My {title} is {WORDS[letter]}, from the {other} shop"
    elif task == "PRP":
        output, options = pick(list("ABC"), *key), RELATIONS
        second = {"A": f"lid for {title}", "B": f"premium {other}", "C": f"{title} again"}[output]
        text = json.dumps({"Product 1:": title, "Product 2:": second})
    elif task in ("MPC", "PSI"):
        label, options = pick(list("ABCD"), *key), JUDGED if task == "MPC" else None
        shown = {"A": title, "B": f"{title.split()[1]} tin", "C": f"holder for {title}", "D": "cd of songs"}[label]
        text = json.dumps({"query": title, "product title" if task == "MPC" else "product": shown})
        output = json.loads(JUDGED)["ABCD".index(label)] if task == "MPC" else ("yes" if label == "B" else "no")
    elif task == "QPR":
        shown = {"E": title, "S": f"{title.split()[1]} tin", "I": f"poster of {title}"}
        order = sorted(shown, key=lambda label: keyed_choice(99, 5, *key, label))
        text = json.dumps(
            {"query": title, "product list": [f"{'ABC'[k]}: {shown[label]}" for k, label in enumerate(order)]}
        )
        labels, output = tuple(order), ",".join("ABC"[order.index(label)] for label in "ESI")
    elif task == "SR":
        bought = keyed_choice(6, 5, *key)
        items = [f"{color} {pick(THINGS, *key, color)}" for color in COLORS]
        text = repr([f"1st: {COLORS[bought]} pan", f"2nd: {COLORS[bought]}'s cup"])
        options = repr([f"{'ABCDEF'[k]}: {item}" for k, item in enumerate(items)])
        output = "ABCDEF"[bought]
    elif task == "AVE":
        color, size = title.split()[0], f"{keyed_choice(90, 5, *key) + 10} oz"
        output = json.dumps(
            [
                {"attribute": "color", "value": color, "source": "product title"},
                {"attribute": "volume", "value": size, "source": "product title"},
                {"attribute": "brand", "value": "None", "source": "None"},
            ]
        )
        text = json.dumps({"product title": f"{title} {size}", "target attributes": "Color and Volume and Brand"})
    else:
        snippets = [f"The {other} came late", f"The {title} is safe", "Five stars"]
        answerable = task == "AG" or pick(["yes", "no"], *key) == "yes"
        text = json.dumps(
            {"question": f"Is the {title} safe?", "document": snippets if answerable else snippets[::2]}
        )
        output = snippets[1] if task == "AG" else ("yes" if answerable else "no")
    return Example(f"{task}-{split}-{number}", task, "IND", split, text, options, output, labels=labels)


def save(folder: Path, examples: list[Example]) -> Dataset:
    folder.mkdir()
    for split in SPLITS:
        write_split([example for example in examples if example.split == split], folder / f"{split}.parquet")
    (folder / "manifest.json").write_text("{}")
    return read_dataset(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    rows = [made(task, split, number) for task in TASKS for split, count in ROWS.items() for number in range(count)]
    yield save(tmp_path_factory.mktemp("tfidf") / "data", rows)


@pytest.fixture(scope="module")
def lines(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    return answered("tfidf", data, tmp_path_factory.mktemp("all"), settings=[SINGLE])


SINGLE = "IND_Single_Instruction"


def test_every_task_beats_its_floor(data: Dataset, lines: list[dict[str, object]], tmp_path: Path) -> None:
    assert len(lines) == 10 * ROWS["test"] and {line["task"] for line in lines} == set(TASKS)
    file = tmp_path / "p.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    scores = evaluate(file, data)["scores"]
    main = {row["task"]: row for row in scores if row["main"] and row["scoring"] == "strict"}
    for task, row in main.items():
        assert row["unparsed"] == 0 == row["missing"]
        # AG's best snippet is the best trivial baseline itself.
        assert row["value"] > row["floor"] + 0.05 or task == "AG", (task, row)
    assert main["AG"]["value"] >= main["AG"]["floor"] - 1e-6 and len(main) == 10


def test_a_second_fit_says_the_same(data: Dataset, lines: list[dict[str, object]], tmp_path: Path) -> None:
    tasks = ["AVE", "PRP", "SR", "QPR"]
    again = answered("tfidf", data, tmp_path, tasks, [SINGLE])
    assert again == [line for line in lines if line["task"] in tasks]


def test_a_whole_option_is_said_with_the_probabilities_of_all(lines: list[dict[str, object]]) -> None:
    stars = next(line for line in lines if line["task"] == "SA")
    assert stars["text"] in json.loads(STARS) and stars["answer"] == str(stars["text"])[0]
    scores = stars["scores"]
    assert isinstance(scores, dict) and list(scores) == json.loads(STARS)
    assert scores[stars["text"]] == stars["probability"] and sum(scores.values()) == pytest.approx(1.0)


def test_without_training_rows_nothing_is_written(tmp_path: Path) -> None:
    bare = save(tmp_path / "bare", [made("PM", "test", 1)])
    with pytest.raises(EcellmError, match="no training rows of PM"):
        fit_baseline("tfidf", bare, tmp_path / "model", ["PM"])
    with pytest.raises(EcellmError, match="no training rows that the baseline 'tfidf'"):
        fit_baseline("tfidf", bare, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_class_that_training_lacks_is_never_chosen() -> None:
    pairs = [TextPair(word) for word in ("good good", "fine good", "bad bad", "bad poor")]
    labels = np.array([0, 0, 2, 2])
    model = fit_classifier(pairs, labels, [], np.array([], dtype=np.int64), 3, class_metric("macro_f1", 3))
    logs = model.log_probabilities([TextPair("good"), TextPair("bad"), TextPair(""), TextPair("never seen")])
    assert logs.shape == (4, 3) and (logs[:, 1] < logs[:, [0, 2]].min() - 20).all()
    assert logs.argmax(1)[:2].tolist() == [0, 2]


def test_one_class_alone_is_always_chosen() -> None:
    pairs = [TextPair("a mug", "a pot", ("a pot",))] * 5
    model = fit_classifier(
        pairs, np.ones(5, dtype=np.int64), [], np.array([], dtype=np.int64), 2, class_metric("f1", 2)
    )
    assert model.log_probabilities(pairs).argmax(1).tolist() == [1] * 5


def test_a_strength_is_chosen_from_forty_rows_a_class() -> None:
    """Half of the words say nothing: less strength is better on other rows."""
    words = [f"w{number}" for number in range(40)]
    train = [TextPair(" ".join(keyed_shuffle(words, 1, "train", number)[:6])) for number in range(60)]
    labels = np.array([number % 2 if keyed_choice(3, "noise", number) else 0 for number in range(60)])
    held = [TextPair(" ".join(keyed_shuffle(words, 1, "held", number)[:6])) for number in range(80)]
    held_labels = np.array([keyed_choice(2, "held", number) for number in range(80)])
    few, enough = (
        fit_classifier(train, labels, held[:rows], held_labels[:rows], 2, class_metric("accuracy", 2)).model
        for rows in (79, 80)
    )
    assert np.abs(few.coefficients).sum() > 1.5 * np.abs(enough.coefficients).sum()


def test_features_of_empty_and_odd_texts() -> None:
    pairs = [TextPair("", ""), TextPair("茶 mug", "\ud800 mug", ("", "mug")), TextPair("mug " * 10_000, "x")]
    rows = fit_pair_features(pairs).transform(pairs)
    assert rows.shape[0] == 3 and np.isfinite(rows.values).all()
    assert fit_terms(["", "!"]).transform(["mug"]).shape == (1, 0)


#: Of one to three words and of none, with an accent, white space of many kinds, and repeated words.
TEXTS = [
    "Blue  Steel mug",
    "mug mug MUG \t lamp's",
    "",
    "a",
    "caf\u00e9\u00a0mug x1-2",
    "steel lamp, 7 in",
    "\u8336 mug",
]


@pytest.mark.parametrize("form", [("word", 1, 1), ("word", 2, 1), ("char_wb", 5, 2), ("char_wb", 4, 3)])
def test_terms_are_counted_as_scikit_learn_does(form: tuple[str, int, int]) -> None:
    """Equal to the last bit: what is fitted by one is read by the other."""
    analyzer, longest, shortest = form
    theirs = TfidfVectorizer(
        analyzer=analyzer,
        token_pattern=r"\w+" if analyzer == "word" else None,
        ngram_range=(shortest, longest),
        sublinear_tf=True,
    ).fit(TEXTS)
    unknown = ["red mug", "!", *TEXTS]
    ours, expected = fit_terms(TEXTS, *form).transform(unknown), theirs.transform(unknown)
    assert ours.shape == expected.shape and np.array_equal(dense(ours), expected.toarray())
    again = [2, 0, 2, 3]
    assert np.array_equal(dense(ours.take(again)), expected[again].toarray())
    assert np.array_equal(ours.products_with_rows(ours), (expected @ expected.T).toarray())
    assert np.array_equal(
        ours.row_products(ours.take(range(len(unknown))[::-1])),
        np.asarray(expected.multiply(expected[::-1]).sum(axis=1)).ravel(),
    )


def test_probabilities_are_those_of_scipy() -> None:
    drawn = np.random.default_rng(0)
    rows = drawn.normal(size=(40, 30)) * (drawn.random((40, 30)) < 0.3)
    weights = Weights(np.arange(3), drawn.normal(size=(3, 30)) * 20, drawn.normal(size=3))
    each = expit(sp.csr_matrix(rows) @ weights.coefficients.T + weights.intercepts)
    found = weights.probabilities(
        SparseRows.side_by_side([SparseRows.of_dense(rows[:, :9]), SparseRows.of_dense(rows[:, 9:])])
    )
    assert np.array_equal(found, each / each.sum(axis=1, keepdims=True))


def dense(rows: SparseRows) -> np.ndarray:
    found = np.zeros(rows.shape)
    found[rows.owners, rows.columns] = rows.values
    return found


def test_sides_of_a_list_lose_their_letters() -> None:
    example = made("QPR", "train", 1)
    assert [pair.right[:2] for pair in text_pairs(example)] != ["A:", "B:", "C:"]
    assert text_pair(made("AG", "train", 1)).parts[2] == "Five stars"


def test_the_recommender_follows_the_history() -> None:
    model = fit_recommender([made("SR", "train", number) for number in range(60)])
    example = made("SR", "test", 3)
    logs = model.log_probabilities(example)
    assert "ABCDEF"[int(logs.argmax())] == example.output
    assert np.exp(logs).sum() == pytest.approx(1.0)


def title(text: str, targets: str, *triples: tuple[str, str]) -> Example:
    read = json.dumps({"product title": text, "product feature": f"{text}!", "target attributes": targets})
    labels = [
        {"attribute": name, "value": value, "source": "None" if value == "None" else "product title"}
        for name, value in triples
    ]
    return Example(text + targets, "AVE", "IND", "train", read, None, json.dumps(labels))


def test_the_dictionary_masks_digits_and_prefers_the_longer_of_equals() -> None:
    train = [
        title("Mug 12.5 oz dark red", "Volume and Color", ("volume", "12.5 oz"), ("color", "dark red")),
        title("Pot 30.1 oz dark red", "Volume and Color", ("volume", "30.1 oz"), ("color", "dark red")),
        title("Lamp red", "Color", ("color", "red")),
    ]
    dictionary = fit_dictionary(train, [])
    answer = dictionary.answer(title("DARK RED jar 99.9 oz", "Color and Volume and Brand"))
    assert answer == [
        {"attribute": "color", "value": "dark red", "source": "product title"},
        {"attribute": "volume", "value": "99.9 oz", "source": "product title"},
        {"attribute": "brand", "value": "None", "source": "None"},
    ]


def test_the_dictionary_learns_what_not_to_trust() -> None:
    wrong = [title(f"Light mug {word}", "Weight", ("weight", "None")) for word in COLORS]
    train = [title("Light mug", "Weight", ("weight", "light")), *wrong]
    answer = fit_dictionary(train, []).answer(title("Light pot", "Weight"))
    assert answer == [{"attribute": "weight", "value": "None", "source": "None"}]
