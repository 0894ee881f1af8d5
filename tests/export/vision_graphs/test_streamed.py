import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpt4roi_export.parity import Stages
from gpt4roi_export.vision_graphs.eight_bits import FIRST_FUSION
from gpt4roi_export.vision_graphs.joined import HEAD_CONVS, JOINED
from gpt4roi_export.vision_graphs.parameters import parameters_of
from gpt4roi_export.vision_graphs.recipe import nodes_with_places, place
from gpt4roi_export.vision_graphs.streamed import StreamedVision, reference_stages
from gpt4roi_export.vision_graphs.structure import Structure
from tests.export.vision_graphs.conftest import Model


def test_streamed_stages_are_those_of_the_whole_modules(
    model: Model, pixels: NDArray[np.float32], boxes: NDArray[np.float32], reference: Stages
) -> None:
    stages = reference_stages(model.sizes, model.clip, model.release, pixels, boxes)
    assert list(stages) == list(reference)
    for name, expected in reference.items():
        np.testing.assert_allclose(stages[name], expected, rtol=1e-5, atol=1e-6)


def test_no_part_keeps_its_numbers(model: Model, pixels: NDArray[np.float32]) -> None:
    streamed = StreamedVision(model.sizes, parameters_of(model.sizes, model.clip, model.release))
    with torch.inference_mode():
        list(streamed.pyramids(streamed.maps([torch.tensor(pixels)])))
    assert all(parameter.is_meta for parameter in streamed._encode.parameters())


def test_what_is_observed_has_the_places_of_the_graphs_nodes(
    model: Model,
    pixels: NDArray[np.float32],
    boxes: NDArray[np.float32],
    structures: tuple[Structure, Structure],
) -> None:
    read: dict[str, list[tuple[int, ...]]] = {}

    def observe(name: str, before: Tensor, after: Tensor) -> None:
        read.setdefault(name, []).append(tuple(before.shape))

    streamed = StreamedVision(model.sizes, parameters_of(model.sizes, model.clip, model.release), observe)
    with torch.inference_mode():
        pyramids = list(streamed.pyramids(streamed.maps([torch.tensor(pixels)] * 2)))
        rois = [streamed.align(pyramid, torch.tensor(boxes)) for pyramid in pyramids]
        streamed.embeddings(rois, [torch.tensor(boxes)] * 2)
    places = {name for structure in structures for name, _ in nodes_with_places(structure.model)}
    # The graph convolves the head's four levels as one, and has matrix products in the place of the first fusion.
    joined = {place(JOINED, 0) if name.startswith(HEAD_CONVS) else name for name in read}
    assert {name for name in joined if not name.startswith(FIRST_FUSION)} == places
    assert all(len(shapes) == 2 for shapes in read.values())
    assert [read[f"pyramid.fusions.0.conv.weight#{level}"][0][-1] for level in range(4)] == [32, 16, 8, 4]
