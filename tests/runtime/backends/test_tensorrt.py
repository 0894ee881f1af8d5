"""The TensorRT backend on a GPU that is none: order of calls, memory, recordings, errors, and that all is freed."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gpt4roi_runtime.backends.tensorrt import MOST_RECORDED, PlanHalf, TensorRtEncoder
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.bundle.plans import PlanKey, PlanProfile, PlanRecord, PlanTensor
from gpt4roi_runtime.errors import EngineError, NumericError, PlanError
from gpt4roi_runtime.vision.encoder import Encoder, ResidentPyramid
from tests.helpers.fake_cuda import FakeCuda, FakePlan
from tests.helpers.tiny_graphs import LEVELS, PIXELS, WEIGHTS, n_boxes, tiny_bundle

MOST = 100
SHAPES = {
    "pixels": (1, 3, 8, 8),
    "image_embeddings": (2, 5),
    "pyramid_0": (1, 3, 4, 4),
    "pyramid_1": (1, 3, 2, 2),
    "boxes": (None, 4),
    "region_embeddings": (None, 1, 5),
}
HALF_PRECISION = {"pyramid_0": ("float16", "channels_last"), "pyramid_1": ("float16", "channels_last")}


def _tensor(name: str, how: dict[str, tuple[Any, Any]]) -> PlanTensor:
    dtype, layout = how.get(name, ("float32", "linear"))
    return PlanTensor(name, SHAPES[name], dtype, layout)


def _record(graph: Any, inputs: list[str], outputs: list[str], how: dict[str, tuple[Any, Any]]) -> PlanRecord:
    key = PlanKey(
        bundle_id="0" * 16,
        graph=graph,
        engine="tensorrt_rtx",
        engine_version="1.7.1",
        compute_capabilities=(89,),
        precision="fp16",
        system="linux-x86_64",
        profile=PlanProfile(1, 4, MOST) if graph == "regions" else None,
    )
    tensors = ([_tensor(name, how) for name in names] for names in (inputs, outputs))
    return PlanRecord("gpt4roi-plan", 1, key, 1, "0" * 64, *(tuple(one) for one in tensors), tools={})


@dataclass
class Bench:
    """An encoder, and what it stands on."""

    cuda: FakeCuda
    encode: PlanHalf
    regions: PlanHalf
    encoder: TensorRtEncoder
    closed: list[str]

    def plan(self, name: str) -> FakePlan:
        plan = getattr(self, name).plan
        assert isinstance(plan, FakePlan)
        return plan


def _view(cuda: FakeCuda, address: int, tensor: PlanTensor, n: int = 1) -> np.ndarray:
    shape = tuple(n if size is None else size for size in tensor.shape)
    if tensor.layout == "channels_last":
        _, c, h, w = shape
        raw = cuda.device[address].view(tensor.dtype)[: h * w * 8].reshape(1, h, w, 8)
        return raw[..., :c].transpose(0, 3, 1, 2)
    return cuda.device[address].view(tensor.dtype)[: int(np.prod(shape))].reshape(shape)


def make(bundle: Bundle, how: dict[str, tuple[Any, Any]] | None = None, cuda: FakeCuda | None = None) -> Bench:
    """The two graphs of ``tiny_graphs``, computed in the fake GPU's memory."""
    how = how or {}
    cuda = cuda or FakeCuda()
    tensors = {name: _tensor(name, how) for name in SHAPES}

    def view(addresses: dict[str, int], name: str, n: int = 1) -> np.ndarray:
        return _view(cuda, addresses[name], tensors[name], n)

    def encode(at: dict[str, int], _: dict[str, tuple[int, ...]]) -> None:
        pixels = view(at, "pixels")
        view(at, "image_embeddings")[:] = pixels.mean() * WEIGHTS[:2]
        view(at, "pyramid_0")[:] = pixels.reshape(1, 3, 4, 2, 4, 2).mean(axis=(3, 5))
        view(at, "pyramid_1")[:] = pixels.reshape(1, 3, 2, 4, 2, 4).mean(axis=(3, 5))

    def regions(at: dict[str, int], shapes: dict[str, tuple[int, ...]]) -> None:
        n = shapes["boxes"][0]
        means = view(at, "pyramid_0").mean(dtype=np.float32) + view(at, "pyramid_1").mean(dtype=np.float32)
        view(at, "region_embeddings", n)[:, 0] = view(at, "boxes", n) @ WEIGHTS + means

    levels = ["pyramid_0", "pyramid_1"]
    first = _record("encode", ["pixels"], ["image_embeddings", *levels], how)
    second = _record("regions", [*levels, "boxes"], ["region_embeddings"], how)
    closed: list[str] = []
    halves = [
        PlanHalf(record, FakePlan(cuda, tuple(one.name for one in (*record.inputs, *record.outputs)), compute))
        for record, compute in ((first, encode), (second, regions))
    ]
    encoder = TensorRtEncoder(
        bundle.manifest, "TensorRT 1 (fake, fp16)", *halves, driver=cuda, on_close=lambda: closed.append("runtime")
    )
    return Bench(cuda, *halves, encoder, closed)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path)


