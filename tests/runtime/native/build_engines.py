"""Builds plans from a graph with the plugin's operator, in the environment that has TensorRT for RTX; prints JSON.

    python build_engines.py PLUGIN_LIBRARY JOB

A job is JSON: ``targets``, and the path of a ``graph``, or a ``type`` and ``attributes`` that replace those of the
operator in a graph made here. Imports nothing of ours.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorrt_rtx as trt  # type: ignore[import-not-found]

N_LEVELS, CHANNELS, OUT_CHANNELS = 4, 64, 32
TYPES = {"float32": np.float32, "float16": np.float16}
ATTRIBUTES: dict[str, Any] = {"output_side": 14, "sampling_ratio": 2, "spatial_scales": [128.0, 64.0, 32.0, 16.0]}


def graph_of(kind: str, attributes: dict[str, Any]) -> Any:
    """RoIAlign of a pyramid into one convolution over all levels, as GPT4RoI's region head begins."""
    type_number = getattr(onnx.TensorProto, {"float32": "FLOAT", "float16": "FLOAT16", "bfloat16": "BFLOAT16"}[kind])
    levels = [f"level_{level}" for level in range(N_LEVELS)]
    side = attributes["output_side"]
    own = {"domain": "gpt4roi", "plugin_version": "1", "plugin_namespace": "gpt4roi"}
    nodes = [
        onnx.helper.make_node("PyramidRoiAlign", [*levels, "boxes"], ["rois"], **own, **attributes),
        onnx.helper.make_node("Conv", ["rois", "weight"], ["fused"], pads=[1, 1, 1, 1]),
    ]
    shape = (OUT_CHANNELS, N_LEVELS * CHANNELS, 3, 3)
    weight = onnx.helper.make_tensor("weight", type_number, shape, np.full(np.prod(shape), 1e-3))
    inputs = [
        onnx.helper.make_tensor_value_info(name, type_number, [1, CHANNELS, 128 >> level, 128 >> level])
        for level, name in enumerate(levels)
    ]
    inputs.append(onnx.helper.make_tensor_value_info("boxes", onnx.TensorProto.FLOAT, ["n", 4]))
    outputs = [onnx.helper.make_tensor_value_info("fused", type_number, ["n", OUT_CHANNELS, side, side])]
    graph = onnx.helper.make_graph(nodes, "regions", inputs, outputs, [weight])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("gpt4roi", 1)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()


def say(outcome: dict[str, Any]) -> None:
    """One line for the test that started this."""
    sys.stdout.write(json.dumps(outcome) + "\n")


def main() -> None:
    """Build, and print what came out."""
    library, job = sys.argv[1], json.loads(sys.argv[2])
    logger = trt.Logger(trt.Logger.ERROR)
    trt.get_plugin_registry().load_library(library)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if "graph" in job:
        graph = Path(job["graph"]).read_bytes()
    else:
        graph = graph_of(job["type"], {**ATTRIBUTES, **job.get("attributes", {})})
    if not parser.parse(graph):
        say({"errors": [parser.get_error(i).desc() for i in range(parser.num_errors)]})
        return
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("boxes", (1, 4), (16, 4), (100, 4))
    config.add_optimization_profile(profile)
    config.plugins_to_serialize = [library]
    config.num_compute_capabilities = len(job["targets"])
    for place, target in enumerate(job["targets"]):
        config.set_compute_capability(getattr(trt.ComputeCapability, target), place)
    plan = builder.build_serialized_network(network, config)
    content = b"" if plan is None else bytes(plan)
    holds = {"library": Path(library).read_bytes() in content, "operator": b"PyramidRoiAlign" in content}
    say({"version": trt.__version__, "bytes": len(content), **holds})


if __name__ == "__main__":
    main()
