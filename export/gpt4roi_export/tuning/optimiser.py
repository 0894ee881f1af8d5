"""AdamW with a rate for each part, warm-up and cosine; its state as named tensors. Knows no loss and no file."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gpt4roi_export.tuning.recipe import Part, Stage

_LARGEST_GRADIENT = 1.0
_PREFIX = "optimiser."
_BETAS = (0.9, 0.98)


class Optimiser:
    """Moves the parts of a stage that learn.

    Args:
        parts: Parameters of every part, by name.
        stage: Rates, warm-up, decay.
        n_steps: Length of the stage.
    """

    def __init__(self, parts: Mapping[Part, Mapping[str, nn.Parameter]], stage: Stage, n_steps: int) -> None:
        self._stage, self._n_steps = stage, n_steps
        rates: dict[Part, float] = {
            "encoder": stage.rates.encoder,
            "region": stage.rates.region,
            "projector": stage.rates.projector,
            "lora": stage.rates.lora,
        }
        self._rates = {part: rate for part, rate in rates.items() if rate and parts[part]}
        self.parameters = {name: parameter for part in self._rates for name, parameter in parts[part].items()}
        for part, named in parts.items():
            for parameter in named.values():
                parameter.requires_grad_(part in self._rates)
                parameter.grad = None
        groups = [{"params": list(parts[part].values()), "lr": rate} for part, rate in self._rates.items()]
        self._adam = torch.optim.AdamW(groups, betas=_BETAS, weight_decay=stage.weight_decay, foreach=True)

    def step(self, step: int) -> tuple[float, float]:
        """Move once, with every part's gradient clipped, and clear them.

        Args:
            step: From 0.

        Returns:
            Norm of the gradient before clipping, and the share of the highest rates that was used; nothing moves if
            the norm is not finite.
        """
        # Part by part: the region module's gradients are far larger, and would make the other parts' vanish.
        norms = [
            float(torch.nn.utils.clip_grad_norm_(group["params"], _LARGEST_GRADIENT))
            for group in self._adam.param_groups
        ]
        norm = math.hypot(*norms)
        share = rate_share(step, self._n_steps, self._stage)
        if math.isfinite(norm):
            for group, rate in zip(self._adam.param_groups, self._rates.values(), strict=True):
                group["lr"] = rate * share
            self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        return norm, share

    def state(self) -> dict[str, Tensor]:
        """Everything it remembers, by parameter."""
        return {
            f"{_PREFIX}{name}.{key}": value
            for name, parameter in self.parameters.items()
            for key, value in self._adam.state.get(parameter, {}).items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Remember what ``state`` gave; what a parameter lacks, it has not been moved yet."""
        for name, parameter in self.parameters.items():
            prefix = f"{_PREFIX}{name}."
            found = {key: tensors[prefix + key] for key in ("step", "exp_avg", "exp_avg_sq") if prefix + key in tensors}
            if found:
                places = {key: "cpu" if key == "step" else parameter.device for key in found}
                self._adam.state[parameter] = {key: value.to(places[key], copy=True) for key, value in found.items()}


def rate_share(step: int, n_steps: int, stage: Stage) -> float:
    """Share of the highest rates in a step: a straight rise, then half a cosine down to ``final_rate``."""
    n_warm_up = round(stage.warm_up * n_steps)
    if step < n_warm_up:
        return (step + 1) / n_warm_up
    done = (step - n_warm_up) / max(1, n_steps - n_warm_up)
    return stage.final_rate + (1.0 - stage.final_rate) * 0.5 * (1.0 + math.cos(math.pi * done))
