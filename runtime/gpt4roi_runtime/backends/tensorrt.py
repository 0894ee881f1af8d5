"""The two graphs as plans of TensorRT or TensorRT for RTX; knows no photo, no prompt and no language model.

One stream does everything in turn. The pyramid is written by one plan and read by the other where it lies, on the GPU;
the processor gets it when somebody looks at it, or when the next image takes its place. After the second run of a shape
nothing is allocated any more.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from threading import RLock

import numpy as np

from gpt4roi_runtime.arrays import Boxes, FeatureMap, PixelValues, RegionEmbeddings
from gpt4roi_runtime.backends.cuda_driver import CudaDriver
from gpt4roi_runtime.backends.cuda_memory import CudaMemory
from gpt4roi_runtime.backends.cuda_work import RecordedWork
from gpt4roi_runtime.backends.graph_checks import check_outputs
from gpt4roi_runtime.backends.plan_tensors import check_record, contract_shape, load, store, stored_bytes, stored_shape
from gpt4roi_runtime.backends.tensorrt_library import LoadedPlan, PlanContext
from gpt4roi_runtime.bundle.manifest import Manifest
from gpt4roi_runtime.bundle.plans import PlanRecord, PlanTensor
from gpt4roi_runtime.errors import EngineError, NumericError
from gpt4roi_runtime.vision.contract import (
    BOXES,
    IMAGE_EMBEDDINGS,
    PIXELS,
    REGION_EMBEDDINGS,
    encode_contract,
    regions_contract,
)
from gpt4roi_runtime.vision.encoder import ImageFeatures, Pyramid, ResidentPyramid

MOST_RECORDED = 4
"""Numbers of regions up to which a run is recorded, each by itself; a run of more outlasts its launches."""
_MIB = 1 << 20


@dataclass(frozen=True)
class PlanHalf:
    """One plan, loaded, and what its record says of it."""

    record: PlanRecord
    plan: LoadedPlan


@dataclass(frozen=True)
class GpuUse:
    """What an encoder takes of a GPU, and how it runs there.

    Attributes:
        weight_bytes: Of both plans.
        block_bytes: Of everything else, by name.
        free_bytes: Left on the GPU, for everybody.
        total_bytes: Of the GPU.
        recorded: What is played as one CUDA graph.
        refused: What cannot be, and why.
    """

    weight_bytes: int
    block_bytes: dict[str, int]
    free_bytes: int
    total_bytes: int
    recorded: tuple[str, ...]
    refused: tuple[str, ...]

    def lines(self) -> tuple[str, ...]:
        """For a person."""
        blocks = ", ".join(f"{name} {n_bytes / _MIB:.1f}" for name, n_bytes in self.block_bytes.items())
        return (
            f"GPU memory (MiB): weights {self.weight_bytes / _MIB:.1f}, {blocks}; "
            f"{self.free_bytes / _MIB:,.0f} of {self.total_bytes / _MIB:,.0f} free",
            f"CUDA graphs: {', '.join(self.recorded) or 'none'}",
            *(f"no CUDA graph of {words}" for words in self.refused),
        )


class TensorRtEncoder:
    """Encoder (see vision.encoder) of two plans.

    Args:
        manifest: Of the bundle that the plans were built of.
        engine: Name and version, for people.
        encode: The plan of the encode graph.
        regions: The plan of the regions graph.
        driver: Of the GPU.
        on_close: Frees what the plans stand on, after them.

    Raises:
        PlanError: A plan is not what the manifest promises.
        EngineError: There is not enough memory, or a plan cannot be run. Everything is freed then.
    """

    def __init__(
        self,
        manifest: Manifest,
        engine: str,
        encode: PlanHalf,
        regions: PlanHalf,
        driver: CudaDriver,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._halves = (encode, regions)
        self._contracts = (encode_contract(manifest), regions_contract(manifest))
        self._driver = driver
        self._on_close = on_close
        self._lock = RLock()
        self._memory = CudaMemory(driver)
        self._stream: int | None = None
        self._works: dict[str, RecordedWork] = {}
        self._counted: dict[int, PlanContext] = {}
        self._resident: weakref.ref[object] | None = None
        self._is_open = True
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    @property
    def engine(self) -> str:
        """Name and version of the engine."""
        return self._engine

    def encode(self, pixels: PixelValues) -> ImageFeatures:
        """Run the encode plan: once an image. The pyramid stays on the GPU until it is looked at.

        Raises:
            EngineError: The encoder is closed, or the GPU refused.
            NumericError: NaN or infinity came out in the image's rows; of the pyramid, the regions will tell.
        """
        wanted = contract_shape(self._pixels)
        if pixels.shape != wanted:
            raise EngineError(f"pixels of shape {pixels.shape}, not {wanted}", "Preprocess the image for this bundle.")
        with self._lock:
            self._opened()
            self._rescue()
            self._resident = None
            store(self._pixels, pixels, self._pixels_here)
            with self._awaited():
                self._works["encode"].run()
            rows = load(self._rows, self._rows_here)
            pyramid = ResidentPyramid([contract_shape(level) for level in self._levels], self._fetched)
            self._resident = weakref.ref(pyramid)
        check_outputs(replace(self._contracts[0], outputs=self._contracts[0].outputs[:1]), {}, (rows,))
        return ImageFeatures(rows, pyramid)

    def embed_regions(self, pyramid: Pyramid, boxes: Boxes) -> RegionEmbeddings:
        """Run the regions plan on the pyramid where it lies; one from elsewhere is copied to the GPU first.

        Raises:
            EngineError: The encoder is closed, there are too many boxes, or the GPU refused.
            NumericError: NaN or infinity came out.
        """
        n = len(boxes)
        if not 1 <= n <= self._most:
            raise EngineError(f"{n} boxes; the plan takes 1 to {self._most}", "Ask about fewer regions at a time.")
        with self._lock:
            self._opened()
            self._bring(pyramid)
            self._boxes_here[:n] = boxes
            with self._awaited():
                if n <= MOST_RECORDED:
                    self._work_of(n).run()
                else:
                    self._run_regions(self._context_of(0), n)
            embeddings: RegionEmbeddings = load(self._regions, self._regions_here[:n])
        check_outputs(self._contracts[1], {BOXES: boxes}, [embeddings])
        return embeddings

    def warm_up(self) -> None:
        """Run both plans twice, as every shape of them needs before it is at its best; says whether they run at all.

        Raises:
            EngineError: One does not.
        """
        pixels = np.zeros(contract_shape(self._pixels), dtype=np.float32)
        whole = np.array([[0, 0, 1, 1]], dtype=np.float32)
        for _ in range(2):
            with suppress(NumericError):  # it ran, and a picture of zeros is nobody's
                self.embed_regions(self.encode(pixels).pyramid, whole)

    def gpu_use(self) -> GpuUse:
        """What it takes of the GPU.

        Raises:
            EngineError: It is closed.
        """
        with self._lock:
            self._opened()
            free, total = self._driver.memory()
            return GpuUse(
                weight_bytes=sum(half.plan.weight_bytes for half in self._halves),
                block_bytes=self._memory.sizes(),
                free_bytes=free,
                total_bytes=total,
                recorded=tuple(name for name, work in self._works.items() if work.is_recorded),
                refused=tuple(f"{name}: {work.refused}" for name, work in self._works.items() if work.refused),
            )

    def close(self) -> None:
        """Free the GPU; closing twice is harmless. A pyramid that nobody looked at is gone."""
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            self._resident = None
            if self._stream is not None:
                with suppress(EngineError):
                    self._driver.wait(self._stream)
            for work in self._works.values():
                work.close()
            self._counted.clear()
            for half in self._halves:
                half.plan.close()
            self._on_close()
            self._memory.free()
            if self._stream is not None:
                with suppress(EngineError):
                    self._driver.end_stream(self._stream)
            self._stream = None

    # --- set-up

    def _set_up(self) -> None:
        encode, regions = self._halves
        for half, contract in zip(self._halves, self._contracts, strict=True):
            check_record(half.record, contract, half.plan.tensor_names())
        written = {tensor.name: tensor for tensor in encode.record.outputs}
        read = {tensor.name: tensor for tensor in regions.record.inputs}
        self._levels = [written[tensor.name] for tensor in self._contracts[0].outputs[1:]]
        for level in self._levels:
            if read[level.name] != level:
                raise EngineError(
                    f"the encode plan writes {_said(level)}, but the regions plan reads {_said(read[level.name])}",
                    "Build both again: gpt4roi-export engines --force.",
                )
        profile = regions.record.key.profile
        self._most = profile.most if profile is not None else 1
        self._pixels, self._rows = encode.record.inputs[0], written[IMAGE_EMBEDDINGS]
        self._boxes, self._regions = read[BOXES], regions.record.outputs[0]
        self._stream = self._driver.new_stream()
        for tensor in (self._pixels, self._rows, *self._levels, self._boxes, self._regions):
            self._memory.block(tensor.name, stored_bytes(tensor, self._most))
        self._memory.block("working memory", max(half.plan.working_bytes for half in self._halves))
        self._pixels_here, self._rows_here, self._boxes_here, self._regions_here = (
            self._memory.pinned(tensor.name, stored_shape(tensor, self._most), tensor.dtype)
            for tensor in (self._pixels, self._rows, self._boxes, self._regions)
        )
        context = self._new_context(encode)
        self._works["encode"] = RecordedWork(self._driver, self._stream, partial(self._run_encode, context))

    def _new_context(self, half: PlanHalf) -> PlanContext:
        """A way through a plan in the memory that both share: they run one after the other, in one stream."""
        context = half.plan.new_context(self._memory.address("working memory"))
        for tensor in (*half.record.inputs, *half.record.outputs):
            context.set_address(tensor.name, self._memory.address(tensor.name))
        return context

    def _context_of(self, n: int) -> PlanContext:
        """Of one number of regions, or, for 0, the one whose shape changes: a recording must keep its own."""
        if n not in self._counted:
            context = self._new_context(self._halves[1])
            if n:
                context.set_shape(BOXES, (n, 4))
            self._counted[n] = context
        return self._counted[n]

    def _work_of(self, n: int) -> RecordedWork:
        name = f"{n} region{'s' if n > 1 else ''}"
        if name not in self._works:
            steps = partial(self._run_regions, self._context_of(n), n)
            self._works[name] = RecordedWork(self._driver, self._opened(), steps)
        return self._works[name]

    # --- steps

    def _run_encode(self, context: PlanContext) -> None:
        stream, rows = self._opened(), self._rows
        address = self._memory.address
        self._driver.copy_in(address(PIXELS), self._pixels_here.ctypes.data, stored_bytes(self._pixels), stream)
        context.enqueue(stream)
        self._driver.copy_out(self._rows_here.ctypes.data, address(rows.name), stored_bytes(rows), stream)

    def _run_regions(self, context: PlanContext, n: int) -> None:
        stream, regions = self._opened(), self._regions
        if n > MOST_RECORDED:
            context.set_shape(BOXES, (n, 4))
        address = self._memory.address
        self._driver.copy_in(address(BOXES), self._boxes_here.ctypes.data, stored_bytes(self._boxes, n), stream)
        context.enqueue(stream)
        self._driver.copy_out(
            self._regions_here.ctypes.data, address(REGION_EMBEDDINGS), stored_bytes(regions, n), stream
        )

    def _bring(self, pyramid: Pyramid) -> None:
        """Make a pyramid the one that lies on the GPU."""
        token = pyramid if isinstance(pyramid, ResidentPyramid) else pyramid[0]
        if self._resident is not None and self._resident() is token:
            return
        levels = pyramid.fetched() if isinstance(pyramid, ResidentPyramid) else pyramid
        shapes, wanted = [level.shape for level in levels], [contract_shape(level) for level in self._levels]
        if shapes != wanted:
            raise EngineError(f"the pyramid's levels are {shapes}, not {wanted}", "It is another bundle's.")
        self._rescue()
        self._resident = None
        kept = [np.zeros(stored_shape(tensor), tensor.dtype) for tensor in self._levels]
        with self._awaited() as stream:  # until then the GPU reads what is kept
            for tensor, values, here in zip(self._levels, levels, kept, strict=True):
                store(tensor, values, here)
                self._driver.copy_in(self._memory.address(tensor.name), here.ctypes.data, stored_bytes(tensor), stream)
        self._resident = weakref.ref(token)

    def _rescue(self) -> None:
        """What lies on the GPU is about to be overwritten: whoever still holds it gets a copy."""
        held = None if self._resident is None else self._resident()
        if isinstance(held, ResidentPyramid):
            held.fetched()

    def _fetched(self, pyramid: ResidentPyramid) -> tuple[FeatureMap, ...]:
        with self._lock:
            if pyramid.is_fetched:  # by another thread, while this one waited for its turn
                return pyramid.fetched()
            self._opened()
            if self._resident is None or self._resident() is not pyramid:
                raise EngineError("the pyramid is not on the GPU any more", "Encode the image again.")
            places = [np.empty(stored_shape(tensor), tensor.dtype) for tensor in self._levels]
            with self._awaited() as stream:  # until then the GPU writes into them
                for tensor, place in zip(self._levels, places, strict=True):
                    address = self._memory.address(tensor.name)
                    self._driver.copy_out(place.ctypes.data, address, stored_bytes(tensor), stream)
            return tuple(load(tensor, place) for tensor, place in zip(self._levels, places, strict=True))

    @contextmanager
    def _awaited(self) -> Iterator[int]:
        """The stream; whatever is put into it is done behind this, also where a step refused in between.

        Memory of the processor that a copy still reads or writes must not be given back or written anew.
        """
        stream = self._opened()
        try:
            yield stream
        except BaseException:
            with suppress(EngineError):  # what refused says more
                self._driver.wait(stream)
            raise
        self._driver.wait(stream)

    def _opened(self) -> int:
        if not self._is_open or self._stream is None:
            raise EngineError("the vision engine is closed", "Open the pipeline again.")
        return self._stream


def _said(tensor: PlanTensor) -> str:
    return f"{tensor.name} {tensor.dtype} {list(tensor.shape)} {tensor.layout}"
