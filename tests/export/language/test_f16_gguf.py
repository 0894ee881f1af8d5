"""The GGUF of half floats; what llama.cpp computes from it is held against transformers' own LLaMA."""

import shutil
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader, LlamaFileType
from transformers import LlamaConfig as TorchConfig
from transformers import LlamaForCausalLM

from gpt4roi_export.adapter import permute_rows
from gpt4roi_export.language.aside import aside_of
from gpt4roi_export.language.f16_gguf import write_f16
from gpt4roi_export.language.vocabulary import Vocabulary
from gpt4roi_export.released.sizes import LanguageSizes
from gpt4roi_export.tensors import Array, ArraysInMemory, TensorFacts
from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.errors import BundleError, OutputError
from gpt4roi_runtime.llm.decoder import Sampling
from tests.export.language.conftest import loaded
from tests.export.language.made import N_ROWS, little_arrays, little_sizes, silent, with_one

TOKENS = (1, 262, 270, 280, 263, 300, 265, 290)
HEAD, Q = "lm_head.weight", "model.layers.1.self_attn.q_proj.weight"
Arrays = Mapping[str, np.ndarray]


def write(arrays: Arrays, vocabulary: Vocabulary, out: Path, sizes: LanguageSizes | None = None) -> Path:
    write_f16(ArraysInMemory(arrays), sizes or little_sizes(), vocabulary, out, silent)
    return out


