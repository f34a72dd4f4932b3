"""Asking a causal model through vLLM's offline engine: many questions, large models.

The engine makes its own batches and keeps the states of prompts' common beginnings. Closed answers are written
under a constraint (one of the candidates; AVE: the triples' JSON schema) and their probability is the first token's.
An adapter stays apart from its base.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from transformers import AutoTokenizer

from ecellm.dataset.dataset import Asked
from ecellm.inference.closed import candidates_of, closed_reply
from ecellm.inference.generator import Decoding, Question, Reply
from ecellm.inference.outside import MOST_LIKELY, longest, seed_of, shares, told_apart
from ecellm.models.bases import base_location
from ecellm.models.folder import read_facts
from ecellm.models.loading import ADAPTER, adapter_base
from ecellm.prompts import Prompt, Template, end_token, render_all
from ecellm.records import Sample
from ecellm.tasks import TASKS
from ecellm.tasks.answers import Triples

INSTALL = "Asking through vLLM needs it and a GPU: pip install 'ecellm[vllm]'."
#: Questions handed to the engine at once: what a run that is killed has to ask again.
AT_ONCE = 1024
#: The share of a candidate that is not among the likeliest tokens.
LEAST = 1e-9
#: The ranks of adapters that the engine makes room for.
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


class VLLMGenerator:
    """A causal model, whole or an adapter, in vLLM's offline engine."""

    def __init__(self, folder: Path, family: str, decoding: Decoding | None = None):
        """Start the engine; raises ValueError where vLLM is not installed, and for families that it does not run."""
        if family != "causal":
            raise ValueError(f"vLLM runs causal models, not the family {family!r}: ask {folder} without vllm:.")
        try:
            import vllm
            from vllm.lora.request import LoRARequest
            from vllm.sampling_params import StructuredOutputsParams
        except ImportError as error:
            raise ValueError(INSTALL) from error
        self._sampling, self._constraint = vllm.SamplingParams, StructuredOutputsParams
        facts = read_facts(folder)
        self.decoding = decoding or Decoding()
        self.budget = int(facts["recipe"]["max_tokens"])
        self.template = Template.model_validate(facts["template"])
        self.offsets: dict[str, list[float]] = facts.get("offsets", {})
        self.temperatures: dict[str, float] = facts.get("temperatures", {})
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.end = end_token(self.tokenizer)
        base, revision, more = str(folder), None, {}
        self.adapter: Any = None
        if (folder / ADAPTER).is_file():
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

    def prompts(self, asked: Sequence[Asked]) -> list[Prompt]:
        """Return the prompts, within the model's token budget."""
        return render_all(asked, self.template, self.tokenizer, self.budget)

    def reply(self, questions: Sequence[Question]) -> list[Reply]:
        """Answer some questions, in order."""
        return [reply for _, reply in self.stream(questions)]

    def stream(self, questions: Sequence[Question], halt: Event | None = None) -> Iterator[tuple[int, Reply]]:
        """Ask all the questions, many at once, and give each one's place and answer."""
        for first in range(0, len(questions), AT_ONCE):
            if halt is not None and halt.is_set():
                return
            some = questions[first : first + AT_ONCE]
            outputs = self.engine.generate(
                [{"prompt_token_ids": question.prompt.ids} for question in some],
                [self._params(question) for question in some],
                use_tqdm=False,
                lora_request=self.adapter,
            )
            for place, (question, output) in enumerate(zip(some, outputs, strict=True), start=first):
                yield place, self._reply(question.asked.sample, output.outputs[0])

    def _params(self, question: Question) -> Any:
        """Return how one question is answered."""
        sample, decoding = question.asked.sample, self.decoding
        kind, candidates = TASKS[sample.task].answer, candidates_of(sample)
        temperature, more = decoding.temperature, {}
        if not decoding.free and candidates is not None:
            temperature = 0.0
            more["structured_outputs"] = self._constraint(choice=list(candidates))
            if told_apart(candidates):
                more["logprobs"] = MOST_LIKELY
        elif not decoding.free and isinstance(kind, Triples):
            more["structured_outputs"] = self._constraint(json=kind.schema(sample))
        return self._sampling(
            temperature=temperature,
            top_p=decoding.top_p if temperature else 1.0,
            seed=seed_of(decoding.seed, question) if temperature else None,
            max_tokens=longest(sample, decoding),
            stop_token_ids=[self.end],
            **more,
        )

    def _reply(self, sample: Sample, said: Any) -> Reply:
        """Return the answer in an engine's completion."""
        text = self.template.answer(said.text)
        candidates = candidates_of(sample)
        if candidates is None or not said.logprobs:
            return Reply(text)
        likely = {one.decoded_token: math.exp(one.logprob) for one in said.logprobs[0].values()}
        found = shares(candidates, likely)
        if found is None:
            return Reply(text)
        logs = [math.log(max(share, LEAST)) for share in found]
        return closed_reply(sample, logs, self.offsets, self.temperatures)
