"""Does a bundle fit a device, and if not, what would make it fit; knows no terminal."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

from gpt4roi_runtime.backends.llama_cpp_memory import KvType
from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.planning.demand import BundleFacts, Part, Usage, check_usage, demand, read_bundle_facts
from gpt4roi_runtime.planning.devices import MIB, Device, find_device
from gpt4roi_runtime.planning.kept import KeptImages, kept_images
from gpt4roi_runtime.planning.pools import Pool, pools_of, saves
from gpt4roi_runtime.planning.proposals import Proposal, proposals, together

_ENGINE_BUILD_BYTES = 4_100_000_000


@dataclass(frozen=True)
class Plan:
    """The answer.

    Attributes:
        device: On what.
        usage: How used.
        parts: All that is needed.
        pools: The memories.
        proposals: Changes that save memory, one by one; empty where it fits.
        together: The first changes that are enough together; None where it fits, one is enough, or none are.
        kept: What images take that are kept for later, beside what is needed.
        notes: What else should be known.
    """

    device: Device
    usage: Usage
    parts: tuple[Part, ...]
    pools: tuple[Pool, ...]
    proposals: tuple[Proposal, ...]
    together: Proposal | None
    kept: tuple[KeptImages, ...]
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether all memories are enough."""
        return all(pool.fits for pool in self.pools)


def plan(facts: BundleFacts, device: Device, usage: Usage) -> Plan:
    """Predict, judge, and propose.

    Raises:
        InputError: The bundle is not made for this use.
    """
    check_usage(facts, usage)
    parts = demand(facts, device, usage)
    pools = pools_of(device, parts, vision_first=usage.vision_first)
    fits = all(pool.fits for pool in pools)
    single = () if fits else tuple(one for one in proposals(facts, device, usage) if saves(pools, one.pools))
    several = None if fits or any(proposal.fits for proposal in single) else together(facts, device, usage)
    kept = kept_images(facts, usage)
    notes = (*_notes(facts, device), *_notes_on_kept(pools[-1], kept))
    return Plan(device, usage, parts, pools, single, several, kept, notes)


def planned_bytes(bundle: Bundle, settings: LlamaCppSettings, n_regions: int) -> int | None:
    """Memory of this machine that a bundle loaded with these settings is said to take; None where that is not known.

    Raises:
        InputError: The bundle is not made for this use.
    """
    default = LlamaCppSettings()
    known = all(
        (
            settings.rows_at_once() == default.rows_at_once(),
            settings.flash_attention == default.flash_attention,
            settings.repack == default.repack,
            settings.n_gpu_layers == default.n_gpu_layers,
        )
    )
    kv_type = next((kind for kind in get_args(KvType) if settings.type_k == settings.type_v == kind), None)
    if not known or settings.context_length is None or kv_type is None:
        return None
    facts, usage = read_bundle_facts(bundle), Usage(settings.context_length, n_regions, kv_type=kv_type)
    check_usage(facts, usage)
    device = find_device("cpu")
    (memory,) = pools_of(device, demand(facts, device, usage), vision_first=False)
    return memory.needed_bytes


def _notes(facts: BundleFacts, device: Device) -> Iterator[str]:
    if device.nvidia:
        yield "This version runs on processors only; what is said of the GPU is a forecast."
        yield (
            f"Building the engines on the device takes some {_ENGINE_BUILD_BYTES // MIB} MiB at GPT4RoI's size, "
            "before the language model is loaded."
        )
    elif not facts.vision.encode_needs.seen.complete:
        yield "The encode graph has operators this estimate does not know; the pyramid stands in for them."


def _notes_on_kept(memory: Pool, kept: tuple[KeptImages, ...]) -> Iterator[str]:
    """Of the memory that Python's arrays lie in."""
    wanted = sum(one.most_bytes for one in kept if one.place == "memory")
    left = memory.headroom_bytes
    if left is not None and 0 <= left < wanted:
        yield f"Kept images may take another {wanted // MIB} MiB as more are opened, and {left // MIB} MiB are left."
