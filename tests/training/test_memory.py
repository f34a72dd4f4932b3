"""The memory of a process while it tunes: what is freed is kept, and afterwards given back."""

import os
import platform
import subprocess
import sys

import pytest

SIZES = """
import os
import torch
from ecellm.training.memory import freed_memory_kept

def grown(started):
    torch.ones(25_000_000)  # 100 MB, freed at once
    return resident() - started

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1_000_000

started = resident()
with freed_memory_kept():
    print(grown(started))
torch.ones(1)
print(grown(resident()))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these choices")
def test_freed_memory_is_kept_inside_and_given_back_outside() -> None:
    without_gpu = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    ran = subprocess.run([sys.executable, "-c", SIZES], capture_output=True, text=True, check=True, env=without_gpu)
    inside, outside = map(int, ran.stdout.split())
    assert inside > 90
    assert outside < 10
