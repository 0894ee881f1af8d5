import json
import math
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

from gpt4roi_export.modules.gpt4roi import VisionSizes
from gpt4roi_export.modules.pyramid import GROUPS, N_FUSIONS, N_LEVELS, Pyramid
from gpt4roi_export.modules.region_head import BINS, RegionHead
from gpt4roi_export.released import sizes as released_sizes
from gpt4roi_export.released.pairing import check_clip
from gpt4roi_export.released.read_release import read_clip, read_language
from gpt4roi_export.synthesis import synthesize as module
from gpt4roi_export.synthesis.contents import clip_entries, language_entries
from gpt4roi_export.synthesis.presets import preset
from gpt4roi_export.synthesis.synthesize import SynthesizedFolders, synthesize
from gpt4roi_export.synthesis.write_shard import FileFormat, size_bytes
from gpt4roi_export.tensor_files.open_tensors import open_tensors
from gpt4roi_runtime.errors import OutputError

FORMATS: tuple[FileFormat, ...] = ("torch", "torch-legacy", "safetensors")


def quiet(doing: str, done: float) -> None:
    pass


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> SynthesizedFolders:
    return synthesize("tiny", tmp_path_factory.mktemp("tiny") / "out", 0, quiet)


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def gpt4roi(folders: SynthesizedFolders) -> Path:
    assert folders.gpt4roi is not None
    return folders.gpt4roi


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_libraries_read_what_is_written(file_format: FileFormat, tmp_path: Path) -> None:
    folder = gpt4roi(synthesize("tiny", tmp_path / "out", 0, quiet, file_format=file_format))
    (index,) = folder.glob("*.index.json")
    weight_map = json.loads(index.read_text())["weight_map"]
    ours = open_tensors(folder)
    shards = sorted(set(weight_map.values()))
    assert len(shards) == 2
    for shard in shards:
        if file_format == "safetensors":
            theirs = safetensors.numpy.load_file(folder / shard)
        else:
            loaded = torch.load(folder / shard, weights_only=True)
            theirs = {name: tensor.numpy() for name, tensor in loaded.items()}
        assert {name for name, place in weight_map.items() if place == shard} == set(theirs)
        for name, array in theirs.items():
            np.testing.assert_array_equal(ours.read(name), array, strict=True)
            assert np.isfinite(array).all()


@pytest.mark.parametrize("file_format", FORMATS)
def test_all_formats_hold_the_same_numbers(file_format: FileFormat, tiny: SynthesizedFolders, tmp_path: Path) -> None:
    other = synthesize("tiny", tmp_path / "out", 0, quiet, file_format=file_format)
    for ours, theirs in ((gpt4roi(tiny), gpt4roi(other)), (tiny.clip, other.clip)):
        first, second = open_tensors(ours), open_tensors(theirs)
        assert list(first.facts.items()) == list(second.facts.items())
        for name in first.facts:
            np.testing.assert_array_equal(first.read(name), second.read(name))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tiny: SynthesizedFolders, tmp_path: Path) -> None:
    again = synthesize("tiny", tmp_path / "again", 0, quiet)
    other = synthesize("tiny", tmp_path / "other", 1, quiet)
    assert folder_bytes(gpt4roi(again)) == folder_bytes(gpt4roi(tiny))
    assert folder_bytes(again.clip) == folder_bytes(tiny.clip)
    changed = {
        name for name, content in folder_bytes(gpt4roi(other)).items() if content != folder_bytes(gpt4roi(tiny))[name]
    }
    assert changed == {"pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"}


def test_matrices_differ_from_each_other_and_have_full_rank(tiny: SynthesizedFolders) -> None:
    tensors = open_tensors(gpt4roi(tiny))
    query = tensors.read("model.layers.0.self_attn.q_proj.weight").astype(np.float64)
    key = tensors.read("model.layers.0.self_attn.k_proj.weight").astype(np.float64)
    assert abs(np.corrcoef(query.ravel(), key.ravel())[0, 1]) < 0.05
    assert np.linalg.matrix_rank(query) == len(query)
    np.testing.assert_allclose(query.std(), 1 / math.sqrt(len(query)), rtol=0.05)


def test_a_tiny_one_is_a_release_of_30_mb_at_most(tiny: SynthesizedFolders) -> None:
    release, clip = read_language(gpt4roi(tiny), "merged"), read_clip(tiny.clip)
    check_clip(release, clip)
    assert release.n_padding_rows == 0
    assert sum(path.stat().st_size for path in gpt4roi(tiny).parent.rglob("*")) < 30_000_000
    assert release.sizes.hidden_size % 256 == release.sizes.intermediate_size % 256 == 0


