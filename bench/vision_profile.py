"""Shows where an engine spends its time in the two graphs: milliseconds by kind of node, and the slowest nodes.

    .venv/bin/python bench/vision_profile.py --engine onnxruntime --threads 2
    .venv/bin/python bench/vision_profile.py --engine openvino --precision bf16 --regions 16 --bundle FOLDER

An engine that counts is a little slower than one that does not: take the shares, not the sums.
"""

import argparse
import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from gpt4roi_runtime import default_bundle, load_image, open_bundle
from gpt4roi_runtime.backends.graph_checks import check_external_weights
from gpt4roi_runtime.backends.onnx_graph import import_onnxruntime
from gpt4roi_runtime.backends.openvino_joined import keep_joined
from gpt4roi_runtime.backends.openvino_library import import_openvino
from gpt4roi_runtime.backends.processor import usable_cores
from gpt4roi_runtime.backends.vision_tuning import some_boxes
from gpt4roi_runtime.vision.contract import BOXES, PIXELS, encode_contract
from gpt4roi_runtime.vision.preprocess import preprocess

PHOTO = Path(__file__).resolve().parents[1] / "runtime" / "gpt4roi_runtime" / "samples" / "astronaut.jpg"
N_RUNS = 5
N_SHOWN = 12

Times = dict[tuple[str, str], list[float]]
"""Kind and name of a node -> milliseconds of every run."""
Feeds = dict[str, np.ndarray]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=default_bundle())
    parser.add_argument("--engine", choices=["onnxruntime", "openvino"], default="onnxruntime")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="of OpenVINO's encode graph")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--regions", type=int, default=16)
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    vision = bundle.manifest.vision
    weights = [bundle.path_of(entry) for entry in vision.external_data]
    feeds: Feeds = {PIXELS: preprocess(load_image(PHOTO), vision.preprocessing)}
    for graph in (vision.encode, vision.regions):
        path = bundle.path_of(graph)
        check_external_weights(path, weights)
        precision = options.precision if graph == vision.encode else "f32"
        profile = _openvino if options.engine == "openvino" else _onnxruntime
        times, outputs = profile(path, feeds, options.threads, precision)
        _print(f"{graph.path}, {options.engine} {precision}, {options.threads} threads", times)
        levels = [tensor.name for tensor in encode_contract(bundle.manifest).outputs][1:]
        feeds = {**dict(zip(levels, outputs[1:], strict=False)), BOXES: some_boxes(options.regions)}


def _openvino(path: Path, feeds: Feeds, n_threads: int, precision: str) -> tuple[Times, list[np.ndarray]]:
    openvino = import_openvino()
    reader = openvino.frontend.FrontEndManager().load_by_framework("onnx")
    model = reader.convert(reader.load(str(path)))
    keep_joined(openvino, model)
    config = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": n_threads, "PERF_COUNT": True}
    request = openvino.Core().compile_model(model, "CPU", config).create_infer_request()
    times: Times = defaultdict(list)
    found = request.infer(feeds)
    for _ in range(N_RUNS):
        found = request.infer(feeds)
        for node in request.profiling_info:
            kind = f"{node.node_type} {node.exec_type}"
            times[kind, node.node_name].append(node.real_time.total_seconds() * 1e3)
    return times, [np.array(found[index]) for index in range(len(model.outputs))]


def _onnxruntime(path: Path, feeds: Feeds, n_threads: int, _: str) -> tuple[Times, list[np.ndarray]]:
    ort = import_onnxruntime()
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.intra_op_num_threads = n_threads
        options.log_severity_level = 4
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _run in range(N_RUNS + 1):
            outputs = session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times: Times = defaultdict(list)
    for kind, name, milliseconds in _nodes(events):
        times[kind, name].append(milliseconds)
    return {node: runs[1:] for node, runs in times.items()}, outputs  # the first run is not like the others


def _nodes(events: list[dict[str, object]]) -> Iterator[tuple[str, str, float]]:
    for event in events:
        name, facts = str(event["name"]), event.get("args")
        if event["cat"] == "Node" and name.endswith("_kernel_time") and isinstance(facts, dict):
            yield str(facts["op_name"]), name.removesuffix("_kernel_time"), float(str(event["dur"])) / 1e3


def _print(title: str, times: Times) -> None:
    medians = {node: statistics.median(runs) for node, runs in times.items() if runs}
    total = sum(medians.values())
    kinds: dict[str, float] = defaultdict(float)
    for (kind, _), milliseconds in medians.items():
        kinds[kind] += milliseconds
    table = Table("kind, or node", "ms", "share", title=f"{title}: {total:.1f} ms")
    for kind, milliseconds in sorted(kinds.items(), key=lambda pair: -pair[1])[:N_SHOWN]:
        table.add_row(kind, f"{milliseconds:.2f}", f"{milliseconds / total:.0%}")
    table.add_section()
    for (kind, name), milliseconds in sorted(medians.items(), key=lambda pair: -pair[1])[:N_SHOWN]:
        table.add_row(f"{name} ({kind})", f"{milliseconds:.2f}", f"{milliseconds / total:.0%}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
