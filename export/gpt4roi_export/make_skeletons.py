"""The embedded model's torch modules to the committed skeleton files; for developers.

Does not know the weights: the graphs are exported with placeholders, which are then taken out.
"""

from pathlib import Path

import torch

from gpt4roi_export.embedded import LEVELS, SIDE_PX, NamingSettings
from gpt4roi_export.graphs import export_encode, export_regions
from gpt4roi_export.modules.embedded import EmbeddedEncodeGraph, EmbeddedRegionsGraph
from gpt4roi_export.onnx_files import graph_bytes, take_out_weights
from gpt4roi_export.skeletons import FOLDER, Skeletons
from gpt4roi_runtime.storage import written_aside


def make_skeletons(settings: NamingSettings) -> Skeletons:
    """Export both graphs and take their weights out.

    Args:
        settings: Decides the shapes of the outputs.
    """
    torch.manual_seed(0)
    encode = EmbeddedEncodeGraph(settings.n_rows, settings.embedding_length)
    regions = EmbeddedRegionsGraph(settings.n_rows, settings.embedding_length, SIDE_PX)
    return Skeletons(
        encode=take_out_weights(export_encode(encode, SIDE_PX), encode.state_dict().keys()),
        regions=take_out_weights(export_regions(regions, LEVELS), regions.state_dict().keys()),
    )


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
