"""The structure of the embedded model's two graphs, kept as small files without weights.

Needs onnx alone; ``make_skeletons`` writes the files and needs torch.
"""

from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from gpt4roi_export.onnx_files import check_graph
from gpt4roi_runtime.errors import BundleError

FOLDER = Path(__file__).with_name("skeletons")


@dataclass(frozen=True)
class Skeletons:
    """Both graphs with their weights as further inputs.

    Attributes:
        encode: ``pixels`` -> ``image_embeddings``, pyramid.
        regions: pyramid, ``boxes`` -> ``region_embeddings``.
    """

    encode: onnx.ModelProto
    regions: onnx.ModelProto


def read_skeletons(folder: Path = FOLDER) -> Skeletons:
    """The skeletons that came with this package.

    Raises:
        BundleError: A file is missing or damaged.
    """
    return Skeletons(encode=_read(folder / "encode.onnx"), regions=_read(folder / "regions.onnx"))


def _read(path: Path) -> onnx.ModelProto:
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except (OSError, DecodeError) as refused:
        raise BundleError(f"{path.name} cannot be read: {refused}", "Install the package again.") from refused
    check_graph(model)
    return model
