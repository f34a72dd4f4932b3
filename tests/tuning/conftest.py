"""A tiny BERT with MiniLM's tokenizer, and a recipe that starts from it: seconds, not minutes."""

from pathlib import Path

import pytest
import torch
from shop_rows import write_dataset

from ecellm.dataset.dataset import Dataset, read_dataset
from ecellm.models.minilm import minilm_folder
from ecellm.tuning.recipe import Recipe, read_recipe


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("base")
    config = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm_folder()).save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_recipe(tiny_base: Path) -> Recipe:
    changes = (
        f"base={tiny_base}",
        "max_tokens=200",
        "optimisation.epochs=2",
        "optimisation.batch_tokens=1024",
        "optimisation.precision=fp32",
        "validation.per_epoch=3",
        "validation.fit_thresholds=false",
    )
    return read_recipe("xs", list(changes))


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return read_dataset(write_dataset(tmp_path_factory.mktemp("data") / "dataset"))
