"""How much memory a run has taken so far, and how much its device has."""

import os
import platform
import resource
import sys

import torch

GIB = 1 << 30


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
    """Return the bytes that the device has, and what to call it."""
    if torch.cuda.is_available():
        device = torch.cuda.current_device()
        return torch.cuda.get_device_properties(device).total_memory, device_name()
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "this machine"
