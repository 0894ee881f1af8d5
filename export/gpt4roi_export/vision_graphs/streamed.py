"""The vision half in torch, float32, with the weights of one part in memory at a time: the reference for full size.

Knows neither files nor ONNX.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from gpt4roi_export.modules.clip_vit import HIDDEN_STATE_OF_IMAGE
from gpt4roi_export.modules.gpt4roi import EncodeGraph, RegionsGraph, VisionSizes
from gpt4roi_export.modules.pyramid import Levels
from gpt4roi_export.parity import Stages
from gpt4roi_export.tensors import Tensors
from gpt4roi_export.vision_graphs.parameters import VIT, Parameters, last_layer_used, parameters_of
from gpt4roi_export.vision_graphs.recipe import place
from gpt4roi_runtime.arrays import Boxes, PixelValues
from gpt4roi_runtime.vision.contract import IMAGE_EMBEDDINGS, REGION_EMBEDDINGS, pyramid_name

Part = TypeVar("Part", bound=nn.Module)
Item = TypeVar("Item")

Observe = Callable[[str, Tensor, Tensor], None]
"""Told the place of a weight's use (see ``recipe.place``), what went in, and what came out, the bias left aside."""


@dataclass(frozen=True)
class Maps:
    """What the ViT says of one picture.

    Attributes:
        image_embeddings: ``[n_patches, d]``.
        levels: Inputs of the pyramid, finest level first, each ``[1, width, grid, grid]``.
    """

    image_embeddings: Tensor
    levels: Levels


def reference_stages(sizes: VisionSizes, clip: Tensors, release: Tensors, pixels: PixelValues, boxes: Boxes) -> Stages:
    """What the authors' arithmetic makes of one picture and its boxes, for ``parity.compare``.

    Args:
        sizes: Of the whole vision side.
        clip: CLIP's files.
        release: GPT4RoI's files, base and delta added up.
        pixels: Preprocessed.
        boxes: x1 y1 x2 y2 in 0..1.

    Returns:
        ``image_embeddings``, ``pyramid_0`` .., ``roi_0`` .., ``region_embeddings``.

    Raises:
        BundleError: Tensors are missing, foreign or damaged.
    """
    streamed = StreamedVision(sizes, parameters_of(sizes, clip, release))
    boxes_tensor = torch.tensor(boxes)
    with torch.inference_mode():
        (maps,) = streamed.maps([torch.tensor(pixels)])
        (pyramid,) = streamed.pyramids([maps])
        rois = streamed.align(pyramid, boxes_tensor)
        (embeddings,) = streamed.embeddings([rois], [boxes_tensor])
    return {
        IMAGE_EMBEDDINGS: maps.image_embeddings.numpy(),
        **{pyramid_name(number): level.numpy() for number, level in enumerate(pyramid)},
        **{f"roi_{number}": roi.numpy() for number, roi in enumerate(rois)},
        REGION_EMBEDDINGS: embeddings[:, None].numpy(),
    }


class StreamedVision:
    """The modules without numbers, lent those of one part while that part runs.

    Args:
        sizes: Of the modules.
        parameters: Where their numbers are.
        observe: Told of every convolution and every product with a weight.
    """

    def __init__(self, sizes: VisionSizes, parameters: Parameters, observe: Observe | None = None) -> None:
        with torch.device("meta"):
            self._encode, self._regions = EncodeGraph(sizes).eval(), RegionsGraph(sizes).eval()
        self._sizes = sizes
        self._grid = sizes.side_px // sizes.patch_px
        self._parameters = parameters
        self._observe = observe
        self._n_uses: dict[str, int] = {}

    def maps(self, pictures: Sequence[Tensor]) -> list[Maps]:
        """Run the ViT, layer after layer over all pictures, each ``[1, 3, side, side]``."""
        vit = self._encode.vit.model
        states = [self._first_states(pictures)]
        for number in range(last_layer_used(self._sizes)):
            with self._lent(vit.encoder.layers[number], f"{VIT}encoder.layers.{number}.") as layer:
                states.append([layer(state, attention_mask=None) for state in self._each(states[-1])])
        n_states = self._sizes.n_layers + 1
        with self._lent(self._encode.projector, "projector.") as projector:
            return [
                Maps(
                    image_embeddings=projector(states[n_states + HIDDEN_STATE_OF_IMAGE][number][:, 1:])[0],
                    levels=tuple(self._as_map(states[index][number]) for index in self._sizes.hidden_states_of_levels),
                )
                for number in self._each(range(len(pictures)))
            ]

    def pyramids(self, maps: Sequence[Maps]) -> Iterator[Levels]:
        """Run the pyramid, one picture after the other."""
        with self._lent(self._encode.pyramid, "pyramid.") as pyramid:
            for of_picture in self._each(maps):
                yield pyramid(of_picture.levels)

    def align(self, pyramid: Levels, boxes: Tensor) -> Levels:
        """RoIAlign has no weights."""
        return self._regions.region_head.align(pyramid, boxes)

    def embeddings(self, rois: Sequence[Levels], boxes: Sequence[Tensor]) -> list[Tensor]:
        """Run the region head, ``[n, d]`` a picture."""
        with self._lent(self._regions.region_head, "region_head.") as head:
            pairs = zip(rois, boxes, strict=True)
            return [head.embed(of_picture, its_boxes) for of_picture, its_boxes in self._each(pairs)]

    def _first_states(self, pictures: Sequence[Tensor]) -> list[Tensor]:
        vit = self._encode.vit.model
        with ExitStack() as lent:
            embeddings = lent.enter_context(self._lent(vit.embeddings, f"{VIT}embeddings."))
            norm = lent.enter_context(self._lent(vit.pre_layrnorm, f"{VIT}pre_layrnorm."))
            embeddings.register_buffer("position_ids", torch.arange(self._grid**2 + 1)[None], persistent=False)
            return [norm(embeddings(pixels)) for pixels in self._each(pictures)]

    def _as_map(self, state: Tensor) -> Tensor:
        return state[:, 1:].transpose(1, 2).reshape(1, state.shape[-1], self._grid, self._grid)

    def _each(self, items: Iterable[Item]) -> Iterator[Item]:
        """Something of every picture; with the next one, the counting of a weight's uses begins anew."""
        for item in items:
            self._n_uses.clear()
            yield item

    @contextmanager
    def _lent(self, part: Part, prefix: str) -> Iterator[Part]:
        names = [name for name, _ in part.named_parameters()]
        part.load_state_dict(
            {name: torch.from_numpy(self._parameters.read(prefix + name)) for name in names}, assign=True
        )
        hooks = [
            module.register_forward_hook(self._hook(f"{prefix}{name}.weight".replace("..", ".")))
            for name, module in part.named_modules()
            if self._observe is not None and isinstance(module, nn.Conv2d | nn.Linear)
        ]
        try:
            yield part
        finally:
            for hook in hooks:
                hook.remove()
            part.to("meta")

    def _hook(self, parameter: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if self._observe is None:
                return
            use = self._n_uses.get(parameter, 0)
            self._n_uses[parameter] = use + 1
            bias = module.bias
            if isinstance(bias, Tensor):
                output = output - (bias[:, None, None] if isinstance(module, nn.Conv2d) else bias)
            self._observe(place(parameter, use), inputs[0], output)

        return hook
