import ctypes
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from gpt4roi_export.checkpoint import checkpoint_name, our_name
from gpt4roi_export.modules.pyramid import Pyramid, resize, with_coordinates
from gpt4roi_export.modules.region_head import RegionHead, RegionHeadSizes
from gpt4roi_export.parity import compare
from gpt4roi_export.vision_graphs.plain_roi_align import without_roi_align
from gpt4roi_runtime.errors import BundleError
from tests.helpers.native_roi_align import CHANNELS_FIRST, CHANNELS_LAST, NativeRoiAlign, compile_host_library
from tests.helpers.roi_align_graph import one_operator, run_graph

GOLDEN = Path(__file__).parents[1] / "golden" / "region_module_c64.npz"


class RegionModule(nn.Module):
    """Pyramid and region head under one roof, so that parameters get the names the golden numbers were seeded by."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pyramid = Pyramid(width)
        self.region_head = RegionHead(RegionHeadSizes(width=width))


def seeded(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A parameter as the makers of the golden numbers drew it."""
    weights = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)
    if len(shape) > 1:
        weights *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
    elif name.endswith("weight"):
        weights = 1 + np.float32(0.1) * weights
    else:
        weights *= np.float32(0.1)
    return torch.from_numpy(weights)


@pytest.fixture(scope="module")
def module() -> RegionModule:
    module = RegionModule(64).eval()
    module.load_state_dict({n: seeded(checkpoint_name(n), tuple(p.shape)) for n, p in module.named_parameters()})
    return module


@pytest.fixture(scope="module")
def pyramid(module: RegionModule) -> tuple[torch.Tensor, ...]:
    """The pyramid of the golden numbers' inputs."""
    maps = tuple(
        torch.from_numpy(np.random.default_rng(100 + level).standard_normal((1, 256, 64), dtype=np.float32))
        .transpose(1, 2)
        .reshape(1, 64, 16, 16)
        for level in range(4)
    )
    with torch.inference_mode():
        levels: tuple[torch.Tensor, ...] = module.pyramid(maps)
    return levels


def read_golden() -> dict[str, NDArray[np.float32]]:
    with np.load(GOLDEN) as stored:
        return {name: stored[name] for name in stored.files}


def test_the_authors_numbers_at_every_stage(module: RegionModule, pyramid: tuple[torch.Tensor, ...]) -> None:
    golden = read_golden()
    boxes = torch.from_numpy(golden.pop("boxes"))
    with torch.inference_mode():
        rois = module.region_head.align(pyramid, boxes)
        ours = {"region_embeddings": module.region_head.embed(rois, boxes).numpy()}
    for level, (features, roi) in enumerate(zip(pyramid, rois, strict=True)):
        step = features.shape[-1] // 8
        ours[f"pyramid_{level}_sample"] = features[0, :, ::step, ::step].numpy()
        ours[f"roi_{level}_sample"] = roi[:, :8].numpy()
    report = compare(golden, ours)
    assert len(report.stages) == 9
    report.require()


@pytest.mark.parametrize("layout", [CHANNELS_LAST, CHANNELS_FIRST])
@pytest.mark.parametrize(("storage", "tolerance"), [("float32", 1e-5), ("float16", 2e-3)])
def test_the_authors_roi_features_from_the_kernel(
    pyramid: tuple[torch.Tensor, ...], tmp_path: Path, storage: str, tolerance: float, layout: int
) -> None:
    golden = read_golden()
    kernel = NativeRoiAlign(ctypes.CDLL(str(compile_host_library(tmp_path))))
    levels = [level[0].numpy() for level in pyramid]
    scales = [level.shape[1] / 224 for level in levels]
    boxes_px = golden["boxes"] * np.float32(224)
    aligned = kernel.align(levels, boxes_px, scales, side=14, storage=storage, layout=layout)
    for level in range(4):
        # Relative too, because the pyramid itself, up to 6.6, is within 4e-6 of the authors' only.
        ours, theirs = aligned[:, level, :8], golden[f"roi_{level}_sample"]
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_the_authors_roi_features_from_matrix_products(pyramid: tuple[torch.Tensor, ...]) -> None:
    golden = read_golden()
    boxes_px = golden["boxes"] * np.float32(224)
    for level, features in enumerate(pyramid):
        side = features.shape[-1]
        model = without_roi_align(one_operator(64, side, side, spatial_scale=side / 224))
        feeds = {"features": features.numpy(), "boxes": boxes_px, "images": np.zeros(len(boxes_px), dtype=np.int64)}
        ours, theirs = run_graph(model, feeds)[:, :8], golden[f"roi_{level}_sample"]
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_convolving_before_upsampling_is_the_same(module: RegionModule) -> None:
    features = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 64, 16, 16), dtype=np.float32))
    for level, side in enumerate((128, 64, 32, 16)):
        ramp = torch.linspace(-1, 1, side)
        large = nn.functional.interpolate(features, size=(side, side), mode="bilinear", align_corners=True)
        x, y = ramp.expand(1, 1, side, side), ramp[:, None].expand(1, 1, side, side)
        with torch.inference_mode():
            convolve = module.pyramid.level_convs[level]
            late = convolve(torch.cat([large, x, y], dim=1)).numpy()
            early = resize(convolve(with_coordinates(features)), side).numpy()
        compare({"level": late}, {"level": early}).require()


def test_names_go_both_ways(module: RegionModule) -> None:
    for name, _ in module.named_parameters():
        assert our_name(checkpoint_name(name)) == name
        assert our_name("model.spi_module." + checkpoint_name(name)) == name
    assert our_name("model.mm_projector.weight") == "projector.weight"
    assert checkpoint_name("projector.weight") == "model.mm_projector.weight"


def test_a_foreign_name_is_refused() -> None:
    with pytest.raises(BundleError, match=r"lm_head\.weight"):
        our_name("lm_head.weight")
    with pytest.raises(BundleError, match=r"vit\.weight"):
        checkpoint_name("vit.weight")
