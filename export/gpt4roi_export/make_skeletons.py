"""The embedded model's torch modules to the committed skeleton files; for developers.

Does not know the weights: the graphs are exported with placeholders, which are then taken out.
"""

from pathlib import Path

import onnx
import torch

from gpt4roi_export.graphs import export_encode, export_regions
from gpt4roi_export.modules.tuned import TunedRegionsGraph, TunedVision
from gpt4roi_export.onnx_files import graph_bytes, take_out_weights
from gpt4roi_export.skeletons import FOLDER, Skeletons
from gpt4roi_export.tuned import TunedSizes
from gpt4roi_runtime.storage import written_aside


def make_skeletons(sizes: TunedSizes) -> Skeletons:
    """Export both graphs and take their weights out.

    Args:
        sizes: Decides the shapes of the outputs.
    """
    torch.manual_seed(0)
    vision = TunedVision(sizes)
    encode, regions = export_encode(vision, sizes.side_px), export_regions(TunedRegionsGraph(vision), sizes.levels)
    return Skeletons(encode=_without(encode, vision), regions=_without(regions, vision))


def _without(model: onnx.ModelProto, vision: TunedVision) -> onnx.ModelProto:
    """Take out those of the weights that the graph has."""
    own = {tensor.name for tensor in model.graph.initializer}
    return take_out_weights(model, own & vision.state_dict().keys())


def write_skeletons(skeletons: Skeletons, folder: Path = FOLDER) -> tuple[Path, ...]:
    """Write ``encode.onnx`` and ``regions.onnx`` into a folder that is there.

    Raises:
        OutputError: A file cannot be written; an older one is untouched.
    """
    paths = (folder / "encode.onnx", folder / "regions.onnx")
    for path, model in zip(paths, (skeletons.encode, skeletons.regions), strict=True):
        with written_aside(path) as file:
            file.write(graph_bytes(model))
    return paths
