"""Samplers of llama.cpp, which choose tokens without a step through Python; know no prompt.

Where only some answers are allowed, a grammar looks at the one token that was chosen, and at all others only if it
refuses that one: in front of every choice it would cost more than the model's own step.
"""

import codecs
import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from gpt4roi_runtime.backends.llama_cpp_grammar import ROOT, grammar_of
from gpt4roi_runtime.backends.llama_cpp_vocabulary import NativeVocabulary
from gpt4roi_runtime.errors import EngineError
from gpt4roi_runtime.llm.decoder import Allowed, Sampling

_NO_MEMORY = "There may be too little memory."


class TokenSampler:
    """Chooses the tokens of one answer; whoever made it frees it.

    Args:
        api: The library's functions.
        vocabulary: Of the model.
        sampling: How tokens are chosen.
        allowed: The only answers, if not all are.

    Raises:
        EngineError: llama.cpp made no sampler.
    """

    def __init__(
        self, api: Any, vocabulary: NativeVocabulary, sampling: Sampling, allowed: Allowed | None = None
    ) -> None:
        self._api = api
        self._vocabulary = vocabulary
        self._utf8 = codecs.getincrementaldecoder("utf-8")("strict")
        self._grammar = None if allowed is None else _new_grammar(api, vocabulary, allowed)
        try:
            self._chain = new_chain(api, sampling)
        except EngineError:
            self._free_grammar()
            raise

    def sample(self, context: Any, row: int, logits: npt.NDArray[np.float32]) -> int:
        """The next token; called once a token.

        Args:
            context: The model's context.
            row: Whose logits count, as ``llama_get_logits_ith`` numbers them.
            logits: These logits, finite: others end the process where there is a grammar.

        Raises:
            EngineError: No token of the vocabulary goes on with what is allowed.
        """
        token = int(self._api.llama_sampler_sample(self._chain, context, row))
        if self._grammar is None:
            return token
        if len(self._permitted(_candidates([token], logits))) == 0:
            token = self._sample_permitted(logits)
        # Once a token, and never for one that is not permitted: llama.cpp would end the process.
        self._api.llama_sampler_accept(self._grammar, token)
        self._utf8.decode(self._vocabulary.bytes_of(token))
        return token

    def free(self) -> None:
        """Free the native samplers; twice is harmless."""
        chain, self._chain = self._chain, None
        if chain:
            self._api.llama_sampler_free(chain)
        self._free_grammar()

    def _free_grammar(self) -> None:
        grammar, self._grammar = self._grammar, None
        if grammar:
            self._api.llama_sampler_free(grammar)

    def _sample_permitted(self, logits: npt.NDArray[np.float32]) -> int:
        candidates = self._permitted(_candidates(np.flatnonzero(self._vocabulary.may_be_text), logits))
        if len(candidates) == 0:
            raise EngineError(
                "the model's vocabulary cannot write what is allowed", "Choose answers in ordinary characters."
            )
        array = self._as_native(candidates)
        self._api.llama_sampler_apply(self._chain, ctypes.byref(array))
        return int(array.data[array.selected].id)  # the chain may have moved and dropped some

    def _permitted(self, candidates: "_Candidates") -> "_Candidates":
        """Those the grammar lets pass, and never a special token, though its text may be a part of what is allowed.

        Nor bytes that are no UTF-8: of a character that is split over tokens, the grammar takes overlong forms too.
        """
        candidates = candidates[self._vocabulary.may_be_text[candidates["id"]]]
        if len(candidates) > 0:
            self._api.llama_sampler_apply(self._grammar, ctypes.byref(self._as_native(candidates)))
        permitted: _Candidates = candidates[np.isfinite(candidates["logit"])]
        return permitted[np.array([self._is_text(int(token)) for token in permitted["id"]], dtype=np.bool_)]

    def _is_text(self, token: int) -> bool:
        """Whether its bytes go on with those so far."""
        state = self._utf8.getstate()
        try:
            self._utf8.decode(self._vocabulary.bytes_of(token))
        except UnicodeDecodeError:
            return False
        finally:
            self._utf8.setstate(state)
        return True

    def _as_native(self, candidates: "_Candidates") -> Any:
        """A view for native code, which writes into it; ``candidates`` must outlive it."""
        data = candidates.ctypes.data_as(ctypes.POINTER(self._api.llama_token_data))
        return self._api.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=False)


_Candidates = npt.NDArray[Any]  # of _CANDIDATE
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])  # llama_token_data


def _candidates(tokens: Any, logits: npt.NDArray[np.float32]) -> _Candidates:
    candidates = np.zeros(len(tokens), dtype=_CANDIDATE)
    candidates["id"] = tokens
    candidates["logit"] = logits[tokens]
    return candidates


def _new_grammar(api: Any, vocabulary: NativeVocabulary, allowed: Allowed) -> Any:
    grammar = api.llama_sampler_init_grammar(vocabulary.pointer, grammar_of(allowed).encode(), ROOT.encode())
    if not grammar:
        raise EngineError(f"llama.cpp made no grammar of {len(allowed.texts)} answers", _NO_MEMORY)
    return grammar


def new_chain(api: Any, sampling: Sampling) -> Any:
    """A chain that chooses as ``sampling`` says; whoever asked for it frees it.

    Raises:
        EngineError: llama.cpp made none.
    """
    chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
    if not chain:
        raise EngineError("llama.cpp made no sampler", _NO_MEMORY)
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
