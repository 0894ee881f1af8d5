"""A torch module to a clean ONNX graph; knows nothing of what the module computes.

Clean: fixed names, no trace of the machine that exported it, and the same bytes every time.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import onnx
import torch
from torch import Tensor, nn

from gpt4roi_export.folding import fold_casts
from gpt4roi_export.modules.pyramid import N_LEVELS
from gpt4roi_export.onnx_files import check_graph, rename_values
from gpt4roi_runtime.bundle.manifest import MAX_REGIONS
from gpt4roi_runtime.vision.contract import BOXES, IMAGE_EMBEDDINGS, PIXELS, REGION_EMBEDDINGS, pyramid_name

OPSET = 18
PYRAMID = tuple(map(pyramid_name, range(N_LEVELS)))


def export_encode(module: nn.Module, side_px: int) -> onnx.ModelProto:
    """Graph ``pixels [1, 3, side, side]`` -> ``image_embeddings``, ``pyramid_0`` .. ``pyramid_3``.

    Args:
        module: Takes the pixels, returns the five outputs in this order.
        side_px: Side of the square image.

    Returns:
        A checked float32 graph.
    """
    pixels = torch.zeros(1, 3, side_px, side_px)
    return _export("encode", module, {PIXELS: pixels}, (IMAGE_EMBEDDINGS, *PYRAMID), dynamic={})


def export_regions(module: nn.Module, pyramid_shapes: Sequence[tuple[int, int]]) -> onnx.ModelProto:
    """Graph ``pyramid_0`` .. ``pyramid_3``, ``boxes [n, 4]`` -> ``region_embeddings [n, k, d]`` for 1 to 100 boxes.

    The output of every RoIAlign in it is named ``roi_0``, ``roi_1``, ... so that it can be compared too.

    Args:
        module: Takes four levels and boxes, returns the embeddings.
        pyramid_shapes: Channels and side of every level, finest first.

    Returns:
        A checked float32 graph.
    """
    inputs = {
        name: torch.zeros(1, channels, side, side)
        for name, (channels, side) in zip(PYRAMID, pyramid_shapes, strict=True)
    }
    # Three boxes: with one, the exporter would take the count for a constant.
    inputs[BOXES] = torch.tensor([[0.1, 0.2, 0.6, 0.7]]).repeat(3, 1)
    n_regions = torch.export.Dim("n_regions", min=1, max=MAX_REGIONS)
    model = _export("regions", module, inputs, (REGION_EMBEDDINGS,), dynamic={BOXES: {0: n_regions}})
    aligned = [node.output[0] for node in model.graph.node if node.op_type == "RoiAlign"]
    rename_values(model, {name: f"roi_{index}" for index, name in enumerate(aligned)})
    check_graph(model)
    return model


def traced(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, dict[int, object]],
) -> torch.onnx.ONNXProgram:
    """What torch's exporter makes of a module, as it is.

    Args:
        module: To trace.
        inputs: By name, in the module's order.
        outputs: Their names.
        dynamic: Axes of inputs that may vary; empty if none does.
    """
    with quiet_exporter():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple(dynamic.get(key) for key in inputs) if dynamic else None,
            verbose=False,
            optimize=False,
        )
    if program is None:
        raise AssertionError("torch.onnx.export returns a program unless it is given a file")
    return program


def _export(
    name: str,
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    dynamic: Mapping[str, dict[int, object]],
) -> onnx.ModelProto:
    model: onnx.ModelProto = traced(module, inputs, outputs, dynamic).model_proto
    strip(model, name)
    fold_casts(model)
    check_graph(model)
    return model


def strip(model: onnx.ModelProto, name: str) -> None:
    """Remove what does not change the numbers: source paths, stack traces, intermediate shapes, versions."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    model.producer_name, model.producer_version, model.doc_string = "gpt4roi-export", "", ""
    model.graph.name, model.graph.doc_string = name, ""
    for node in model.graph.node:
        node.name, node.doc_string = "", ""
        del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output):
        value.doc_string = ""
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    used = {node.domain for node in model.graph.node}
    kept = [opset for opset in model.opset_import if opset.domain in used or opset.domain == ""]
    del model.opset_import[:]
    model.opset_import.extend(kept)


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """The exporter warns about torchvision, which we do not use, and about torch's own deprecated internals."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
