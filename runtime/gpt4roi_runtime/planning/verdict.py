"""Does a bundle fit a device, and if not, what would make it fit; knows no terminal."""

from collections.abc import Iterator
from dataclasses import dataclass

from gpt4roi_runtime.planning.demand import BundleFacts, Part, Usage, check_usage, demand
from gpt4roi_runtime.planning.devices import MIB, Device
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
        notes: What else should be known.
    """

    device: Device
    usage: Usage
    parts: tuple[Part, ...]
    pools: tuple[Pool, ...]
    proposals: tuple[Proposal, ...]
    together: Proposal | None
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
    return Plan(device, usage, parts, pools, single, several, tuple(_notes(facts, device)))


def _notes(facts: BundleFacts, device: Device) -> Iterator[str]:
    if device.nvidia:
        yield "This version runs on processors only; what is said of the GPU is a forecast."
        yield (
            f"Building the engines on the device takes some {_ENGINE_BUILD_BYTES // MIB} MiB at GPT4RoI's size, "
            "before the language model is loaded."
        )
    elif not facts.vision.encode_needs.seen.complete:
        yield "The encode graph has operators this estimate does not know; the pyramid stands in for them."
