"""The two graphs in ONNX Runtime on the CPU; knows no photo, no prompt and no language model."""

from gpt4roi_runtime.arrays import Boxes, FeatureMap, PixelValues, RegionEmbeddings
from gpt4roi_runtime.backends.onnx_graph import OnnxGraph
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.bundle.manifest import FileEntry
from gpt4roi_runtime.errors import EngineError
from gpt4roi_runtime.vision.contract import (
    BOXES,
    PIXELS,
    GraphContract,
    encode_contract,
    pyramid_name,
    regions_contract,
)
from gpt4roi_runtime.vision.encoder import ImageFeatures


class OnnxRuntimeEncoder:
    """Encoder (see vision.encoder) on ONNX Runtime's CPU provider.

    Args:
        bundle: Its hashes were checked.
        n_threads: Threads of each graph; 0 takes as many as there are cores.

    Raises:
        EngineMissingError: No onnxruntime distribution is installed.
        BundleError: A graph cannot be loaded, or differs from the manifest's contract.
    """

    def __init__(self, bundle: Bundle, *, n_threads: int = 0) -> None:
        vision = bundle.manifest.vision
        weight_files = [bundle.path_of(external) for external in vision.external_data]

        def load(entry: FileEntry, contract: GraphContract) -> OnnxGraph:
            return OnnxGraph(bundle.path_of(entry), contract, weight_files=weight_files, n_threads=n_threads)

        self._encode: OnnxGraph | None = load(vision.encode, encode_contract(bundle.manifest))
        self._regions: OnnxGraph | None = load(vision.regions, regions_contract(bundle.manifest))
        self._engine = self._encode.engine

    @property
    def engine(self) -> str:
        """Name and version of the engine."""
        return self._engine

    def encode(self, pixels: PixelValues) -> ImageFeatures:
        """Run the encode graph: once an image."""
        embeddings, *pyramid = _opened(self._encode).run({PIXELS: pixels})
        return ImageFeatures(embeddings, tuple(pyramid))

    def embed_regions(self, pyramid: tuple[FeatureMap, ...], boxes: Boxes) -> RegionEmbeddings:
        """Run the region graph for 1 to 100 boxes."""
        feeds = {pyramid_name(number): level for number, level in enumerate(pyramid)}
        (embeddings,) = _opened(self._regions).run({**feeds, BOXES: boxes})
        regions: RegionEmbeddings = embeddings
        return regions

    def close(self) -> None:
        """Free the graphs; closing twice is harmless."""
        self._encode = self._regions = None


def _opened(graph: OnnxGraph | None) -> OnnxGraph:
    if graph is None:
        raise EngineError("the vision engine is closed", "Open the pipeline again.")
    return graph
