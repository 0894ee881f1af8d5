import msgspec
import numpy as np
import pytest
import torch
from transformers import LlamaConfig as TransformersConfig
from transformers import LlamaForCausalLM

from gpt4roi_export.certificate.language_reference import next_token_logits
from gpt4roi_export.language.llama_config import LlamaConfig
from gpt4roi_export.tensors import ArraysInMemory
from gpt4roi_runtime.errors import BundleError

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 50}


def model(**other: object) -> LlamaForCausalLM:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(5)
        made = LlamaForCausalLM(TransformersConfig.from_dict({**SIZES, **other}))
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 1:  # norms that do nothing would hide a missing one
                parameter.add_(torch.linspace(-0.2, 0.3, len(parameter)))
            else:
                parameter.mul_(4.0)
    made.train(mode=False)
    return made


@pytest.mark.parametrize("other", [{}, {"num_key_value_heads": 2}, {"tie_word_embeddings": True}])
def test_it_equals_the_usual_implementation(other: dict[str, object]) -> None:
    reference = model(**other)
    arrays = {name: tensor.numpy() for name, tensor in reference.state_dict().items()}
    if other.get("tie_word_embeddings"):
        arrays.pop("lm_head.weight", None)
    rows = np.random.default_rng(1).standard_normal((7, 32)).astype(np.float32)
    with torch.inference_mode():
        expected = reference(inputs_embeds=torch.from_numpy(rows)[None]).logits[0, -1].numpy()
    done: list[int] = []
    config = msgspec.convert({**SIZES, **other}, LlamaConfig)
    logits = next_token_logits(ArraysInMemory(arrays), config, rows, done.append)
    assert np.linalg.norm(logits - expected) < 1e-5 * np.linalg.norm(expected)
    assert done == [1, 2, 3]


def test_a_missing_layer_is_told() -> None:
    with pytest.raises(BundleError, match="input_layernorm"):
        next_token_logits(ArraysInMemory({}), msgspec.convert(SIZES, LlamaConfig), np.zeros((2, 32), dtype=np.float32))
