"""Loading models: what would be read wrongly is refused."""

from pathlib import Path

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM

from ecellm.errors import EcellmError
from ecellm.models.transformers.pretrained import load_pretrained


def test_a_model_that_takes_no_positions_is_refused(tmp_path: Path) -> None:
    BloomForCausalLM(BloomConfig(vocab_size=40, hidden_size=16, n_layer=1, n_head=2)).save_pretrained(tmp_path)
    with pytest.raises(EcellmError, match="is a bloom model, which takes no position ids"):
        load_pretrained(str(tmp_path), None, torch.float32)
