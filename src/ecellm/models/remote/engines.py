"""The engines that run models elsewhere; what is imported here is imported whenever any model is loaded."""

from pathlib import Path
from typing import TYPE_CHECKING

from ecellm.models.base import Decoding, Engine, Family, Generator, ServedGenerator

if TYPE_CHECKING:
    from ecellm.models.remote.client import Server


def _load(folder: Path, family: Family, decoding: Decoding) -> Generator:
    from ecellm.models.remote.vllm import VLLMGenerator

    return VLLMGenerator(folder, family, decoding)


def _connect(
    name: str, server: "Server | None", decoding: Decoding, template: str | None, calibration: Path | None
) -> ServedGenerator:
    from ecellm.models.remote.openai_compatible import OpenAIGenerator

    return OpenAIGenerator(name, server, decoding, template, calibration)


def _service(scheme: str) -> Engine:
    """Return the engine of services of ecellm's own, whose name is their address."""

    def connect(
        name: str, server: "Server | None", decoding: Decoding, template: str | None, calibration: Path | None
    ) -> ServedGenerator:
        from ecellm.models.remote.service import connect as to_service

        return to_service(f"{scheme}:", name, server, decoding, template, calibration)

    return Engine(scheme, connect=connect, of_rows=True)


VLLM = Engine("vllm", load=_load)
OPENAI = Engine("openai", connect=_connect)
HTTP, HTTPS = _service("http"), _service("https")
