"""Causal and encoder-decoder models on `transformers.Trainer`: a step is a set of examples, whatever their packing.

A step takes so many examples, divides them into micro-batches that fit the memory, and adds up the losses of all
response tokens, over their number in the whole step: every response token weighs the same (or every example, as the
recipe may have it), however the examples are packed, accumulated or spread over devices. Logits are computed only
where there is a response.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback

from ecellm.errors import ModelError
from ecellm.models.masking import padded
from ecellm.models.training.arguments import arguments
from ecellm.models.training.batches import EpochLoader, SampleSteps
from ecellm.models.training.checkpoints import Checkpoints
from ecellm.models.training.invalid_loss import named, not_a_number
from ecellm.models.transformers.lora import WITHOUT_HEAD
from ecellm.models.transformers.master_weights import MasterAdamW, WeightGroup
from ecellm.models.transformers.packed_attention import PACKED, STEP, attention_for
from ecellm.models.transformers.packing import TokenisedExample, packed_row, packs, rounded
from ecellm.models.transformers.token_losses import token_losses

if TYPE_CHECKING:
    from ecellm.training.recipe import Recipe


#: Label of a place that is not learned.
IGNORED = -100


class LanguageTrainer(Trainer):
    """`Trainer` for models of transformers. Checkpoints, resuming, schedules and the best model are Trainer's own."""

    def __init__(
        self,
        model: nn.Module,
        recipe: Recipe,
        train: Sequence[TokenisedExample],
        validation: Sequence[TokenisedExample],
        folder: Path,
        use_bf16: bool,
        pad: int,
    ):
        self.recipe = recipe
        self.pad = pad
        self.by_sample = recipe.mixing.loss_by == "sample"
        self.step_of_lengths = 1
        if recipe.family == "causal":
            attention = attention_for(recipe.optimisation.attention)
            self.step_of_lengths = STEP if attention == PACKED else 1
            model.set_attn_implementation(attention)  # type: ignore[operator]
        self.examples = list(train)
        self.checks = list(validation)
        self.steps = SampleSteps(len(train), recipe.optimisation.examples, recipe.optimisation.seed)
        on_cpu = not torch.cuda.is_available()
        self.cpu_bf16 = use_bf16 and on_cpu
        self.bf16_weights = self.cpu_bf16 and recipe.optimisation.bf16_weights
        super().__init__(
            model=model,
            args=arguments(recipe, folder, len(self.steps), bool(validation), use_bf16 and not on_cpu),
            train_dataset=self.examples,
            eval_dataset=self.checks or None,
        )
        self.model_accepts_loss_kwargs = False
        self.add_callback(Checkpoints(recipe.optimisation.checkpoint_steps))
        self.remove_callback(PrinterCallback)  # the run has a progress display of its own

    def get_train_dataloader(self) -> DataLoader[TokenisedExample]:
        """Return the steps; every process sees all examples of a step and takes its share of the micro-batches."""
        return EpochLoader(self.examples, batch_sampler=self.steps, collate_fn=lambda some: {"examples": some})  # type: ignore[arg-type]

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> AbstractContextManager[object]:
        """Compute in bf16 on a CPU; on a GPU accelerate sees to it. Its way copies all scores to fp32 and their
        gradients back, which takes a CPU long."""
        autocasts = self.cpu_bf16 and not self.bf16_weights
        return torch.autocast("cpu", torch.bfloat16) if autocasts else nullcontext()

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Return AdamW, with master weights where the model's are in bf16."""
        if self.optimizer is None and self.bf16_weights:
            assert isinstance(self.model, nn.Module)
            tuned = {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}
            decays = set(self.get_decay_parameter_names(self.model))
            groups = [
                WeightGroup(
                    params=[weight for name, weight in tuned.items() if (name in decays) is decayed],
                    weight_decay=self.args.weight_decay if decayed else 0.0,
                )
                for decayed in (True, False)
            ]
            self.optimizer = MasterAdamW(groups, self.args.learning_rate)
        return super().create_optimizer(model)

    def training_step(
        self,
        model: nn.Module,
        inputs: Mapping[str, object],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Add up the gradients of a step; returns the mean loss of its response tokens, or of its examples.

        Raises ModelError naming the examples where a loss is not a number or nothing is to be learned.
        """
        model.train()
        examples = inputs["examples"]
        assert isinstance(examples, list)
        processes = self.accelerator.num_processes
        tokens = sum(len(example.response) for example in examples)
        parts = len(examples) if self.by_sample else tokens
        if not tokens:
            ids = named([example.id for example in examples])
            raise ModelError(f"Step {self.state.global_step + 1} has no response token: {ids}.")
        rows = self.micro_batches(examples)
        own = rows[self.accelerator.process_index :: processes]
        turns = -(-len(rows) // processes)
        total = torch.zeros((), device=self.args.device)
        for turn in range(turns):
            # Processes exchange weights (FSDP) and gradients: one that has no work left takes part without counting.
            works = turn < len(own)
            micro = own[turn] if works else rows[0]
            with nullcontext() if turn == turns - 1 else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    loss = self.summed(micro, *self.token_losses(model, micro)) / parts
                if not works:
                    loss = loss * 0
                if not torch.isfinite(loss.detach()):
                    raise not_a_number(self.state.global_step + 1, [example.id for example in micro])
                # Processes' gradients are averaged, and the step's sum is wanted.
                self.accelerator.backward(loss * processes)
            total += loss.detach() * processes
        return total

    def summed(self, examples: Sequence[TokenisedExample], losses: Tensor, owners: Tensor) -> Tensor:
        """Return the sum of response tokens' losses [R], or of the mean losses of their examples, `owners` [R]."""
        if not self.by_sample:
            return losses.sum()
        lengths = torch.tensor([len(example.response) for example in examples])
        return (losses / lengths[owners].to(losses.device)).sum()

    def micro_batches(self, examples: Sequence[TokenisedExample]) -> list[list[TokenisedExample]]:
        """Divide examples into rows (causal models) or padded batches of at most the recipe's tokens."""
        capacity = self.recipe.optimisation.batch_tokens
        lengths = [rounded(example.length, self.step_of_lengths) for example in examples]
        if self.recipe.family == "causal":
            places = packs(lengths, capacity if self.recipe.packing else 0)
        else:
            places = _padded_batches(lengths, capacity)
        return [[examples[place] for place in row] for row in places]

    def token_losses(self, model: nn.Module, examples: Sequence[TokenisedExample]) -> tuple[Tensor, Tensor]:
        """Return the loss of each response token, [R], and which of the examples it is of, [R]."""
        if self.recipe.family == "causal":
            row = packed_row(examples, self.step_of_lengths)
            device = self.args.device
            logits = model(
                input_ids=row.ids.to(device),
                position_ids=row.positions.to(device),
                logits_to_keep=row.places.to(device),
                cu_seq_lens_q=row.borders.to(device),
                cu_seq_lens_k=row.borders.to(device),
                max_length_q=row.longest,
                max_length_k=row.longest,
                use_cache=False,
            ).logits.squeeze(0)
            return token_losses(logits, row.targets.to(device)), row.owners
        ids, mask = self._padded([example.prompt for example in examples], self.pad)
        labels, known = self._padded([example.response for example in examples], IGNORED)
        start = torch.full_like(labels[:, :1], int(self.decoder_start()))
        fed = torch.cat([start, labels[:, :-1].clamp(min=0)], 1)
        logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=fed, use_cache=False).logits
        wanted = known.bool()
        owners = torch.arange(len(examples))[:, None].expand(known.shape)[wanted.cpu()]
        return token_losses(logits[wanted], labels[wanted]), owners

    def decoder_start(self) -> int:
        """Return the token that an encoder-decoder's response begins with."""
        start = self.accelerator.unwrap_model(self.model).config.decoder_start_token_id
        assert start is not None
        return int(start)

    def evaluate(self, *ignored: object, metric_key_prefix: str = "eval", **kept: object) -> dict[str, float]:
        """Return the mean loss of the validation rows' response tokens, or of the rows, and beside it each task's."""
        model = self.model
        assert model is not None
        model.eval()
        sums: dict[str, float] = defaultdict(float)
        counts: dict[str, float] = defaultdict(float)
        with torch.no_grad(), self.compute_loss_context_manager():
            for micro in self.micro_batches(self.checks):
                losses, owners = self.token_losses(model, micro)
                for owner, loss in zip(owners.tolist(), losses.tolist(), strict=True):
                    share = 1 / len(micro[owner].response) if self.by_sample else 1
                    sums[micro[owner].task] += loss * share
                    counts[micro[owner].task] += share
        metrics = {f"{metric_key_prefix}_loss": sum(sums.values()) / sum(counts.values())}
        metrics |= {f"{metric_key_prefix}_loss_{task}": sums[task] / counts[task] for task in sorted(sums)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """Save the weights, an adapter's without the base's head; `state_dict` is given where they are spread over
        processes."""
        if not self.args.should_save:
            return
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        model = self.accelerator.unwrap_model(self.model)
        more = {} if self.recipe.lora is None else WITHOUT_HEAD
        model.save_pretrained(folder, state_dict=state_dict, **more)

    def _padded(self, rows: Sequence[list[int]], filler: int) -> tuple[Tensor, Tensor]:
        """Return ids and mask, both [B, T], padded on the right."""
        device = self.args.device
        return padded(rows, filler, device), padded([[1] * len(row) for row in rows], 0, device)


def _padded_batches(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return which examples are padded together: of similar length, at most `capacity` tokens with the padding."""
    batches: list[list[int]] = []
    for example in sorted(range(len(lengths)), key=lambda place: (lengths[place], place)):
        if batches and (len(batches[-1]) + 1) * lengths[example] <= capacity:
            batches[-1].append(example)
        else:
            batches.append([example])
    return batches
