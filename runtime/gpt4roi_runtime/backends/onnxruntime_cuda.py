"""The two graphs in ONNX Runtime on an NVIDIA GPU; knows no photo, no prompt and no language model.

The pyramid stays on the GPU between the two graphs, an image's for as long as somebody holds it.
"""

import weakref
from contextlib import redirect_stdout, suppress
from io import StringIO
from threading import Lock
from typing import Any

import numpy as np

from gpt4roi_runtime.arrays import Boxes, FeatureMap, PixelValues, RegionEmbeddings
from gpt4roi_runtime.backends.cuda_device import check_cuda_version, find_cuda_device
from gpt4roi_runtime.backends.onnx_graph import OnnxGraph, OnnxProvider, import_onnxruntime
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.bundle.manifest import FileEntry
from gpt4roi_runtime.errors import EngineError, EngineMissingError, NumericError
from gpt4roi_runtime.vision.contract import (
    BOXES,
    PIXELS,
    GraphContract,
    encode_contract,
    pyramid_name,
    regions_contract,
)
from gpt4roi_runtime.vision.encoder import ImageFeatures, Pyramid, ResidentPyramid

INSTALL = (
    "pip uninstall -y onnxruntime; pip install 'gpt4roi-edge[ort-cuda]'. The two distributions overwrite each other; "
    "this one runs on the CPU too."
)
ON_CUDA = OnnxProvider(
    "CUDAExecutionProvider",
    "cuda",
    {
        "use_tf32": "0",  # float32 as the graphs promise, not a float of ten bits
        "cudnn_conv_algo_search": "HEURISTIC",  # trying them all would take seconds for every new number of regions
    },
)
_LEAST_CUDA = 13


def check_cuda() -> None:
    """Whether the GPU's provider can be tried at all, without loading it: it says why not only on standard error.

    Raises:
        EngineMissingError: There is no GPU, no driver that is new enough, or no distribution for a GPU.
    """
    device = find_cuda_device()
    ort = import_onnxruntime()
    if ON_CUDA.name not in ort.get_available_providers():
        raise EngineMissingError("the installed ONNX Runtime is one for the CPU", INSTALL)
    build = str(getattr(ort, "cuda_version", "") or "")
    least = int(build.partition(".")[0]) if build.partition(".")[0].isdigit() else _LEAST_CUDA
    check_cuda_version(device, least, f"onnxruntime-gpu {ort.__version__}", "Update the driver.")
    if hasattr(ort, "preload_dlls"):  # finds the libraries of NVIDIA's own wheels
        with redirect_stdout(StringIO()):  # where it prints what it does not find; the session will tell
            ort.preload_dlls()


class OnnxRuntimeCudaEncoder:
    """Encoder (see vision.encoder) on ONNX Runtime's provider for CUDA.

    Args:
        bundle: Its hashes were checked.
        n_threads: Threads of what stays on the processor; 0 takes as many as there are cores.
        provider: Another one, for tests where there is no GPU.

    Raises:
        EngineMissingError: There is no GPU or driver, or the provider does not load; says why.
        BundleError: A graph cannot be loaded, or differs from the manifest's contract.
    """

    def __init__(self, bundle: Bundle, *, n_threads: int = 0, provider: OnnxProvider = ON_CUDA) -> None:
        if provider is ON_CUDA:
            check_cuda()
        vision = bundle.manifest.vision
        weight_files = [bundle.path_of(external) for external in vision.external_data]

        def load(entry: FileEntry, contract: GraphContract) -> OnnxGraph:
            return OnnxGraph(
                bundle.path_of(entry), contract, weight_files=weight_files, n_threads=n_threads, provider=provider
            )

        self._shapes = [level.shape for level in encode_contract(bundle.manifest).outputs[1:]]
        self._encode: OnnxGraph | None = load(vision.encode, encode_contract(bundle.manifest))
        self._regions: OnnxGraph | None = load(vision.regions, regions_contract(bundle.manifest))
        version = import_onnxruntime().__version__
        self._engine = f"ONNX Runtime {version} ({provider.name.removesuffix('ExecutionProvider')})"
        self._lock = Lock()
        self._values: weakref.WeakKeyDictionary[ResidentPyramid, list[Any]] = weakref.WeakKeyDictionary()
        self._brought: tuple[weakref.ref[FeatureMap], list[Any]] | None = None
        self._side_px = vision.preprocessing.side_px

    @property
    def engine(self) -> str:
        """Name and version of the engine."""
        return self._engine

    def encode(self, pixels: PixelValues) -> ImageFeatures:
        """Run the encode graph: once an image. The pyramid stays on the GPU until it is looked at, and after.

        Raises:
            EngineError: The engine is closed, or failed.
            NumericError: NaN or infinity came out in the image's rows; of the pyramid, the regions will tell.
        """
        names = [pyramid_name(number) for number in range(len(self._shapes))]
        with self._lock:
            rows, *levels = _opened(self._encode).run_resident({PIXELS: pixels}, kept=names)
        pyramid = ResidentPyramid([tuple(int(size or 0) for size in shape) for shape in self._shapes], self._fetched)
        self._values[pyramid] = levels
        return ImageFeatures(rows, pyramid)

    def embed_regions(self, pyramid: Pyramid, boxes: Boxes) -> RegionEmbeddings:
        """Run the region graph on the pyramid where it lies; one from elsewhere is copied to the GPU first.

        Raises:
            EngineError: The engine is closed, or failed.
            NumericError: NaN or infinity came out.
        """
        graph = _opened(self._regions)
        with self._lock:
            levels = self._levels(graph, pyramid)
            feeds = {pyramid_name(number): level for number, level in enumerate(levels)}
            (embeddings,) = graph.run_resident({**feeds, BOXES: boxes})
        regions: RegionEmbeddings = embeddings
        return regions

    def warm_up(self) -> None:
        """Run each graph once: that a provider has loaded does not say that it runs here.

        Raises:
            EngineError: One does not.
        """
        pixels = np.zeros((1, 3, self._side_px, self._side_px), dtype=np.float32)
        with suppress(NumericError):  # it ran, and a picture of zeros is nobody's
            self.embed_regions(self.encode(pixels).pyramid, np.array([[0, 0, 1, 1]], dtype=np.float32))

    def close(self) -> None:
        """Free the graphs and every pyramid on the GPU; closing twice is harmless."""
        self._values.clear()
        self._brought = None
        self._encode = self._regions = None

    def _levels(self, graph: OnnxGraph, pyramid: Pyramid) -> list[Any]:
        """The same tensors on the GPU."""
        if isinstance(pyramid, ResidentPyramid):
            there = self._values.get(pyramid)
            return there if there is not None else [graph.moved(level) for level in pyramid.fetched()]
        if self._brought is None or self._brought[0]() is not pyramid[0]:
            self._brought = None  # before room is taken for the others
            self._brought = (weakref.ref(pyramid[0]), [graph.moved(level) for level in pyramid])
        return self._brought[1]

    def _fetched(self, pyramid: ResidentPyramid) -> tuple[FeatureMap, ...]:
        levels = self._values.get(pyramid)
        if levels is None:
            raise EngineError("the vision engine that has this pyramid is closed", "Encode the image again.")
        return tuple(np.array(level.numpy()) for level in levels)


def _opened(graph: OnnxGraph | None) -> OnnxGraph:
    if graph is None:
        raise EngineError("the vision engine is closed", "Open the pipeline again.")
    return graph
