"""The device that models compute on: the accelerator where there is one."""


def best_device() -> str:
    """Return torch's name of the accelerator, or of the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