@pytest.fixture
def bench(bundle: Bundle) -> Iterator[Bench]:
    bench = make(bundle)
    yield bench
    bench.encoder.close()
    assert bench.cuda.is_empty


def _regions_of(levels: tuple[np.ndarray, ...], n: int) -> np.ndarray:
    return n_boxes(n) @ WEIGHTS + np.float32(sum(float(level.mean()) for level in levels))


def test_it_keeps_the_promise_of_an_encoder(bench: Bench) -> None:
    assert isinstance(bench.encoder, Encoder)
    features = bench.encoder.encode(PIXELS)
    np.testing.assert_allclose(features.image_embeddings, PIXELS.mean() * WEIGHTS[:2], atol=1e-6)
    pooled = PIXELS.reshape(1, 3, 4, 2, 4, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(features.pyramid[0], pooled, atol=1e-6)
    assert [level.shape for level in features.pyramid] == [(1, 3, 4, 4), (1, 3, 2, 2)]


@pytest.mark.parametrize("n", [1, 2, MOST_RECORDED, MOST_RECORDED + 1, MOST])
def test_regions_are_right_however_often_a_number_of_them_is_asked_for(bench: Bench, n: int) -> None:
    features = bench.encoder.encode(PIXELS)
    for _ in range(4):
        found = bench.encoder.embed_regions(features.pyramid, n_boxes(n))
        assert found.shape == (n, 1, 5)
        np.testing.assert_allclose(found[:, 0], _regions_of(tuple(features.pyramid), n), rtol=1e-5)


def test_the_pyramid_never_leaves_the_gpu_between_the_two_plans(bench: Bench) -> None:
    bench.cuda.calls.clear()
    pyramid = bench.encoder.encode(PIXELS).pyramid
    bench.encoder.embed_regions(pyramid, n_boxes(2))
    assert isinstance(pyramid, ResidentPyramid)
    assert not pyramid.is_fetched
    assert bench.cuda.calls == [
        *("copy_in", "enqueue", "copy_out", "wait"),  # pixels in, image rows out
        "new_context",
        *("copy_in", "enqueue", "copy_out", "wait"),  # boxes in, embeddings out
    ]


def test_the_plans_read_and_write_the_same_memory(bench: Bench) -> None:
    bench.encoder.embed_regions(bench.encoder.encode(PIXELS).pyramid, n_boxes(1))
    written, read = (bench.plan(name).contexts[0].addresses for name in ("encode", "regions"))
    assert [written[name] for name in ("pyramid_0", "pyramid_1")] == [read[name] for name in ("pyramid_0", "pyramid_1")]


def test_a_run_is_recorded_once_and_then_played(bench: Bench) -> None:
    for _ in range(5):
        bench.encoder.embed_regions(bench.encoder.encode(PIXELS).pyramid, n_boxes(1))
    calls = bench.cuda.calls
    assert calls.count("begin_recording") == calls.count("end_recording") == 2  # one a plan
    assert calls.count("enqueue") == 2  # the first run of each
    assert calls.count("play") == 2 * 4
    assert bench.encoder.gpu_use().recorded == ("encode", "1 region")


def test_from_the_third_run_on_nothing_is_allocated(bench: Bench) -> None:
    def ask() -> None:
        pyramid = bench.encoder.encode(PIXELS).pyramid
        for n in (1, 2, MOST):
            bench.encoder.embed_regions(pyramid, n_boxes(n))

    ask()
    ask()
    blocks = set(bench.cuda.device) | set(bench.cuda.pinned)
    bench.cuda.calls.clear()
    ask()
    assert set(bench.cuda.calls) <= {"copy_in", "enqueue", "copy_out", "wait", "play"}
    assert set(bench.cuda.device) | set(bench.cuda.pinned) == blocks


def test_many_regions_are_not_recorded_and_share_one_context(bench: Bench) -> None:
    pyramid = bench.encoder.encode(PIXELS).pyramid
    for n in (MOST_RECORDED + 1, MOST, MOST_RECORDED + 2):
        bench.encoder.embed_regions(pyramid, n_boxes(n))
    assert "begin_recording" not in bench.cuda.calls
    assert len(bench.plan("regions").contexts) == 1


def test_a_recording_keeps_its_shape_when_another_number_was_asked_for_in_between(bench: Bench) -> None:
    pyramid = bench.encoder.encode(PIXELS).pyramid
    for n in (1, 1, 2, 7, 2, 2, 1, 7, 1):
        found = bench.encoder.embed_regions(pyramid, n_boxes(n))
        np.testing.assert_allclose(found[:, 0], _regions_of(tuple(pyramid), n), rtol=1e-5)


@pytest.mark.parametrize("call", ["begin_recording", "end_recording"])
def test_what_cannot_be_recorded_runs_step_by_step_and_says_why(bench: Bench, call: str) -> None:
    bench.cuda.refuse[call] = "not permitted"
    rows = [bench.encoder.encode(PIXELS).image_embeddings for _ in range(4)]
    np.testing.assert_array_equal(rows[0], rows[3])
    assert bench.cuda.calls.count("begin_recording") == 1
    use = bench.encoder.gpu_use()
    assert (use.recorded, use.refused) == ((), (f"encode: {call} failed: not permitted",))
    assert f"no CUDA graph of encode: {call} failed: not permitted" in use.lines()


def test_a_plan_that_cannot_be_recorded_leaves_the_stream_usable(bench: Bench) -> None:
    bench.plan("encode").refuse_recording = "a step waits"
    for _ in range(3):
        bench.encoder.encode(PIXELS)
    assert bench.cuda.noting is None
    assert bench.encoder.gpu_use().refused == ("encode: a step waits",)


def test_another_image_does_not_change_the_first_ones_pyramid(bench: Bench) -> None:
    first = bench.encoder.encode(PIXELS).pyramid
    second = bench.encoder.encode(PIXELS + 1).pyramid
    assert isinstance(first, ResidentPyramid)
    assert first.is_fetched  # it was brought away just before
    for pyramid, shift in ((first, 0), (second, 1), (first, 0)):
        found = bench.encoder.embed_regions(pyramid, n_boxes(1))
        pooled = (PIXELS + shift).reshape(1, 3, 4, 2, 4, 2).mean(axis=(3, 5))
        np.testing.assert_allclose(found[0, 0], n_boxes(1)[0] @ WEIGHTS + 2 * pooled.mean(), rtol=1e-4)


def test_a_thread_that_came_late_gets_the_pyramid_that_was_brought_away(bench: Bench) -> None:
    first = bench.encoder.encode(PIXELS).pyramid
    bench.encoder.encode(PIXELS + 1)
    assert isinstance(first, ResidentPyramid)
    late = bench.encoder._fetched(first)  # it had seen that nothing is fetched, and then waited for its turn
    np.testing.assert_array_equal(late[0], first[0])


def test_memory_that_a_copy_reads_is_awaited_although_a_later_step_refuses(bench: Bench) -> None:
    bench.plan("encode").refuse = "out of memory"
    bench.cuda.calls.clear()
    with pytest.raises(EngineError, match="out of memory"):
        bench.encoder.encode(PIXELS)
    assert bench.cuda.calls == ["copy_in", "wait"]
    bench.cuda.refuse_after = {"copy_in": 1}
    bench.cuda.calls.clear()
    with pytest.raises(EngineError, match="copy_in failed"):
        bench.encoder.embed_regions(LEVELS, n_boxes(1))
    assert bench.cuda.calls == ["copy_in", "wait"]
    bench.cuda.refuse_after = {}
    found = bench.encoder.embed_regions(LEVELS, n_boxes(1))  # and what lies there half is not taken for a pyramid
    np.testing.assert_allclose(found[0, 0], n_boxes(1)[0] @ WEIGHTS + 5, rtol=1e-5)


def test_a_pyramid_that_nobody_holds_is_not_copied(bench: Bench) -> None:
    bench.encoder.encode(PIXELS)
    gc.collect()
    bench.cuda.calls.clear()
    bench.encoder.encode(PIXELS + 1)
    assert bench.cuda.calls.count("copy_out") <= 1


def test_a_pyramid_from_elsewhere_is_copied_to_the_gpu_once(bench: Bench) -> None:
    bench.cuda.calls.clear()
    for _ in range(2):
        found = bench.encoder.embed_regions(LEVELS, n_boxes(2))
        np.testing.assert_allclose(found[:, 0], n_boxes(2) @ WEIGHTS + 5, rtol=1e-5)
    assert bench.cuda.calls.count("copy_in") == 2 + 1  # two levels and boxes; the second time it is played


def test_a_pyramid_of_another_size_is_refused(bench: Bench) -> None:
    with pytest.raises(EngineError, match=r"\(1, 3, 2, 2\)"):
        bench.encoder.embed_regions((LEVELS[1], LEVELS[0]), n_boxes(1))


def test_half_precision_with_channels_last_is_turned_back(bundle: Bundle) -> None:
    bench = make(bundle, HALF_PRECISION)
    features = bench.encoder.encode(PIXELS)
    pooled = PIXELS.reshape(1, 3, 4, 2, 4, 2).mean(axis=(3, 5))
    assert features.pyramid[0].dtype == np.float32
    np.testing.assert_allclose(features.pyramid[0], pooled, atol=2e-3)
    found = bench.encoder.embed_regions(LEVELS, n_boxes(1))
    np.testing.assert_allclose(found[0, 0], n_boxes(1)[0] @ WEIGHTS + 5, rtol=1e-3)
    bench.encoder.close()
    assert bench.cuda.is_empty


def test_no_number_is_refused_by_its_name(bench: Bench) -> None:
    pixels = PIXELS.copy()
    pixels[0, 0, 0, 0] = np.nan
    with pytest.raises(NumericError, match="image_embeddings"):
        bench.encoder.encode(pixels)
    with pytest.raises(NumericError, match="region_embeddings"):
        bench.encoder.embed_regions((np.full_like(LEVELS[0], np.inf), LEVELS[1]), n_boxes(1))


@pytest.mark.parametrize("n", [0, MOST + 1])
def test_more_boxes_than_the_plan_takes_are_refused(bench: Bench, n: int) -> None:
    with pytest.raises(EngineError, match=f"{n} boxes"):
        bench.encoder.embed_regions(LEVELS, n_boxes(n))


def test_an_error_of_the_engine_reaches_the_caller_and_the_next_run_works(bench: Bench) -> None:
    plan = bench.plan("encode")
    plan.refuse = "out of memory"
    with pytest.raises(EngineError, match="out of memory"):
        bench.encoder.encode(PIXELS)
    plan.refuse = ""
    assert bench.encoder.encode(PIXELS).image_embeddings.shape == (2, 5)


def test_pixels_of_another_size_are_refused(bench: Bench) -> None:
    with pytest.raises(EngineError, match=r"\(1, 3, 4, 4\)"):
        bench.encoder.encode(PIXELS[:, :, :4, :4])


def test_closing_frees_everything_in_order(bundle: Bundle) -> None:
    bench = make(bundle)
    bench.encoder.warm_up()
    kept = bench.encoder.encode(PIXELS).pyramid
    bench.encoder.close()
    bench.encoder.close()
    assert bench.cuda.is_empty
    assert bench.plan("encode").is_closed
    assert bench.plan("regions").is_closed
    assert bench.closed == ["runtime"]
    assert bench.cuda.calls.index("drop") < bench.cuda.calls.index("free") < bench.cuda.calls.index("end_stream")
    for use in (lambda: bench.encoder.encode(PIXELS), lambda: kept[0], bench.encoder.gpu_use):
        with pytest.raises(EngineError, match="closed"):
            use()


@pytest.mark.parametrize("call", ["allocate", "allocate_pinned", "new_stream"])
def test_a_set_up_that_fails_frees_what_it_had(bundle: Bundle, call: str) -> None:
    cuda = FakeCuda()
    cuda.refuse[call] = "out of memory"
    with pytest.raises(EngineError, match="out of memory") as refused:
        make(bundle, cuda=cuda)
    assert cuda.is_empty
    if call == "allocate":
        assert "1,073,741,824 of 2,147,483,648 are free" in refused.value.problem


def test_what_cannot_be_freed_does_not_keep_the_rest(bundle: Bundle) -> None:
    bench = make(bundle)
    bench.encoder.warm_up()
    bench.cuda.refuse.update(dict.fromkeys(("free", "wait", "drop"), "gone"))
    bench.encoder.close()
    assert not bench.cuda.pinned
    assert not bench.cuda.streams


def test_the_use_of_the_gpu_is_told(bench: Bench) -> None:
    bench.encoder.warm_up()
    use = bench.encoder.gpu_use()
    assert use.weight_bytes == 10_000
    assert use.block_bytes["working memory"] == 1000
    assert use.block_bytes["region_embeddings"] == MOST * 5 * 4
    weights, graphs = use.lines()
    assert "1,024 of 2,048 free" in weights
    assert graphs == "CUDA graphs: encode, 1 region"


def test_plans_that_disagree_about_the_pyramid_are_refused(bundle: Bundle) -> None:
    bench = make(bundle)
    other = _record("regions", ["pyramid_0", "pyramid_1", "boxes"], ["region_embeddings"], HALF_PRECISION)
    with pytest.raises(EngineError, match=r"pyramid_0 float32 .* linear.*pyramid_0 float16 .* channels_last"):
        TensorRtEncoder(bundle.manifest, "x", bench.encode, PlanHalf(other, bench.regions.plan), FakeCuda())
    bench.encoder.close()


def test_a_plan_of_another_bundle_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    wider = tiny_bundle(tmp_path / "wider", language__embedding_length=6)
    with pytest.raises(PlanError, match="image_embeddings"):
        make(wider)


def test_a_plan_that_is_not_what_its_record_says_is_refused(bundle: Bundle) -> None:
    bench = make(bundle)
    bench.plan("encode").names = ("pixels", "secret")
    with pytest.raises(PlanError, match="secret"):
        TensorRtEncoder(bundle.manifest, "x", bench.encode, bench.regions, FakeCuda())
    rounded = msgspec.structs.replace(
        bench.regions.record,
        inputs=tuple(
            msgspec.structs.replace(one, dtype="float16") if one.name == "boxes" else one
            for one in bench.regions.record.inputs
        ),
    )
    bench.plan("encode").names = ("pixels", "image_embeddings", "pyramid_0", "pyramid_1")
    with pytest.raises(PlanError, match="boxes"):
        TensorRtEncoder(bundle.manifest, "x", bench.encode, PlanHalf(rounded, bench.regions.plan), FakeCuda())
