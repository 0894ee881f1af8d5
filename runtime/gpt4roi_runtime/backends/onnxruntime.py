"""The two graphs in ONNX Runtime on the CPU; knows no photo, no prompt and no language model."""

from gpt4roi_runtime.backends.onnx_graph import OnnxGraph
from gpt4roi_runtime.backends.two_graphs import TwoGraphs
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.bundle.manifest import FileEntry
from gpt4roi_runtime.vision.contract import GraphContract, encode_contract, regions_contract


class OnnxRuntimeEncoder(TwoGraphs):
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

        super().__init__(
            load(vision.encode, encode_contract(bundle.manifest)),
            load(vision.regions, regions_contract(bundle.manifest)),
        )
