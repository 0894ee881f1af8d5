"""The two graphs at GPT4RoI-7B's full width, with random weights: minutes and some 10 GB of memory."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from gpt4roi_export.graphs import PYRAMID, export_encode, export_regions
from gpt4roi_export.modules.gpt4roi import EncodeGraph, RegionsGraph, VisionSizes
from gpt4roi_export.parity import compare

RunStages = Callable[..., dict[str, np.ndarray]]

SIZES = VisionSizes()
LEVELS = ((1024, 128), (1024, 64), (1024, 32), (1024, 16))

pytestmark = pytest.mark.slow


def random_module(module: nn.Module) -> nn.Module:
    """Weights of a size that keeps every stage's numbers near 1, as trained ones do."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                spread = (2 / parameter[0].numel()) ** 0.5
                parameter.normal_(0, spread, generator=generator)
    return module.eval()


def test_encode(run_stages: RunStages) -> None:
    module = random_module(EncodeGraph(SIZES))
    pixels = np.random.default_rng(1).standard_normal((1, 3, 224, 224), dtype=np.float32)
    with torch.inference_mode():
        outputs = module(torch.from_numpy(pixels))
    reference = {name: array.numpy() for name, array in zip(("image_embeddings", *PYRAMID), outputs, strict=True)}
    model = export_encode(module, SIZES.side_px)
    candidate = run_stages(model, {"pixels": pixels})
    assert [candidate[name].shape for name in PYRAMID] == [(1, channels, side, side) for channels, side in LEVELS]
    assert candidate["image_embeddings"].shape == (256, 4096)
    compare(reference, candidate).require()


def test_regions(run_stages: RunStages) -> None:
    module = random_module(RegionsGraph(SIZES))
    random = np.random.default_rng(2)
    pyramid = [random.standard_normal((1, channels, side, side), dtype=np.float32) for channels, side in LEVELS]
    model = export_regions(module, LEVELS)
    for n_regions in (1, 4):
        corners = random.uniform(0, 1, (n_regions, 2, 2)).astype(np.float32)
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        with torch.inference_mode():
            embeddings = module(*map(torch.from_numpy, pyramid), torch.from_numpy(boxes)).numpy()
        candidate = run_stages(model, {**dict(zip(PYRAMID, pyramid, strict=True)), "boxes": boxes})
        assert candidate["region_embeddings"].shape == (n_regions, 1, 4096)
        compare({"region_embeddings": embeddings}, candidate).require()
