import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig as WholeClipConfig
from transformers import CLIPModel, CLIPTextConfig, CLIPVisionConfig, CLIPVisionModel

from gpt4roi_export.released.clip_release import ClipRelease
from gpt4roi_export.released.language_release import LanguageRelease
from gpt4roi_export.released.read_release import read_clip, read_language, read_release
from gpt4roi_export.released.tokenizer_files import count_pieces, read_tokenizer_files
from gpt4roi_export.synthesis.synthesize import SynthesizedFolders
from gpt4roi_runtime.errors import BundleError
from tests.export.released.conftest import Arrays, Change, changed, path_of


def refused(folder: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        read_release(folder)
    assert caught.value.advice


def test_each_folder_is_recognised(tiny: SynthesizedFolders, merged: SynthesizedFolders) -> None:
    kinds = {}
    for folder in (tiny.base, tiny.delta, merged.gpt4roi):
        release = read_release(path_of(folder))
        assert isinstance(release, LanguageRelease)
        kinds[path_of(folder).name] = release.kind
    assert kinds == {"base": "base", "delta": "delta", "gpt4roi": "merged"}
    assert isinstance(read_release(tiny.clip), ClipRelease)


def test_the_facts_of_a_delta(tiny: SynthesizedFolders) -> None:
    delta = read_language(path_of(tiny.delta), "delta")
    assert (delta.sizes.n_layers, delta.sizes.hidden_size, delta.sizes.head_size) == (2, 256, 64)
    assert (delta.sizes.context_length, delta.sizes.rms_eps, delta.sizes.rope_theta) == (2048, 1e-6, 10000.0)
    assert delta.sizes.vocabulary_size == delta.tokenizer.n_pieces + 6
    assert list(delta.tokenizer.added_tokens)[:3] == ["[PAD]", "<im_patch>", "<bbox>"]
    assert delta.vision_tower == "openai/clip-vit-large-patch14"
    assert not any("inv_freq" in name for name in delta.tensors.facts)
    assert {path.name for path in delta.files} >= {"config.json", "tokenizer.model", "pytorch_model.bin.index.json"}
    assert all(path.is_file() for path in delta.files)


def test_a_licence_beside_the_weights_is_found(tiny: SynthesizedFolders, tmp_path: Path) -> None:
    folder = changed(path_of(tiny.base), tmp_path / "base")
    assert read_language(folder, "base").licence is None
    (folder / "LICENSE").write_text("terms")
    assert read_language(folder, "base").licence == folder / "LICENSE"


def test_the_earliest_conversions_words_are_understood(tiny: SynthesizedFolders, tmp_path: Path) -> None:
    config = {
        "max_position_embeddings": None,
        "max_sequence_length": 1024,
        "unknown": {"deep": [1]},
        "rope_scaling": None,
    }
    folder = changed(path_of(tiny.base), tmp_path / "base", config=config)
    assert read_language(folder, "base").sizes.context_length == 1024


@pytest.mark.parametrize(
    ("name", "kind", "match"),
    [
        ("delta", "base", "is a delta, to be added to LLaMA-7B, not a LLaMA"),
        ("delta", "merged", "is a delta, to be added to LLaMA-7B, not a whole GPT4RoI"),
        ("base", "delta", "is a LLaMA without GPT4RoI's region module, not a delta"),
        ("clip", "base", "is a CLIP, not a LLaMA"),
    ],
)
def test_a_folder_in_another_ones_place_is_refused(name: str, kind: str, match: str, tiny: SynthesizedFolders) -> None:
    folder = path_of({"delta": tiny.delta, "base": tiny.base, "clip": tiny.clip}[name])
    with pytest.raises(BundleError, match=match) as caught:
        read_language(folder, "base" if kind == "base" else "delta" if kind == "delta" else "merged")
    assert f"--{'checkpoint' if kind == 'merged' else kind}" in caught.value.advice


def test_a_merged_checkpoint_given_as_delta_or_clip_is_refused(merged: SynthesizedFolders) -> None:
    with pytest.raises(BundleError, match="is a whole GPT4RoI, not a delta"):
        read_language(path_of(merged.gpt4roi), "delta")
    with pytest.raises(BundleError, match="is a whole GPT4RoI, not a CLIP"):
        read_clip(path_of(merged.gpt4roi))


def test_a_file_or_nothing_is_refused(tiny: SynthesizedFolders, tmp_path: Path) -> None:
    refused(tiny.clip / "config.json", "is a file")
    refused(tmp_path / "nowhere", "does not exist")
    refused(tmp_path, "holds no checkpoint")


def test_metas_own_format_is_refused(tmp_path: Path) -> None:
    torch.save({"tok_embeddings.weight": torch.ones(2, 2)}, tmp_path / "consolidated.00.pth")
    (tmp_path / "params.json").write_text("{}")
    refused(tmp_path, "Meta's own format")
    torch.save({"tok_embeddings.weight": torch.ones(2, 2)}, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text("{}")
    refused(tmp_path, "Meta's own format")


def test_another_model_is_refused(tmp_path: Path) -> None:
    torch.save({"transformer.h.0.attn.weight": torch.ones(2, 2)}, tmp_path / "pytorch_model.bin")
    refused(tmp_path, "neither a LLaMA nor a CLIP: its tensors begin with transformer.h.0.attn.weight")


def test_the_newest_words_are_understood(tiny: SynthesizedFolders, tmp_path: Path) -> None:
    folder = changed(path_of(tiny.base), tmp_path / "base", config={"rope_parameters": {"rope_theta": 5000.0}})
    assert read_language(folder, "base").sizes.rope_theta == 5000.0


def test_a_missing_config_is_named(tiny: SynthesizedFolders, tmp_path: Path) -> None:
    folder = changed(path_of(tiny.base), tmp_path / "base")
    (folder / "config.json").unlink()
    refused(folder, r"has no config\.json")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"hidden_size": "x"}', b"[" * 99999, b"\xff"])
def test_a_damaged_config_is_refused(content: bytes, tiny: SynthesizedFolders, tmp_path: Path) -> None:
    folder = changed(path_of(tiny.base), tmp_path / "base")
    (folder / "config.json").write_bytes(content)
    refused(folder, r"config\.json: ")


def drop(*parts: str) -> Change:
    def change(arrays: Arrays) -> None:
        for name in [name for name in arrays if any(part in name for part in parts)]:
            del arrays[name]

    return change


def put(name: str, array: np.ndarray) -> Change:
    return lambda arrays: arrays.update({name: array})


Q_PROJ = "model.layers.1.self_attn.q_proj.weight"


@pytest.mark.parametrize(
    ("change", "config", "match"),
    [
        (drop("layers.1."), {}, r"lacks model\.layers\.1\.self_attn\.q_proj\.weight, .* and 6 more"),
        (drop("lm_head"), {}, r"lacks lm_head\.weight"),
        (drop("pconvs.3.bias"), {}, r"lacks model\.spi_module\.roi_align\.pconvs\.3\.bias"),
        (drop("spi_module"), {}, "a LLaVA, not a GPT4RoI"),
        (drop("flatten_linear"), {}, r"lacks model\.spi_module\.roi_align\.flatten_linear\.weight"),
        (put(Q_PROJ, np.zeros((256, 128), np.float16)), {}, r"q_proj\.weight is 256 x 128, expected 256 x 256"),
        (put(Q_PROJ, np.zeros((256, 256), np.int8)), {}, r"q_proj\.weight is int8, expected one of bfloat16"),
        (put("model.layers.0.extra.qweight", np.zeros(2, np.float16)), {}, "no place for"),
        (put("model.layers.2.mlp.up_proj.weight", np.zeros(2, np.float16)), {}, "no place for"),
        (None, {"hidden_size": 512}, r"embed_tokens\.weight is 585 x 256, expected 585 x 512"),
        (None, {"num_hidden_layers": 3}, r"lacks model\.layers\.2"),
        (None, {"num_hidden_layers": 1 << 40}, "counts 1099511627776 layers"),
        (None, {"num_hidden_layers": 0}, "0 layers"),
        (None, {"num_attention_heads": 3}, "3 heads"),
        (None, {"num_attention_heads": 256}, "heads of an even width"),
        (None, {"num_key_value_heads": 2}, r"k_proj\.weight is 256 x 256, expected 128 x 256"),
        (None, {"rope_scaling": {"type": "linear"}}, "scales the rotary positions"),
        (None, {"rope_parameters": {"rope_type": "yarn"}}, "scales the rotary positions"),
        (None, {"hidden_act": "gelu"}, "activation 'gelu'"),
        (None, {"mm_vision_select_layer": -1}, "mm_vision_select_layer is -1, expected -2"),
        (None, {"mm_use_im_start_end": False}, "mm_use_im_start_end is false"),
    ],
)
def test_what_does_not_fit_is_refused(
    change: Change | None, config: Mapping[str, object], match: str, tiny: SynthesizedFolders, tmp_path: Path
) -> None:
    refused(changed(path_of(tiny.delta), tmp_path / "delta", change, config), match)


def test_a_delta_of_another_model_is_no_base(tiny: SynthesizedFolders, tmp_path: Path) -> None:
    folder = changed(path_of(tiny.delta), tmp_path / "vicuna-delta", drop("spi_module", "mm_projector"))
    refused(folder, "another model's delta")


# ---- vocabulary ----


def tokens(folder: Path, added: Mapping[str, int]) -> Path:
    (folder / "added_tokens.json").write_text(json.dumps(added))
    return folder


GOOD = {"[PAD]": 579, "<im_patch>": 580, "<bbox>": 581, "<point>": 582, "<im_start>": 583, "<im_end>": 584}


@pytest.mark.parametrize(
    ("added", "match"),
    [
        ({**GOOD, "<bbox>": 580}, "two added tokens have the same id"),
        ({**GOOD, "<bbox>": 590}, "do not follow the 579 pieces without a gap"),
        ({**GOOD, "<extra>": 585}, "585 rows for 586 tokens"),
        (dict(list(GOOD.items())[:5]), "lacks <im_end>"),
        (dict(list(GOOD.items())[1:]), "without a gap"),
        ({"<im_patch>": 579, "<bbox>": 580, "<im_start>": 581, "<im_end>": 582}, "585 rows for 583 tokens"),
        ({}, "lacks <im_patch>, <im_start>, <im_end>, <bbox>"),
        ({"<bbox>": "x"}, r"added_tokens\.json"),
    ],
)
def test_tokens_that_do_not_fit_the_rows_are_refused(
    added: Mapping[str, int], match: str, tiny: SynthesizedFolders, tmp_path: Path
) -> None:
    refused(tokens(changed(path_of(tiny.delta), tmp_path / "delta"), added), match)


def test_rows_padded_to_a_multiple_of_64_are_counted(tiny: SynthesizedFolders, tmp_path: Path) -> None:
    def pad(arrays: Arrays) -> None:
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            arrays[name] = np.pad(arrays[name], ((0, 640 - 585), (0, 0)))

    folder = changed(path_of(tiny.delta), tmp_path / "delta", pad)
    assert read_language(folder, "delta").n_padding_rows == 55


def test_newer_tokenizers_list_their_tokens_elsewhere(tiny: SynthesizedFolders, tmp_path: Path) -> None:
    folder = changed(path_of(tiny.delta), tmp_path / "delta")
    (folder / "added_tokens.json").unlink()
    decoder = {str(number): {"content": token, "special": True} for token, number in {**GOOD, "<s>": 1}.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": decoder}))
    assert read_language(folder, "delta").tokenizer.added_tokens == GOOD
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": {"x": {"content": "<bbox>"}}}))
    refused(folder, "ids that are no numbers")


@pytest.mark.parametrize("content", [b"", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a", b"\x0b", b"\x10\x01", b"\xff" * 20])
def test_what_is_no_sentencepiece_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="no sentencepiece model"):
        count_pieces(path)


def test_a_folder_without_a_tokenizer_has_none(tmp_path: Path) -> None:
    found = read_tokenizer_files(tmp_path)
    assert (found.model, found.n_pieces, found.added_tokens, found.files) == (None, 0, {}, ())


# ---- CLIP ----


def test_the_tower_of_a_whole_clip_and_one_alone_are_the_same(tmp_path: Path) -> None:
    vision = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 56,
        "patch_size": 14,
    }
    text = CLIPTextConfig(
        vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    torch.manual_seed(0)
    whole = CLIPModel(WholeClipConfig(text_config=text.to_dict(), vision_config=vision, projection_dim=16))
    alone = CLIPVisionModel(CLIPVisionConfig.from_dict(vision))
    alone.load_state_dict(whole.vision_model.state_dict(), strict=True)
    whole.save_pretrained(tmp_path / "whole")
    alone.save_pretrained(tmp_path / "alone")
    first, second = read_clip(tmp_path / "whole"), read_clip(tmp_path / "alone")
    assert first.sizes == second.sizes
    assert (first.sizes.n_layers, first.sizes.mlp_width, first.sizes.grid) == (2, 96, 4)
    assert set(first.tensors.facts) == set(second.tensors.facts) == set(first.sizes.shapes())
    for name in first.tensors.facts:
        np.testing.assert_array_equal(first.tensors.read(name), second.tensors.read(name))


def clip_with(folder: Path, out: Path, **vision: object) -> Path:
    shutil.copytree(folder, out)
    config = json.loads((out / "config.json").read_text())
    config["vision_config"].update(vision)
    (out / "config.json").write_text(json.dumps(config))
    return out


@pytest.mark.parametrize(
    ("vision", "match"),
    [
        ({"hidden_act": "gelu"}, "activation 'gelu', expected 'quick_gelu'"),
        ({"image_size": 336}, "images of 336 pixels; the tensors say 64, 14 and 224"),
        ({"patch_size": 16}, "patches of 16"),
        ({"num_hidden_layers": 23}, "no place for"),
        ({"num_hidden_layers": 25}, r"lacks vision_model\.encoder\.layers\.24"),
        ({"num_hidden_layers": 1 << 40}, "the tensors say"),
        ({"num_attention_heads": 5}, "5 heads"),
        ({"intermediate_size": 100}, r"fc1\.weight is 128 x 64, expected 100 x 64"),
    ],
)
def test_a_clip_whose_config_lies_is_refused(
    vision: Mapping[str, object], match: str, tiny: SynthesizedFolders, tmp_path: Path
) -> None:
    refused(clip_with(tiny.clip, tmp_path / "clip", **vision), match)
