"""Inference with a causal model in vLLM's offline engine: many questions, large models.

The engine forms its own batches and caches shared prefixes. Multiple-choice answers are decoded under a constraint
(one of the candidates; AVE: the triples' JSON schema) and their probability is the first token's. An adapter is not
merged into its base.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from ecellm.errors import ServerError
from ecellm.models.base import Decoding, Family, Reply, Request
from ecellm.models.calibration.applying import candidate_reply
from ecellm.models.decoding.candidates import candidates_of
from ecellm.models.folder import read_info
from ecellm.models.model_files import check_weights, read_tokenizer
from ecellm.models.remote.common import MOST_LIKELY, first_letters_differ, longest, seed_of, shares
from ecellm.models.transformers.base_models import ADAPTER, adapter_base, base_location, check_base
from ecellm.prompts import Prompt, end_token, render_all
from ecellm.tasks import TASKS
from ecellm.types import Example, Question

if TYPE_CHECKING:
    from vllm import CompletionOutput, SamplingParams

INSTALL = "The prefix vllm: needs vLLM and a GPU: pip install 'ecellm[vllm]'."
#: Requests passed to the engine at once: as many as a killed run may have to repeat.
AT_ONCE = 1024
#: The share of a candidate that is not among the likeliest tokens.
LEAST = 1e-9
#: The ranks of adapters that the engine makes room for.
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


class VLLMGenerator:
    """A causal model, whole or an adapter, in vLLM's offline engine."""

    def __init__(self, folder: Path, family: Family, decoding: Decoding | None = None):
        """Start the engine; raises ServerError where vLLM is not installed, and for families that it does not run."""
        if not family.runs_in_vllm:
            raise ServerError(f"vLLM runs causal models, not the family {family.name!r}: use {folder} without vllm:.")
        try:
            import vllm
            from vllm.lora.request import LoRARequest
            from vllm.sampling_params import StructuredOutputsParams
        except ImportError as error:
            raise ServerError(INSTALL) from error
        self._sampling, self._constraint = vllm.SamplingParams, StructuredOutputsParams
        info = read_info(folder)
        assert info.template is not None
        self.decoding = decoding or Decoding()
        self.budget = info.recipe.max_tokens
        self.template = info.template
        self.offsets = info.offsets
        self.temperatures = info.temperatures
        self.tokenizer = read_tokenizer(folder)
        self.end = end_token(self.tokenizer)
        check_weights(folder)
        base, revision, more = str(folder), None, {}
        self.adapter: LoRARequest | None = None
        if (folder / ADAPTER).is_file():
            check_base(folder)
            base, revision = adapter_base(folder)
            base = base_location(base)
            rank = int(json.loads((folder / ADAPTER).read_text(encoding="utf-8"))["r"])
            more = {"enable_lora": True, "max_lora_rank": next((room for room in RANKS if room >= rank), rank)}
            self.adapter = LoRARequest("adapter", 1, str(folder))
        self.engine = vllm.LLM(
            model=base,
            revision=revision,
            tokenizer=str(folder),
            enable_prefix_caching=True,
            max_logprobs=MOST_LIKELY,
            generation_config="vllm",  # the base's own sampling settings give way
            seed=self.decoding.seed,
            **more,
        )

    def prompts(self, questions: Sequence[Question]) -> list[Prompt]:
        """Return the prompts, within the model's token budget."""
        return render_all(questions, self.template, self.tokenizer, self.budget)

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer a batch, in order."""
        return [reply for _, reply in self.stream(requests)]

    def stream(self, requests: Sequence[Request], halt: Event | None = None) -> Iterator[tuple[int, Reply]]:
        """Answer all requests, many at once, and yield the index and answer of each."""
        for first in range(0, len(requests), AT_ONCE):
            if halt is not None and halt.is_set():
                return
            some = requests[first : first + AT_ONCE]
            outputs = self.engine.generate(
                [{"prompt_token_ids": request.prompt.ids} for request in some],
                [self._params(request) for request in some],
                use_tqdm=False,
                lora_request=self.adapter,
            )
            for place, (request, output) in enumerate(zip(some, outputs, strict=True), start=first):
                yield place, self._reply(request.question.example, output.outputs[0])

    def _params(self, request: Request) -> "SamplingParams":
        """Return the sampling parameters of one request."""
        example, decoding = request.question.example, self.decoding
        answer, candidates = TASKS[example.task].answer, candidates_of(example)
        temperature, more = decoding.temperature, {}
        if not decoding.free and candidates is not None:
            temperature = 0.0
            more["structured_outputs"] = self._constraint(choice=list(candidates))
            if first_letters_differ(candidates):
                more["logprobs"] = MOST_LIKELY
        elif not decoding.free and answer.is_structured:
            more["structured_outputs"] = self._constraint(json=answer.schema(example))
        return self._sampling(
            temperature=temperature,
            top_p=decoding.top_p if temperature else 1.0,
            seed=seed_of(decoding.seed, request) if temperature else None,
            max_tokens=longest(example, decoding),
            stop_token_ids=[self.end],
            **more,
        )

    def _reply(self, example: Example, completion: "CompletionOutput") -> Reply:
        """Return the answer in an engine's completion."""
        text = self.template.answer(completion.text)
        candidates = candidates_of(example)
        if candidates is None or not completion.logprobs:
            return Reply(text)
        likely = {one.decoded_token: math.exp(one.logprob) for one in completion.logprobs[0].values()}
        found = shares(candidates, likely)
        if found is None:
            return Reply(text)
        logs = [math.log(max(share, LEAST)) for share in found]
        return candidate_reply(example, logs, self.offsets, self.temperatures)
