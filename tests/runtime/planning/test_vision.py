"""Bytes of the vision graphs, against what was measured."""

from dataclasses import replace

import pytest
from onnx import TensorProto

from gpt4roi_runtime.planning.demand import BundleFacts
from gpt4roi_runtime.planning.graph_file import FLOAT16, GraphFile, Weight
from gpt4roi_runtime.planning.vision import VisionFiles

MIB = 1 << 20


def of_kind(files: VisionFiles, kind: int) -> VisionFiles:
    """The same graphs with weights of another type."""

    def changed(graph: GraphFile) -> GraphFile:
        return replace(graph, weights={name: replace(weight, kind=kind) for name, weight in graph.weights.items()})

    return replace(files, encode=changed(files.encode), regions=changed(files.regions))


def test_the_pyramid_is_that_of_gpt4roi(facts: BundleFacts) -> None:
    assert facts.vision.pyramid_bytes == 1024 * (128**2 + 64**2 + 32**2 + 16**2) * 4


def test_engines_take_what_was_measured_on_gpt4rois_own_size(facts: BundleFacts) -> None:
    assert facts.vision.engine_values_bytes(16) / 1e6 == pytest.approx(109, rel=0.02)
    assert facts.vision.engine_values_bytes(100) / 1e6 == pytest.approx(267, rel=0.02)


def test_floats_become_half_floats_in_engines_and_bytes_stay(facts: BundleFacts) -> None:
    floats = facts.vision.engine_weights_bytes()
    assert floats == (2 * (9 * 1024**2 + 300_000 * 1024), 2 * 200704 * 1024)
    assert of_kind(facts.vision, FLOAT16).engine_weights_bytes() == floats
    assert sum(of_kind(facts.vision, TensorProto.INT8).engine_weights_bytes()) == sum(floats) // 2


def test_float32_weights_lie_in_memory_once(facts: BundleFacts) -> None:
    assert facts.vision.regions_needs(1).weights_bytes == 200704 * 1024 * 4
    assert facts.vision.regions_needs(1).loading_bytes == 200704 * 1024 * 4


def test_a_convolution_is_there_three_times_more_while_it_is_rearranged() -> None:
    kernel = Weight("kernel", TensorProto.FLOAT, (1024, 1024, 3, 3), external=True)
    graph = GraphFile((), {"kernel": kernel}, {}, ())
    assert VisionFiles(graph, graph, (), 1).regions_needs(1).loading_bytes == 3 * kernel.size_bytes


def test_half_floats_gain_nothing_on_a_processor(facts: BundleFacts) -> None:
    floats, halves = facts.vision.encode_needs, of_kind(facts.vision, FLOAT16).encode_needs
    assert halves.weights_bytes == floats.weights_bytes
    assert halves.values_bytes > floats.values_bytes


def test_weights_in_the_graphs_own_file_leave_memory_that_runs_use_again(facts: BundleFacts) -> None:
    inline = {name: replace(weight, external=False) for name, weight in facts.vision.regions.weights.items()}
    files = replace(facts.vision, regions=replace(facts.vision.regions, weights=inline))
    few, many = files.regions_needs(1), files.regions_needs(100)
    assert few.values_bytes == round(0.6 * few.weights_bytes)
    assert few.values_bytes > facts.vision.regions_needs(1).values_bytes
    assert many.values_bytes == facts.vision.regions_needs(100).values_bytes or few.values_bytes == many.values_bytes


def test_more_regions_take_more(facts: BundleFacts) -> None:
    needs = [facts.vision.regions_needs(n).values_bytes for n in (1, 16, 100)]
    assert needs == sorted(set(needs))


def test_a_graph_of_unknown_operators_is_estimated_from_the_pyramid(facts: BundleFacts) -> None:
    operators = tuple(replace(operator, kind="Mystery") for operator in facts.vision.encode.operators)
    shapes = {"pixels": facts.vision.encode.shapes["pixels"]}
    unknown = replace(facts.vision, encode=replace(facts.vision.encode, operators=operators, shapes=shapes))
    assert not unknown.encode_needs.seen.complete
    assert unknown.encode_needs.values_bytes >= 4 * 1024 * 128**2 * 4
