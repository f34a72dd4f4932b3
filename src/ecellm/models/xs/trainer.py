"""XS on `transformers.Trainer`: token-budget batches, weighted examples, a validation loss per task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback

from ecellm.models.cpu_attention import cpu_attention
from ecellm.models.training.arguments import KEPT, SCORE, arguments, computes_in_bf16
from ecellm.models.training.batches import EpochLoader, TokenBatches
from ecellm.models.training.checkpoints import Checkpoints
from ecellm.models.training.invalid_loss import not_a_number
from ecellm.models.xs.augmentation import Augmentation
from ecellm.models.xs.examples import EncodedExample
from ecellm.models.xs.model import XSModel, make_batch
from ecellm.models.xs.validation import Outcome, is_within_noise, outcomes, task_metrics, weighed_mean

if TYPE_CHECKING:
    from ecellm.training.recipe import Recipe


class XSTrainer(Trainer):
    """`Trainer` for XSModel. Checkpoints, resuming, schedules and the best model are Trainer's own."""

    def __init__(
        self,
        model: XSModel,
        recipe: Recipe,
        train: Sequence[EncodedExample],
        validation: Sequence[EncodedExample],
        folder: Path,
        augmentation: Augmentation,
    ):
        self.network = model
        self.recipe = recipe
        self.examples = train
        self.checks = validation
        self.augmentation = augmentation
        choices = recipe.optimisation
        self.batches = _batches(train, choices.batch_tokens, choices.seed, recipe.mixing.task_rows)
        self.shares: defaultdict[str, float] = defaultdict(float)
        for example in train:
            self.shares[example.task] += example.weight * self.batches.shares[example.task]
        use_bf16 = computes_in_bf16(choices.precision)
        if use_bf16 and not torch.cuda.is_available():
            model.attention = cpu_attention
        super().__init__(
            model=model,
            args=arguments(
                recipe,
                folder,
                -(-len(self.batches) // choices.accumulate),
                bool(validation),
                use_bf16,
                KEPT,
                choices.accumulate,
            ),
            train_dataset=train,
            eval_dataset=validation or None,
        )
        self.model_accepts_loss_kwargs = False
        self.add_callback(Checkpoints(choices.checkpoint_steps))
        self.remove_callback(PrinterCallback)  # the run has a progress display of its own

    def get_train_dataloader(self) -> DataLoader[EncodedExample]:
        """Return batches under the token budget, drawn anew each epoch."""
        return EpochLoader(self.examples, batch_sampler=self.batches, collate_fn=self._collate)  # type: ignore[arg-type]

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW; the freshly drawn parts may have a learning rate of their own."""
        if self.optimizer is None:
            choices = self.recipe.optimisation
            head_rate = choices.head_learning_rate or choices.learning_rate
            groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
            for name, parameter in self.network.named_parameters():
                if parameter.requires_grad:
                    rate = choices.learning_rate if name.startswith("bert.") else head_rate
                    decay = choices.weight_decay if parameter.ndim > 1 else 0.0
                    groups[rate, decay].append(parameter)
            self.optimizer = torch.optim.AdamW(
                [
                    {"params": parameters, "lr": rate, "weight_decay": decay}
                    for (rate, decay), parameters in groups.items()
                ],
                fused=True,
            )
        return self.optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, object],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return the weighed mean loss; raises ConfigError naming the examples where it is not a number."""
        examples = inputs["examples"]
        assert isinstance(examples, list)
        losses = model(**inputs)
        bad = torch.nonzero(~torch.isfinite(losses.detach())).flatten().tolist()
        if bad:
            raise not_a_number(self.state.global_step + 1, [examples[row].id for row in bad])
        weights = torch.tensor([example.weight for example in examples], device=losses.device)
        return (losses * weights).mean()

    def evaluate(self, *ignored: object, metric_key_prefix: str = "eval", **kept: object) -> dict[str, float]:
        """Return the validation loss and the validation score, by which a checkpoint is kept: the last whose score is
        within noise of the highest.

        The loss is the mean over tasks of the mean loss of their rows, as a share of the loss of guessing; the
        score is the mean of the tasks' own metrics. Both weigh tasks as the training rows do, and each task's stands
        beside them.
        """
        found = self.outcomes(self.checks)
        losses, shares = _means(found, lambda one: one.loss), _means(found, lambda one: one.loss / one.guess)
        scores = task_metrics(found)
        metrics = {f"{metric_key_prefix}_loss": weighed_mean(shares, self.shares)}
        metrics |= {f"{metric_key_prefix}_loss_{task}": mean for task, mean in sorted(losses.items())}
        score = weighed_mean(scores, self.shares)
        metrics[SCORE.replace("eval", metric_key_prefix)] = score
        metrics |= {f"{metric_key_prefix}_score_{task}": score for task, score in sorted(scores.items())}
        self.log(metrics)
        highest = max(score, *self.validation_scores().values())
        is_kept = is_within_noise(score, highest, len(self.checks))
        metrics[KEPT.replace("eval", metric_key_prefix)] = self.state.global_step if is_kept else -1
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def validation_scores(self) -> dict[int, float]:
        """Return the validation scores so far, by step."""
        return {int(entry["step"]): entry[SCORE] for entry in self.state.log_history if SCORE in entry}

    def outcomes(self, examples: Sequence[EncodedExample]) -> list[Outcome]:
        """Return the outcomes of examples with answers, in any order."""
        self.network.eval()
        found: list[Outcome] = []
        with torch.no_grad(), self.compute_loss_context_manager():
            for rows in _batches(examples, 2 * self.recipe.optimisation.batch_tokens, 0):
                found += outcomes(self.network, make_batch([examples[row] for row in rows], 0, self.args.device))
        return found

    def _collate(self, unchanged: Sequence[EncodedExample]) -> dict[str, object]:
        examples = [self.augmentation(example, self.batches.epoch) for example in unchanged]
        batch = make_batch(examples, pad=0)
        return {
            "ids": batch.ids,
            "prompt_lengths": batch.prompt_lengths,
            "lengths": batch.lengths,
            "examples": examples,
        }


def _means(found: Sequence[Outcome], value: Callable[[Outcome], float]) -> dict[str, float]:
    by_task: dict[str, list[float]] = defaultdict(list)
    for outcome in found:
        by_task[outcome.example.task].append(value(outcome))
    return {task: sum(values) / len(values) for task, values in by_task.items()}


def _batches(
    examples: Sequence[EncodedExample], budget: int, seed: int, task_rows: int | None = None
) -> TokenBatches:
    lengths = [_tokens(example) for example in examples]
    return TokenBatches(lengths, [example.task for example in examples], budget, seed, task_rows)


def _tokens(example: EncodedExample) -> int:
    return len(example.ids) + len(example.response)
