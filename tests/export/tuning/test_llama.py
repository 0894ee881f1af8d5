"""Our LLaMA against llama.cpp, on the tiny model and on SmolLM2, and against itself in other packings."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType

from gpt4roi_export.tuning.language_weights import read_language_weights
from gpt4roi_export.tuning.llama import Llama
from gpt4roi_export.tuning.lora import LoraMatrices, lora_linear
from gpt4roi_export.tuning.packing import pack
from gpt4roi_export.tuning.recipe import Lora
from gpt4roi_runtime.backends.llama_cpp import LlamaCppDecoder
from gpt4roi_runtime.errors import BundleError
from tests.export.tuning.conftest import loaded
from tests.helpers.tiny_gguf import HIDDEN, LAYERS, WIDTH, write_tiny_gguf

CPU = torch.device("cpu")


def last_logits(llama: Llama, tokens: list[int], lora: LoraMatrices | None = None) -> np.ndarray:
    with torch.no_grad():
        hidden = llama(llama.embed(torch.tensor(tokens)), pack([len(tokens)], CPU), lora)
        logits: np.ndarray = llama.logits(hidden[-1:])[0].float().numpy()
    return logits


def divergence(of: np.ndarray, from_: np.ndarray) -> float:
    first, second = (torch.from_numpy(logits).double().log_softmax(0) for logits in (of, from_))
    return float((first.exp() * (first - second)).sum())


def native_logits(decoder: LlamaCppDecoder, tokens: list[int]) -> np.ndarray:
    decoder.prefill(decoder.embed(tokens), lambda: False)
    return decoder.logits()


def test_logits_are_those_of_llama_cpp(tiny_gguf: Path, language: LlamaCppDecoder) -> None:
    tokens = [1, *language.tokenize("the red is the cat, is the red"), 2]
    native = native_logits(language, tokens)
    ours = last_logits(Llama(read_language_weights(tiny_gguf), torch.float32), tokens)
    np.testing.assert_allclose(ours, native, atol=0.02)  # llama.cpp keeps keys and values as half floats
    assert np.ptp(native) > 5.0


@pytest.mark.bundle
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_of_smollm2_are_those_of_llama_cpp(smollm2_gguf: Path, dtype: torch.dtype) -> None:
    with closing(loaded(smollm2_gguf)) as decoder:
        start, end = decoder.special_token("<|im_start|>"), decoder.special_token("<|im_end|>")
        question = decoder.tokenize("user\nHi there!")  # tuned on, so that no two tokens nearly tie
        tokens = [start, *question, end, *decoder.tokenize("\n"), start, *decoder.tokenize("assistant\n")]
        native = native_logits(decoder, tokens)
    ours = last_logits(Llama(read_language_weights(smollm2_gguf), dtype), tokens)
    # llama.cpp rounds rows to 8 bits on their way into quantised matrices.
    assert divergence(native, ours) < 0.02
    assert int(ours.argmax()) == int(native.argmax())


def test_sequences_do_not_see_each_other(tiny_gguf: Path) -> None:
    llama = Llama(read_language_weights(tiny_gguf), torch.float32)
    tokens = [[5, 6, 7], [9], [8, 5, 6, 10, 11]]
    together = llama(llama.embed(torch.tensor([token for one in tokens for token in one])), pack([3, 1, 5], CPU))
    alone = [llama(llama.embed(torch.tensor(one)), pack([len(one)], CPU)) for one in tokens]
    torch.testing.assert_close(together, torch.cat(alone))


def test_a_row_does_not_see_what_follows(tiny_gguf: Path) -> None:
    llama = Llama(read_language_weights(tiny_gguf), torch.float32)
    first, second = (llama(llama.embed(torch.tensor([5, 6, last])), pack([3], CPU)) for last in (7, 8))
    torch.testing.assert_close(first[:2], second[:2])
    assert not torch.allclose(first[2], second[2])


def test_low_rank_additions_start_as_nothing(tiny_gguf: Path) -> None:
    weights = read_language_weights(tiny_gguf)
    llama = Llama(weights, torch.float32)
    lora = LoraMatrices(weights, Lora(rank=3))
    np.testing.assert_array_equal(last_logits(llama, [5, 6, 7], lora), last_logits(llama, [5, 6, 7]))
    assert all(bool(a.any()) for name, a in lora.named().items() if name.endswith("lora_a"))
    assert len(lora.named()) == 2 * 7 * LAYERS


def test_low_rank_additions_are_part_of_their_matrix(tiny_gguf: Path) -> None:
    weights = read_language_weights(tiny_gguf)
    lora = LoraMatrices(weights, Lora(rank=3, alpha=6.0))
    for parameter in lora.parameters():
        torch.nn.init.normal_(parameter)
    parts = ("ffn_gate", "ffn_up")
    matrices = torch.cat([torch.from_numpy(weights.tensors[f"blk.1.{part}.weight"]) for part in parts])
    additions = torch.cat([2.0 * b @ a for a, b in (lora.pair(1, part) for part in parts)])
    rows = torch.randn(4, WIDTH)
    expected = rows @ (matrices + additions).T
    torch.testing.assert_close(lora_linear(rows, matrices, lora, 1, parts), expected, rtol=1e-4, atol=1e-4)
    assert len(matrices) == 2 * HIDDEN


def test_dropout_is_for_training_only(tiny_gguf: Path) -> None:
    weights = read_language_weights(tiny_gguf)
    lora = LoraMatrices(weights, Lora(rank=3, dropout=0.5))
    for parameter in lora.parameters():
        torch.nn.init.normal_(parameter)
    matrix = torch.from_numpy(weights.tensors["blk.0.attn_output.weight"])
    rows = torch.randn(4, WIDTH)
    trained = lora_linear(rows, matrix, lora, 0, ("attn_output",))
    used = lora_linear(rows, matrix, lora.eval(), 0, ("attn_output",))
    assert not torch.allclose(trained, used)
    a, b = lora.pair(0, "attn_output")
    torch.testing.assert_close(used, rows @ (matrix + lora.scale * b @ a).T, rtol=1e-4, atol=1e-4)


def test_a_model_with_more_than_a_plain_llama_is_refused(tmp_path: Path) -> None:
    bias = {"blk.0.attn_q.bias": ((WIDTH,), GGMLQuantizationType.F32)}
    with pytest.raises(BundleError, match=r"attn_q\.bias"):
        read_language_weights(write_tiny_gguf(tmp_path / "biased.gguf", tensors=bias))


def test_a_model_of_another_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="architecture"):
        read_language_weights(write_tiny_gguf(tmp_path / "other.gguf", architecture="qwen2"))
