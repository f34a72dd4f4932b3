"""Memory: the peak of a run, the size of its device, and the reuse of freed memory on a CPU."""

import ctypes
import os
import platform
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

GIB = 1 << 30
#: What the C library of Linux (glibc) calls these choices (`man mallopt`).
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
#: Freed memory stays with the process, and none is mapped on its own.
KEPT = {TRIM_THRESHOLD: 2**31 - 1, MMAP_MAX: 0}
#: What the library itself comes to where large tensors are freed: it moves its thresholds up to these.
USUAL = {MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20, MMAP_MAX: 65_536}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep what large tensors free for the next ones, as torch does on a GPU.

    The C library gives each back to the system and requests it again, page by page: 3 to 9 % of a small model's
    CPU step. Does nothing on an accelerator, or where the library is not glibc.
    """
    library = platform.libc_ver()[0]
    if torch.cuda.is_available() or library != "glibc":
        yield
        return
    choose = ctypes.CDLL(None).mallopt
    for choice, value in KEPT.items():
        choose(choice, value)
    try:
        yield
    finally:
        for choice, value in USUAL.items():
            choose(choice, value)


def peak_memory() -> int:
    """Return the bytes at the peak so far: of the accelerator where there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def device_name() -> str:
    """Return the accelerator's name, or how many cores of which architecture there are."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} cores ({platform.machine()})"


def device_memory() -> tuple[int, str]:
    """Return the bytes that the device has, and its name for messages."""
    if torch.cuda.is_available():
        device = torch.cuda.current_device()
        return torch.cuda.get_device_properties(device).total_memory, device_name()
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "this machine"
