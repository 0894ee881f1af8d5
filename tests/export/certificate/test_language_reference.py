from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig as TransformersConfig
from transformers import LlamaForCausalLM

from gpt4roi_export.certificate.language_reference import next_token_logits
from gpt4roi_export.released.sizes import LanguageSizes
from gpt4roi_export.tensors import ArraysInMemory
from gpt4roi_runtime.errors import BundleError

SIZES = LanguageSizes(
    hidden_size=32,
    intermediate_size=48,
    n_layers=3,
    n_heads=4,
    n_kv_heads=4,
    vocabulary_size=50,
    rms_eps=1e-5,
    context_length=64,
    rope_theta=500.0,
)


def model(sizes: LanguageSizes) -> LlamaForCausalLM:
    config = TransformersConfig(
        hidden_size=sizes.hidden_size,
        intermediate_size=sizes.intermediate_size,
        num_hidden_layers=sizes.n_layers,
        num_attention_heads=sizes.n_heads,
        num_key_value_heads=sizes.n_kv_heads,
        vocab_size=sizes.vocabulary_size,
        rms_norm_eps=sizes.rms_eps,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.rope_theta},
    )
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(5)
        made = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 1:  # norms that do nothing would hide a missing one
                parameter.add_(torch.linspace(-0.2, 0.3, len(parameter)))
            else:
                parameter.mul_(4.0)
    made.train(mode=False)
    return made


@pytest.mark.parametrize("n_kv_heads", [4, 2])
def test_it_equals_the_usual_implementation(n_kv_heads: int) -> None:
    sizes = replace(SIZES, n_kv_heads=n_kv_heads)
    reference = model(sizes)
    arrays = {name: tensor.numpy() for name, tensor in reference.state_dict().items()}
    rows = np.random.default_rng(1).standard_normal((7, 32)).astype(np.float32)
    with torch.inference_mode():
        expected = reference(inputs_embeds=torch.from_numpy(rows)[None]).logits[0, -1].numpy()
    done: list[int] = []
    logits = next_token_logits(ArraysInMemory(arrays), sizes, rows, done.append)
    assert np.linalg.norm(logits - expected) < 1e-5 * np.linalg.norm(expected)
    assert done == [1, 2, 3]


def test_a_missing_layer_is_told() -> None:
    with pytest.raises(BundleError, match="input_layernorm"):
        next_token_logits(ArraysInMemory({}), SIZES, np.zeros((2, 32), dtype=np.float32))
