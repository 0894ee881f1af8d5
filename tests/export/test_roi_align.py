import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray

from gpt4roi_export.modules.roi_align import roi_align, roi_mean
from gpt4roi_export.parity import compare


def operator(features: NDArray[np.float32], boxes: NDArray[np.float32], bins: int, samples: int) -> NDArray[np.float32]:
    """ONNX Runtime's own RoiAlign."""
    node = onnx.helper.make_node(
        "RoiAlign",
        ["features", "boxes", "images"],
        ["aligned"],
        coordinate_transformation_mode="half_pixel",
        mode="avg",
        output_height=bins,
        output_width=bins,
        sampling_ratio=samples,
        spatial_scale=1.0,
    )
    kinds = {"features": onnx.TensorProto.FLOAT, "boxes": onnx.TensorProto.FLOAT, "images": onnx.TensorProto.INT64}
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()],
        [onnx.helper.make_tensor_value_info("aligned", onnx.TensorProto.FLOAT, None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 16)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = {"features": features, "boxes": boxes, "images": np.zeros(len(boxes), dtype=np.int64)}
    return session.run(None, inputs)[0]


@pytest.mark.parametrize(("bins", "samples", "height", "width"), [(14, 2, 32, 20), (7, 2, 16, 16), (1, 3, 5, 9)])
def test_arithmetic_equals_the_operator(bins: int, samples: int, height: int, width: int) -> None:
    random = np.random.default_rng(bins)
    features = random.standard_normal((1, 3, height, width), dtype=np.float32)
    corners = random.uniform(-3, 1.2 * max(height, width), (40, 2, 2)).astype(np.float32)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    whole = np.array([[0, 0, width, height], [2.5, 2.5, 2.5001, 2.5001]], dtype=np.float32)
    boxes = np.concatenate([boxes, whole])
    ours = roi_align(torch.from_numpy(features), torch.from_numpy(boxes), bins, samples).numpy()
    compare({"aligned": operator(features, boxes, bins, samples)}, {"aligned": ours}).require()


def test_a_ramp_gives_the_centres_of_the_bins() -> None:
    ramp = torch.arange(16.0).expand(1, 1, 16, 16) + 0.5
    aligned = roi_align(ramp, torch.tensor([[2.0, 3.0, 10.0, 7.0]]), bins=4, samples=2)
    torch.testing.assert_close(aligned[0, 0, 0], torch.tensor([3.0, 5.0, 7.0, 9.0]))


def test_gradients_flow_to_the_features() -> None:
    features = torch.ones(1, 1, 8, 8, requires_grad=True)
    roi_align(features, torch.tensor([[1.0, 1.0, 5.0, 5.0]]), bins=2, samples=2).sum().backward()
    assert features.grad is not None
    assert features.grad.sum().item() == pytest.approx(4.0)


@pytest.mark.parametrize(("bins", "samples", "height", "width"), [(7, 2, 16, 16), (3, 1, 9, 5)])
def test_the_mean_of_all_bins_is_that_of_the_operator(bins: int, samples: int, height: int, width: int) -> None:
    random = np.random.default_rng(bins)
    features = random.standard_normal((1, 5, height, width), dtype=np.float32)
    corners = random.uniform(-3, 1.2 * max(height, width), (40, 2, 2)).astype(np.float32)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    ours = roi_mean(torch.from_numpy(features), torch.from_numpy(boxes), bins, samples).numpy()
    expected = operator(features, boxes, bins, samples).mean(axis=(2, 3))
    assert ours.shape == (40, 5)
    compare({"mean": expected}, {"mean": ours}).require()
