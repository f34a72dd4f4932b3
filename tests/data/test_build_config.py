"""The build config: what it means where keys are left out, and one sentence for each mistake."""

from pathlib import Path

import pytest

from ecellm.data.config import read_config
from ecellm.errors import EcellmError
from ecellm.tasks import TASKS

EXAMPLES = Path(__file__).parents[2] / "examples"


def read(folder: Path, text: str) -> None:
    path = folder / "config.toml"
    path.write_text(text)
    read_config(path)


@pytest.mark.parametrize("name", ["real-sample.toml", "published.toml"])
def test_the_examples_plan_all_ten_tasks_as_the_paper_does(name: str) -> None:
    config = read_config(EXAMPLES / name)
    assert set(config.tasks) == set(TASKS)
    assert all(value for key, value in config.sources if key != "amazon_reviews_2014")
    quotas = {task.name: dict(config.plan(task, 42).quotas) for task in TASKS.values()}
    assert quotas["PM"] == {("train", "IND"): 2022, ("validation", "IND"): 253, ("test", "IND"): 253}
    full = {("train", "IND"): 10_000, ("validation", "IND"): 1_000, ("test", "IND"): 1_000}
    assert quotas["MPC"] == full
    assert quotas["SA"] == {**full, ("test", "OOD"): 1_000}
    assert sum(sum(quota.values()) for quota in quotas.values()) == 116_528


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tasks.PN]", "unknown task PN; choose from AVE, PRP, PM"),
        ("sed = 1", "unknown key 'sed'"),
        ("[tasks.PM]\ntrian = 1", r"unknown key 'tasks\.PM\.trian'"),
        ("[sources]\namazon = 'x'", r"unknown key 'sources\.amazon'"),
        ("[tasks.PM]\ntrain = -1", r"tasks\.PM\.train: input should be greater than or equal to 0"),
        ("[tasks.PM]\ntrain = 'many'", r"tasks\.PM\.train: input should be a valid integer"),
        ("[tasks.SA]\nin_domain = ['a', 'b']\nout_of_domain = ['b']", "b cannot be both in_domain and out_of_domain"),
        ("[tasks.PM]\nnegatives = 'popular'", r"tasks\.PM\.negatives cannot be 'popular': choose from near, or"),
        ("[tasks.SA]\nsplit_by_user = true", r"tasks\.SA\.split_by_user: only SR has shoppers"),
        ("[tasks.SA]\nnegatives = 'near'", r"tasks\.SA\.negatives cannot be 'near': leave it out"),
        (
            "[tasks.SA]\nood_by = 'attribute'",
            r"ood_by cannot be 'attribute': choose from category",
        ),
        (
            "[tasks.SA]\nood_by = 'time'\nout_of_domain = ['May']",
            r"tasks\.SA\.out_of_domain: give the one day",
        ),
        ("[tasks.PRP]\nood_by = 'brand'", r"tasks\.PRP\.out_of_domain: name the brands"),
        ("[tasks.QPR]\nlabels = 'balanced'", r"tasks\.QPR\.labels: QPR has no classes"),
        (
            "[tasks.PSI]\nlabels = 'fair'",
            r"tasks\.PSI\.labels: input should be 'natural', 'stratified' or 'balanced'",
        ),
        ("[tasks.MPC]\nlanguage = 'english'", r"tasks\.MPC\.language cannot be 'english': choose from en, de"),
        ("[tasks.MPC]\nmax_words = 0", r"tasks\.MPC\.max_words: input should be greater than 0"),
        ("seed = ", "is not valid TOML"),
        (f"seed = {'9' * 5000}", "is not valid TOML"),
        (f"seed = {'[' * 5000}{']' * 5000}", "is not valid TOML"),
        ("tasks = 3", "tasks: input should be a valid dictionary"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(EcellmError, match=said) as raised:
        read(tmp_path, text)
    assert "\n" not in str(raised.value)
    assert "config.toml" in str(raised.value)


def test_a_byte_order_mark_is_no_part_of_the_config_and_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 7\n")
    assert read_config(path).seed == 7
    path.write_bytes("seed = 7\n".encode("utf-16"))
    with pytest.raises(EcellmError, match=r"config\.toml is not valid TOML"):
        read_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(EcellmError, match=r"There is no file .*nothing\.toml"):
        read_config(tmp_path / "nothing.toml")