def test_the_region_modules_of_this_project_have_the_same_tensors(tiny: SynthesizedFolders) -> None:
    from gpt4roi_export.checkpoint import our_name

    region = read_language(gpt4roi(tiny), "merged").region
    assert region is not None
    sizes = VisionSizes(
        width=region.width,
        box_hidden=region.box_hidden,
        feature_width=region.feature_width,
        embedding_length=region.embedding_length,
    )
    pyramid, head = Pyramid(sizes.width), RegionHead(sizes.region_head_sizes())
    ours = {f"pyramid.{name}": tuple(tensor.shape) for name, tensor in pyramid.state_dict().items()}
    ours |= {f"region_head.{name}": tuple(tensor.shape) for name, tensor in head.state_dict().items()}
    theirs = {our_name(name): shape for name, shape in region.shapes().items()}
    assert {name: shape for name, shape in theirs.items() if not name.startswith("projector")} == ours
    assert (N_LEVELS, N_FUSIONS, BINS) == (released_sizes.N_LEVELS, released_sizes.N_FUSIONS, released_sizes.BINS)
    assert sizes.width % GROUPS == 0


def test_a_forward_pass_stays_finite_and_tells_tokens_apart(tiny: SynthesizedFolders) -> None:
    release = read_language(gpt4roi(tiny), "merged")
    sizes = release.sizes
    config = LlamaConfig(
        vocab_size=sizes.vocabulary_size,
        hidden_size=sizes.hidden_size,
        intermediate_size=sizes.intermediate_size,
        num_hidden_layers=sizes.n_layers,
        num_attention_heads=sizes.n_heads,
        rms_norm_eps=sizes.rms_eps,
    )
    model = LlamaForCausalLM(config).train(mode=False)
    state = {name: torch.from_numpy(release.tensors.read(name)).float() for name in sizes.shapes()}
    model.load_state_dict(state)
    with torch.no_grad():
        logits = model(torch.arange(40)[None]).logits[0]
    assert torch.isfinite(logits).all()
    assert 1 < logits.std() < 10
    assert len(set(logits.argmax(dim=-1).tolist())) > 20


def test_the_clip_stays_finite(tiny: SynthesizedFolders) -> None:
    clip = read_clip(tiny.clip)
    config = CLIPVisionConfig(
        hidden_size=clip.sizes.width,
        intermediate_size=clip.sizes.mlp_width,
        num_hidden_layers=clip.sizes.n_layers,
        num_attention_heads=clip.sizes.n_heads,
        patch_size=clip.sizes.patch_px,
    )
    model = CLIPVisionModel(config).train(mode=False)
    names = list(model.state_dict())
    prefix = "" if names[0].startswith("vision_model.") else "vision_model."
    model.load_state_dict({name: torch.from_numpy(clip.tensors.read(prefix + name)) for name in names})
    with torch.no_grad():
        states = model(torch.randn(1, 3, 224, 224), output_hidden_states=True).hidden_states
    assert len(states) == 25
    assert all(torch.isfinite(state).all() and 0.1 < state.std() < 20 for state in states)


# ---- the large ones, as far as they can be looked at without writing them ----


@pytest.mark.parametrize(("size", "n_weights"), [("7b", 6_738_415_616), ("13b", 13_015_864_320)])
def test_the_large_ones_have_the_size_of_llama(size: str, n_weights: int) -> None:
    sizes = preset("7b" if size == "7b" else "13b", 32000)
    shapes = module._base_sizes(sizes).shapes()
    assert sum(math.prod(shape) for shape in shapes.values()) == n_weights
    shards = module._shards(language_entries(sizes.language, sizes.region), sizes.shard_bytes)
    assert len(shards) == (2 if size == "7b" else 3)
    assert all(sum(map(size_bytes, shard)) <= 10_000_000_000 for shard in shards)
    assert sum(entry.n_numbers for entry in clip_entries(sizes.clip) if entry.dtype == "float32") > 303_000_000
    assert sizes.region == released_sizes.RegionSizes(1024, 256, 1024, sizes.language.hidden_size)


def test_too_small_a_disk_is_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 14_000_000_000}))
    with pytest.raises(OutputError, match=r"takes 15\.\d GB, but .* has 14\.0 GB free"):
        synthesize("7b", tmp_path / "out", 0, quiet)
    assert not list(tmp_path.iterdir())


def test_a_taken_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="already there"):
        synthesize("tiny", tmp_path, 0, quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_stopped_in_the_middle_nothing_is_left(tmp_path: Path) -> None:
    told: list[float] = []

    def stopping(doing: str, done: float) -> None:
        told.append(done)
        if done > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize("tiny", tmp_path / "out", 0, stopping)
    assert not list(tmp_path.iterdir())
    assert told == sorted(told)


def test_progress_ends_at_one(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    synthesize("tiny", tmp_path / "out", 0, lambda doing, done: told.append((doing, done)), as_delta=True)
    assert told[-1][1] == 1.0
    assert [done for _, done in told] == sorted(done for _, done in told)
    assert {doing.split(":")[0] for doing, _ in told} == {"writing clip", "writing base", "writing delta"}