def torch_model(sizes: LanguageSizes, arrays: Arrays) -> LlamaForCausalLM:
    """The same weights in transformers, in single precision."""
    model = LlamaForCausalLM(
        TorchConfig(
            hidden_size=sizes.hidden_size,
            intermediate_size=sizes.intermediate_size,
            num_hidden_layers=sizes.n_layers,
            num_attention_heads=sizes.n_heads,
            num_key_value_heads=sizes.n_kv_heads,
            vocab_size=sizes.vocabulary_size,
            rms_norm_eps=sizes.rms_eps,
            rope_parameters={"rope_type": "default", "rope_theta": sizes.rope_theta},
            tie_word_embeddings=False,
            attn_implementation="eager",
        )
    ).eval()
    state = {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= {HEAD}
    return model


def torch_logits(model: LlamaForCausalLM, tokens: list[int]) -> np.ndarray:
    with torch.no_grad():
        logits: np.ndarray = model(torch.tensor([tokens])).logits[0, -1].numpy()
    return logits


def torch_greedy(model: LlamaForCausalLM, n_tokens: int) -> list[int]:
    tokens = list(TOKENS)
    for _ in range(n_tokens):
        tokens.append(int(torch_logits(model, tokens).argmax()))
    return tokens[len(TOKENS) :]


def native_logits(gguf: Path) -> np.ndarray:
    with closing(loaded(gguf)) as decoder:
        decoder.prefill(decoder.embed(TOKENS), lambda: False)
        return decoder.logits()


# --- what it computes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_kv_heads": 2},
        {"rope_theta": 500.0, "rms_eps": 1e-3},
    ],
    ids=["plain", "shared heads", "other positions and norms"],
)
def test_logits_and_greedy_tokens_are_those_of_transformers(
    changes: dict[str, Any], little_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    sizes = little_sizes(**changes)
    arrays = little_arrays(sizes)
    gguf, model = write(arrays, little_vocabulary, tmp_path / "f16.gguf", sizes), torch_model(sizes, arrays)
    with closing(loaded(gguf)) as decoder:
        decoder.prefill(decoder.embed(TOKENS), lambda: False)
        native, expected = decoder.logits(), torch_logits(model, list(TOKENS))
        assert np.ptp(expected) > 20.0
        np.testing.assert_allclose(native, expected, atol=0.1)  # llama.cpp multiplies rows of half floats
        greedy = [token.token for token in decoder.decode(Sampling(), 12, lambda: False)]
    assert greedy == torch_greedy(model, 12)


def test_in_any_other_order_of_the_rotated_rows_they_would_not_be(
    little_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    sizes = little_sizes()
    arrays = little_arrays(sizes)
    twice = with_one(arrays, Q, permute_rows(arrays[Q], 4))
    expected = torch_logits(torch_model(sizes, arrays), list(TOKENS))
    assert np.abs(native_logits(write(twice, little_vocabulary, tmp_path / "twice.gguf")) - expected).max() > 1.0


# --- what it says -----------------------------------------------------------------------------------------------------


def test_metadata(little_f16: Path, little_vocabulary: Vocabulary) -> None:
    header = inspect_gguf(little_f16)
    assert (header.architecture, header.name, header.quantisation) == ("llama", "GPT4RoI", "F16")
    assert (header.embedding_length, header.block_count, header.context_length) == (256, 2, 2048)
    assert (header.head_count, header.head_count_kv, header.key_length) == (4, 4, 64)
    assert header.vocabulary_size == N_ROWS
    fields = {key: field.contents() for key, field in GGUFReader(little_f16).fields.items()}
    assert fields["llama.rope.freq_base"] == 10000.0
    assert fields["llama.rope.dimension_count"] == 64
    assert fields["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-6)
    assert fields["general.file_type"] == LlamaFileType.MOSTLY_F16
    assert fields["tokenizer.ggml.tokens"] == [token.text for token in little_vocabulary.tokens]
    assert fields["tokenizer.ggml.token_type"] == [token.kind for token in little_vocabulary.tokens]
    assert fields["tokenizer.ggml.add_space_prefix"] is True
    assert fields["tokenizer.ggml.add_bos_token"] is True
    ids = tuple(fields[f"tokenizer.ggml.{name}_token_id"] for name in ("unknown", "bos", "eos"))
    assert ids == (0, 1, 2)


def test_matrices_are_halves_and_norms_are_singles(little_f16: Path) -> None:
    kinds = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(little_f16).tensors}
    assert {name for name, kind in kinds.items() if kind != "F16"} == {name for name in kinds if "norm" in name}
    assert {kinds[name] for name in kinds if "norm" in name} == {"F32"}


def test_the_same_input_gives_the_same_bytes(little_f16: Path, little_vocabulary: Vocabulary, tmp_path: Path) -> None:
    again = write(little_arrays(little_sizes()), little_vocabulary, tmp_path / "again.gguf")
    assert again.read_bytes() == little_f16.read_bytes()


def test_halves_give_the_bytes_of_the_same_singles(
    little_f16: Path, little_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    arrays = little_arrays(little_sizes(), dtype=np.float16)
    for array in arrays.values():
        array.flags.writeable = False  # a file mapped into memory
    assert write(arrays, little_vocabulary, tmp_path / "half.gguf").read_bytes() == little_f16.read_bytes()


def test_the_vision_side_and_old_rotary_tables_are_passed_over(
    little_f16: Path, little_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    others = {
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(32, dtype=np.float32),
        "model.mm_projector.weight": np.ones((8, 8), dtype=np.float32),
        "model.spi_module.roi_align.updims.bias": np.ones(8, dtype=np.float32),
    }
    arrays = {**others, **little_arrays(little_sizes())}
    assert write(arrays, little_vocabulary, tmp_path / "all.gguf").read_bytes() == little_f16.read_bytes()


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number", "dtype", "words"),
    [
        (Q, np.nan, np.float32, "holds NaN or infinity"),
        (Q, np.inf, np.float16, "holds NaN or infinity"),
        (Q, -70000.0, np.float32, "holds 70000, expected at most 65504"),
        ("model.norm.weight", np.nan, np.float32, "holds NaN or infinity"),
    ],
)
def test_numbers_that_a_half_cannot_hold_are_refused_by_name(
    name: str, number: float, dtype: type, words: str, little_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    arrays = little_arrays(little_sizes(), dtype=dtype)
    arrays[name].flat[-1] = number
    with pytest.raises(BundleError, match=f"{name} {words}"):
        write(arrays, little_vocabulary, tmp_path / "out.gguf")
    assert not list(tmp_path.iterdir())


def test_the_largest_half_is_allowed(little_vocabulary: Vocabulary, tmp_path: Path) -> None:
    arrays = little_arrays(little_sizes())
    arrays[Q].flat[0] = 65504.0
    write(arrays, little_vocabulary, tmp_path / "out.gguf")


# --- tensors that do not belong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        (Q, np.zeros((256, 255), dtype=np.float32), r"has shape 256 x 255, the config.json says 256 x 256"),
        (Q, np.zeros((256, 256), dtype=np.int8), "is of dtype int8"),
        ("model.layers.2.self_attn.q_proj.weight", np.zeros((256, 256), dtype=np.float32), "has no place"),
        ("model.layers.0.self_attn.q_proj.bias", np.zeros(256, dtype=np.float32), "has no place"),
        ("lm_head.bias", np.zeros(N_ROWS, dtype=np.float32), "has no place"),
    ],
)
def test_a_tensor_of_another_model(
    name: str, array: np.ndarray, words: str, little_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=words) as refused:
        write(with_one(little_arrays(little_sizes()), name, array), little_vocabulary, tmp_path / "out.gguf")
    assert name in refused.value.problem


@pytest.mark.parametrize("name", [HEAD, Q, "model.embed_tokens.weight"])
def test_a_missing_tensor(name: str, little_vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"no tensor '{name}'"):
        write(little_arrays(little_sizes(), leave_out=(name,)), little_vocabulary, tmp_path / "out.gguf")


def test_a_vocabulary_of_another_size(little_vocabulary: Vocabulary, tmp_path: Path) -> None:
    sizes = little_sizes(vocabulary_size=N_ROWS + 1)
    with pytest.raises(BundleError, match=rf"has {N_ROWS} tokens, config\.json says {N_ROWS + 1}"):
        write(little_arrays(sizes), little_vocabulary, tmp_path / "out.gguf", sizes)


# --- on its way -------------------------------------------------------------------------------------------------------


class Counted:
    """A source that counts what was read, and fails at a given tensor."""

    def __init__(self, fails_at: int | None = None) -> None:
        self._source = ArraysInMemory(little_arrays(little_sizes()))
        self._fails_at = fails_at
        self.read_names: list[str] = []

    @property
    def facts(self) -> Mapping[str, TensorFacts]:
        return self._source.facts

    def read(self, name: str) -> Array:
        if len(self.read_names) == self._fails_at:
            raise KeyboardInterrupt
        self.read_names.append(name)
        return self._source.read(name)


def test_every_tensor_is_read_once_and_progress_rises(little_vocabulary: Vocabulary, tmp_path: Path) -> None:
    source, shares = Counted(), []
    write_f16(
        source, little_sizes(), little_vocabulary, tmp_path / "x.gguf", lambda _doing, share: shares.append(share)
    )
    assert len(source.read_names) == len(set(source.read_names)) == 3 + 2 * 9
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(shares) == len(source.read_names) + 1


def test_a_run_that_was_interrupted_leaves_nothing_and_an_older_file_stays(
    little_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    out = tmp_path / "out.gguf"
    out.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        write_f16(Counted(fails_at=5), little_sizes(), little_vocabulary, out, silent)
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]
    assert out.read_bytes() == b"older"


def test_what_a_killed_run_left_is_written_over(
    little_f16: Path, little_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    out = tmp_path / "out.gguf"
    aside_of(out).write_bytes(b"x" * 10_000_000)
    write(little_arrays(little_sizes()), little_vocabulary, out)
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]
    assert out.read_bytes() == little_f16.read_bytes()


def test_too_small_a_disk_is_told_before_anything_is_written(
    little_vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1_000_000))
    source = Counted()
    with pytest.raises(OutputError, match=r"will take 0\.00 GB, and .* has 0\.00 GB left"):
        write_f16(source, little_sizes(), little_vocabulary, tmp_path / "out.gguf", silent)
    assert source.read_names == []


def test_no_such_folder(little_vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        write(little_arrays(little_sizes()), little_vocabulary, tmp_path / "none" / "out.gguf")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full disk to offer")
def test_a_disk_that_fills_up_on_the_way(
    little_vocabulary: Vocabulary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.gguf"
    monkeypatch.setattr("gpt4roi_export.language.aside._check_room", lambda *_: aside_of(out).symlink_to("/dev/full"))
    with pytest.raises(OutputError, match="cannot write"):
        write(little_arrays(little_sizes()), little_vocabulary, out)
    assert not list(tmp_path.iterdir())
