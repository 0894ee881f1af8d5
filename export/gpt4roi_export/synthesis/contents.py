"""What the checkpoints hold: tensors in the authors' order, and the small files beside them. Writes nothing.

The fields of the configs are those of files written by the libraries of mid-2023, which the released ones are.
"""

from collections.abc import Mapping
from math import prod

from gpt4roi_export.released.sizes import LAYER_PREFIX, VISION_PREFIX, ClipSizes, LanguageSizes, RegionSizes
from gpt4roi_export.synthesis.presets import ADDED_TOKENS
from gpt4roi_export.synthesis.torch_pickle import Entry

ROTARY_SUFFIX = ".rotary_emb.inv_freq"
POSITIONS_SUFFIX = "position_ids"
TOWER = "openai/clip-vit-large-patch14"

Json = Mapping[str, object]


def language_entries(sizes: LanguageSizes, region: RegionSizes | None) -> list[Entry]:
    """Tensors of a LLaMA, with its rotary buffers; those of the region module before the output matrix."""
    entries = []
    for name, shape in sizes.shapes().items():
        if region is not None and name.startswith("lm_head"):
            entries += [_entry(ours, theirs, "float16") for ours, theirs in region.shapes().items()]
        entries.append(_entry(name, shape, "float16"))
        if name.endswith("o_proj.weight"):
            layer = name.removeprefix(LAYER_PREFIX).partition(".")[0]
            buffer = f"{LAYER_PREFIX}{layer}.self_attn{ROTARY_SUFFIX}"
            entries.append(_entry(buffer, (sizes.head_size // 2,), "float32"))
    return entries


def clip_entries(sizes: ClipSizes) -> list[Entry]:
    """Tensors of a CLIP: the tower, its buffer, and a little of what is no part of the tower."""
    n_positions = sizes.shapes()[VISION_PREFIX + "embeddings.position_embedding.weight"][0]
    text = {"logit_scale": (), "visual_projection.weight": (sizes.width, sizes.width)}
    return [
        *(_entry(name, shape, "float32") for name, shape in text.items()),
        _entry(f"{VISION_PREFIX}embeddings.{POSITIONS_SUFFIX}", (1, n_positions), "int64"),
        *(_entry(name, shape, "float32") for name, shape in sizes.shapes().items()),
    ]


def base_config(sizes: LanguageSizes) -> Json:
    """``config.json`` of a LLaMA."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": sizes.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": sizes.intermediate_size,
        "max_position_embeddings": sizes.context_length,
        "model_type": "llama",
        "num_attention_heads": sizes.n_heads,
        "num_hidden_layers": sizes.n_layers,
        "pad_token_id": 0,
        "rms_norm_eps": sizes.rms_eps,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "use_cache": True,
        "vocab_size": sizes.vocabulary_size,
    }


def gpt4roi_config(sizes: LanguageSizes, region: RegionSizes) -> Json:
    """``config.json`` of a GPT4RoI, merged or not."""
    return {
        **base_config(sizes),
        "architectures": ["SPILlavaMPTForCausalLM"],
        "freeze_mm_mlp_adapter": False,
        "mm_hidden_size": region.width,
        "mm_use_im_start_end": True,
        "mm_vision_select_layer": -2,
        "mm_vision_tower": TOWER,
        "model_type": "llava",
        "sep_image_conv_front": False,
        "tune_mm_mlp_adapter": False,
        "use_mm_proj": True,
    }


def clip_config(sizes: ClipSizes) -> Json:
    """``config.json`` of a CLIP; of the text part only that there is one."""
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": sizes.width,
        "text_config": {"model_type": "clip_text_model"},
        "torch_dtype": "float32",
        "vision_config": {
            "hidden_act": "quick_gelu",
            "hidden_size": sizes.width,
            "image_size": sizes.side_px,
            "intermediate_size": sizes.mlp_width,
            "layer_norm_eps": sizes.norm_eps,
            "model_type": "clip_vision_model",
            "num_attention_heads": sizes.n_heads,
            "num_hidden_layers": sizes.n_layers,
            "patch_size": sizes.patch_px,
        },
    }


def preprocessor_config(sizes: ClipSizes) -> Json:
    """``preprocessor_config.json`` of a CLIP."""
    return {
        "crop_size": sizes.side_px,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": sizes.side_px,
    }


def tokenizer_jsons(n_pieces: int, *, has_added: bool) -> Mapping[str, Json]:
    """The tokenizer's small files, by name."""
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    config = {"model_max_length": 2048, "tokenizer_class": "LlamaTokenizer", **special}
    if not has_added:
        return {"special_tokens_map.json": special, "tokenizer_config.json": config}
    return {
        "added_tokens.json": {token: n_pieces + index for index, token in enumerate(ADDED_TOKENS)},
        "special_tokens_map.json": {**special, "pad_token": ADDED_TOKENS[0]},
        "tokenizer_config.json": {**config, "padding_side": "right", "use_fast": False},
    }


def _entry(name: str, shape: tuple[int, ...], dtype: str) -> Entry:
    return Entry(name, shape, dtype, prod(shape))
