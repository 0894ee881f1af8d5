import json
from pathlib import Path

import pytest

from gpt4roi_export.language.llama_config import read_llama_config
from gpt4roi_runtime.errors import BundleError

SEVEN_B = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "max_sequence_length": 2048,
    "mm_vision_tower": "openai/clip-vit-large-patch14",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "rms_norm_eps": 1e-06,
    "vocab_size": 32005,
}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**SEVEN_B, **changes}), encoding="utf-8")
    return path


def test_a_llama_1_of_the_first_hour(tmp_path: Path) -> None:
    config = read_llama_config(written(tmp_path))
    assert (config.hidden_size, config.intermediate_size, config.num_hidden_layers) == (4096, 11008, 32)
    assert (config.n_heads_kv, config.head_width, config.vocab_size) == (32, 128, 32005)
    assert (config.max_position_embeddings, config.rms_norm_eps, config.rotary_base) == (2048, 1e-6, 10000.0)
    assert not config.tie_word_embeddings


def test_newer_files_say_more(tmp_path: Path) -> None:
    config = read_llama_config(
        written(
            tmp_path,
            attention_bias=False,
            head_dim=128,
            max_position_embeddings=4096,
            num_key_value_heads=8,
            rope_parameters={"rope_type": "default", "rope_theta": 5e5},
            rope_scaling=None,
        )
    )
    assert (config.n_heads_kv, config.max_position_embeddings, config.rotary_base) == (8, 4096, 5e5)


def test_the_older_place_of_the_rotary_base(tmp_path: Path) -> None:
    assert read_llama_config(written(tmp_path, rope_theta=1e6)).rotary_base == 1e6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden_size": None}, "hidden_size"),
        ({"hidden_size": 0}, "hidden_size"),
        ({"num_hidden_layers": 2_000_000_000}, "num_hidden_layers"),
        ({"num_attention_heads": 7}, "4096 rows for 7 heads"),
        ({"hidden_size": 32 * 3}, "96 rows for 32 heads"),
        ({"num_key_value_heads": 5}, "32 query heads for 5 key heads"),
        ({"head_dim": 64}, "heads are 64 wide, expected 128"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"attention_bias": True}, "attention_bias"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, "rope_type"),
        ({"rms_norm_eps": 0.0}, "rms_norm_eps"),
        ({"vocab_size": 1 << 30}, "vocab_size"),
    ],
)
def test_another_network_is_refused(changes: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=words):
        read_llama_config(written(tmp_path, **changes))


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000, b"\xff\xfe", b" " * (1 << 21)])
def test_a_file_that_is_no_config(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"config\.json"):
        read_llama_config(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot read"):
        read_llama_config(tmp_path / "config.json")
