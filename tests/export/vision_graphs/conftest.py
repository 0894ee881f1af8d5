from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gpt4roi_export.checkpoint import checkpoint_name
from gpt4roi_export.modules.gpt4roi import EncodeGraph, RegionsGraph, VisionSizes
from gpt4roi_export.parity import Stages
from gpt4roi_export.tensors import ArraysInMemory
from gpt4roi_export.vision_graphs.structure import Structure, encode_structure, regions_structure
from gpt4roi_export.vision_graphs.write import VisionFormat, WrittenGraphs, write_graphs

SIZES = VisionSizes(
    width=64,
    n_layers=5,
    n_heads=4,
    mlp_width=128,
    side_px=56,
    hidden_states_of_levels=(1, 2, 3, 4),
    box_hidden=32,
    feature_width=48,
    embedding_length=96,
)


@dataclass(frozen=True)
class Model:
    """A small model with random weights, as torch modules and as a checkpoint."""

    sizes: VisionSizes
    encode: EncodeGraph
    regions: RegionsGraph
    clip: ArraysInMemory
    release: ArraysInMemory


@pytest.fixture(scope="session")
def model() -> Model:
    generator = torch.Generator().manual_seed(0)
    encode, regions = EncodeGraph(SIZES).eval(), RegionsGraph(SIZES).eval()
    clip: dict[str, NDArray[np.float32]] = {"vision_model.embeddings.position_ids": np.arange(17)[None]}
    release: dict[str, NDArray[np.float32]] = {"lm_head.weight": np.zeros((7, 96), dtype=np.float32)}
    for name, parameter in (*encode.named_parameters(), *regions.named_parameters()):
        with torch.no_grad():
            if parameter.ndim > 1:
                parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5, generator=generator)
            else:
                parameter.normal_(float(not name.endswith("bias")), 0.1, generator=generator)
        if name.startswith("vit."):
            clip["vision_model." + name.removeprefix("vit.model.")] = parameter.detach().numpy()
        else:
            prefix = "" if name.startswith("projector.") else "model.spi_module."
            release[prefix + checkpoint_name(name)] = parameter.detach().numpy()
    return Model(SIZES, encode, regions, ArraysInMemory(clip), ArraysInMemory(release))


@pytest.fixture(scope="session")
def structures() -> tuple[Structure, Structure]:
    return encode_structure(SIZES), regions_structure(SIZES)


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((1, 3, 56, 56), dtype=np.float32)


@pytest.fixture(scope="session")
def boxes() -> NDArray[np.float32]:
    return np.array([[0.1, 0.1, 0.5, 0.6], [0.0, 0.0, 1.0, 1.0], [0.7, 0.2, 0.9, 0.25]], dtype=np.float32)


@pytest.fixture(scope="session")
def reference(model: Model, pixels: NDArray[np.float32], boxes: NDArray[np.float32]) -> Stages:
    """Of the modules as they are, nothing streamed."""
    with torch.inference_mode():
        embeddings, *pyramid = model.encode(torch.from_numpy(pixels))
        rois = model.regions.region_head.align(tuple(pyramid), torch.from_numpy(boxes))
        regions = model.regions(*pyramid, torch.from_numpy(boxes))
    return {
        "image_embeddings": embeddings.numpy(),
        **{f"pyramid_{number}": level.numpy() for number, level in enumerate(pyramid)},
        **{f"roi_{number}": roi.numpy() for number, roi in enumerate(rois)},
        "region_embeddings": regions.numpy(),
    }


Write = Callable[[VisionFormat], WrittenGraphs]


@pytest.fixture(scope="session")
def write(model: Model, structures: tuple[Structure, Structure], tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Writes the graphs in some format; tracing them, the slow part, is done once."""

    def written(stored: VisionFormat) -> WrittenGraphs:
        folder: Path = tmp_path_factory.mktemp(stored.precision)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gpt4roi_export.vision_graphs.write.encode_structure", lambda sizes: structures[0])
            patch.setattr("gpt4roi_export.vision_graphs.write.regions_structure", lambda sizes: structures[1])
            return write_graphs(model.sizes, model.clip, model.release, folder, stored, lambda doing, done: None)

    return written
