"""The two graphs in OpenVINO; knows no photo, no prompt and no language model."""

from gpt4roi_runtime.backends.openvino_graph import OpenVinoGraph
from gpt4roi_runtime.backends.openvino_settings import OpenVinoSettings
from gpt4roi_runtime.backends.two_graphs import TwoGraphs
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.bundle.manifest import FileEntry
from gpt4roi_runtime.vision.contract import GraphContract, encode_contract, regions_contract


class OpenVinoEncoder(TwoGraphs):
    """Encoder (see vision.encoder) on one of OpenVINO's devices.

    Args:
        bundle: Its hashes were checked.
        settings: Device, precision, threads, and where compiled graphs are kept.

    Raises:
        EngineMissingError: OpenVINO is not installed.
        EngineError: The device, or bfloat16 on it, is not there.
        BundleError: A graph cannot be loaded, or differs from the manifest's contract.
    """

    def __init__(self, bundle: Bundle, settings: OpenVinoSettings | None = None) -> None:
        vision = bundle.manifest.vision
        settings = settings or OpenVinoSettings()
        weight_files = [bundle.path_of(external) for external in vision.external_data]

        def load(entry: FileEntry, contract: GraphContract, how: OpenVinoSettings) -> OpenVinoGraph:
            return OpenVinoGraph(
                bundle.path_of(entry),
                contract,
                how,
                identity=(entry.sha256, *(external.sha256 for external in vision.external_data)),
                weight_files=weight_files,
            )

        super().__init__(
            load(vision.encode, encode_contract(bundle.manifest), settings),
            load(vision.regions, regions_contract(bundle.manifest), settings.for_coordinates()),
        )
