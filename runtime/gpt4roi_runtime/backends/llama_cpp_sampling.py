"""Sampler chains of llama.cpp, which choose tokens without a step through Python; knows no context."""

from typing import Any

from gpt4roi_runtime.errors import EngineError
from gpt4roi_runtime.llm.decoder import Sampling


def new_chain(api: Any, sampling: Sampling) -> Any:
    """A chain that chooses as ``sampling`` says; whoever asked for it frees it.

    Raises:
        EngineError: llama.cpp made none.
    """
    chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
    if not chain:
        raise EngineError("llama.cpp made no sampler", "There may be too little memory.")
    if sampling.temperature == 0.0:
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_greedy())
        return chain
    if sampling.top_k > 0:
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_top_k(sampling.top_k))
    if sampling.top_p < 1.0:
        api.llama_sampler_chain_add(chain, api.llama_sampler_init_top_p(sampling.top_p, 1))
    api.llama_sampler_chain_add(chain, api.llama_sampler_init_temp(sampling.temperature))
    api.llama_sampler_chain_add(chain, api.llama_sampler_init_dist(sampling.seed))
    return chain
