"""Changes that take less memory, each with what it would take; does not decide whether any is needed."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gpt4roi_runtime.backends.llama_cpp_memory import CONTEXT_STEP, padded_context
from gpt4roi_runtime.planning.demand import BundleFacts, Usage, demand
from gpt4roi_runtime.planning.devices import Device
from gpt4roi_runtime.planning.language_file import QUANTISATIONS
from gpt4roi_runtime.planning.pools import Pool, pools_of

_SMALLEST_CONTEXT = 512
_NO_KV_TYPE = "this version keeps half floats"
_NO_RELEASE = "for one image at a time; this version keeps both halves loaded"
_QUANTISE = "gpt4roi-export quantize"


@dataclass(frozen=True)
class Proposal:
    """A change that takes less memory.

    Attributes:
        what: The change.
        usage: The use after it.
        pools: The memories after it.
        note: What speaks against it, or what it needs; may be empty.
    """

    what: str
    usage: Usage
    pools: tuple[Pool, ...]
    note: str

    @property
    def fits(self) -> bool:
        """Whether the change is enough by itself."""
        return all(pool.fits for pool in self.pools)


def _with(facts: BundleFacts, device: Device, usage: Usage, what: str, note: str = "") -> Proposal:
    pools = pools_of(device, demand(facts, device, usage), vision_first=usage.vision_first)
    return Proposal(what, usage, pools, note)


def proposals(facts: BundleFacts, device: Device, usage: Usage) -> Iterator[Proposal]:
    """Every change by itself, in the order in which they cost the least of what the model can do."""
    yield from _quantisations(facts, device, usage)
    yield from _contexts(facts, device, usage)
    if usage.kv_type == "f16":
        yield _with(facts, device, replace(usage, kv_type="q8_0"), "KV cache of 8 bits", _NO_KV_TYPE)
    if device.separate:
        yield _fewer_layers(facts, device, usage)
    yield _with(facts, device, replace(usage, vision_first=True), "vision released before the language", _NO_RELEASE)
    if usage.n_regions > 1:
        fewer = max(1, usage.n_regions // 4)
        yield _with(facts, device, replace(usage, n_regions=fewer), f"{fewer} regions at once")


def _quantisations(facts: BundleFacts, device: Device, usage: Usage) -> Iterator[Proposal]:
    """All types smaller than the file."""
    file = facts.language
    for name in QUANTISATIONS:
        size = file.quantised_bytes(name)
        if size < file.header.tensor_bytes:
            yield _with(facts, device, replace(usage, quantisation=name), f"{name} language model", _QUANTISE)


def _contexts(facts: BundleFacts, device: Device, usage: Usage) -> Iterator[Proposal]:
    """The largest smaller context that fits; else the smallest that holds the image and the regions."""
    steps = range(_smallest_context(facts, usage), usage.context_length, CONTEXT_STEP)

    def tried(context_length: int) -> Proposal:
        return _with(facts, device, replace(usage, context_length=context_length), f"context of {context_length}")

    if steps:
        n_fitting = bisect_left(steps, 1, key=lambda length: not tried(length).fits)
        yield tried(steps[max(0, n_fitting - 1)])


def _fewer_layers(facts: BundleFacts, device: Device, usage: Usage) -> Proposal:
    """As many layers on the GPU as fit; the rest stays with the processor, and is slower there."""

    def tried(n_layers: int) -> Proposal:
        what = f"{n_layers} layers on the GPU"
        return _with(facts, device, replace(usage, gpu_layers=n_layers), what, "the others run on the processor")

    counts = range(facts.language.header.block_count)
    return tried(max(0, bisect_left(counts, 1, key=lambda n_layers: not tried(n_layers).fits) - 1))


def together(facts: BundleFacts, device: Device, usage: Usage) -> Proposal | None:
    """Change after change, each at its smallest, until it fits."""
    words: list[str] = []
    now = usage
    for change in (_smallest_type, _half_the_context, _smallest_cache, _vision_first, _one_region):
        changed, word = change(facts, now)
        if changed == now:
            continue
        now = changed
        words.append(word)
        tried = _with(facts, device, now, " + ".join(words))
        if tried.fits:
            return tried
    return None


def _smallest_type(facts: BundleFacts, usage: Usage) -> tuple[Usage, str]:
    smallest = min(QUANTISATIONS, key=facts.language.quantised_bytes)
    if facts.language.quantised_bytes(smallest) >= facts.language.header.tensor_bytes:
        return usage, ""
    return replace(usage, quantisation=smallest), smallest


def _half_the_context(facts: BundleFacts, usage: Usage) -> tuple[Usage, str]:
    length = min(usage.context_length, max(_smallest_context(facts, usage), usage.context_length // 2))
    return replace(usage, context_length=length), f"context {length}"


def _smallest_context(facts: BundleFacts, usage: Usage) -> int:
    """Of llama.cpp's sizes, the smallest that holds the image, the regions and a dialogue."""
    return max(_SMALLEST_CONTEXT, padded_context(facts.n_given_rows(usage.n_regions) + 1))


def _smallest_cache(facts: BundleFacts, usage: Usage) -> tuple[Usage, str]:
    del facts
    return replace(usage, kv_type="q8_0"), "KV q8_0"


def _vision_first(facts: BundleFacts, usage: Usage) -> tuple[Usage, str]:
    del facts
    return replace(usage, vision_first=True), "vision released first"


def _one_region(facts: BundleFacts, usage: Usage) -> tuple[Usage, str]:
    del facts
    return replace(usage, n_regions=1), "1 region at once"
