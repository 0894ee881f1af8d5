"""CLIP's ViT, taken from ``transformers``, as the maps that GPT4RoI reads.

Knows neither the pyramid nor the projector behind it.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel

HIDDEN_STATES_OF_LEVELS = (14, 17, 20, 23)
"""Which hidden states of ViT-L/14 feed the pyramid, finest level first; 0 is the input of the first layer."""
HIDDEN_STATE_OF_IMAGE = -2


@dataclass(frozen=True)
class VitMaps:
    """What the ViT says of one image.

    Attributes:
        patches: The patches' features for the image embeddings, float32 ``[1, n_patches, width]``, row-major.
        levels: Inputs of the pyramid, finest level first, each ``[1, width, grid, grid]``.
    """

    patches: Float[Tensor, "1 p c"]
    levels: tuple[Float[Tensor, "1 c grid grid"], ...]


class ClipVit(nn.Module):
    """CLIP ViT whose hidden states are read, not its output.

    Args:
        config: Sizes; those of openai/clip-vit-large-patch14 for GPT4RoI.
        grid: Patches along a side.
        hidden_states_of_levels: Hidden states for the pyramid, finest level first.
    """

    def __init__(
        self, config: CLIPVisionConfig, grid: int, hidden_states_of_levels: tuple[int, ...] = HIDDEN_STATES_OF_LEVELS
    ) -> None:
        super().__init__()
        self.model = CLIPVisionModel(config)
        self.grid = grid
        self.hidden_states_of_levels = hidden_states_of_levels

    def forward(self, pixels: Float[Tensor, "1 3 h w"]) -> VitMaps:
        """Run the ViT over one preprocessed image."""
        states = self.model(pixel_values=pixels, output_hidden_states=True).hidden_states
        return VitMaps(
            patches=_patches(states[HIDDEN_STATE_OF_IMAGE]),
            levels=tuple(self._as_map(states[index]) for index in self.hidden_states_of_levels),
        )

    def _as_map(self, state: Tensor) -> Tensor:
        return _patches(state).transpose(1, 2).reshape(1, state.shape[-1], self.grid, self.grid)


def _patches(state: Tensor) -> Tensor:
    """Without the class token, which comes first."""
    return state[:, 1:]
