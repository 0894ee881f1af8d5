"""Does a model of seven billion weights fit, and what would make it."""

from dataclasses import replace
from typing import Any

import pytest

from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.errors import RegionError, SettingsError
from gpt4roi_runtime.planning.demand import BundleFacts, Usage
from gpt4roi_runtime.planning.devices import DEVICES, GIB, Device, find_device
from gpt4roi_runtime.planning.verdict import Plan, plan, planned_bytes

USAGE = Usage(2048)
"""Half floats: 13.5 GB of weights, and 1.07 GB of KV cache."""


def of(found: Plan, name: str) -> int:
    return sum(part.size_bytes for part in found.parts if part.name == name)


def with_memory(device: Device, free_bytes: int) -> Device:
    return replace(device, total_bytes=free_bytes, reserve_bytes=0)


def test_parts_add_up_to_what_is_needed(facts: BundleFacts) -> None:
    found = plan(facts, find_device("cpu:64gb"), USAGE)
    (pool,) = found.pools
    assert pool.needed_bytes == sum(part.size_bytes for part in found.parts)
    assert of(found, "language model: weights") == facts.language.header.tensor_bytes
    assert of(found, "KV cache") == GIB
    assert found.fits
    assert (found.proposals, found.together) == ((), None)


def test_one_byte_decides(facts: BundleFacts) -> None:
    machine = find_device("cpu:64gb")
    needed = plan(facts, machine, USAGE).pools[0].needed_bytes
    assert plan(facts, with_memory(machine, needed), USAGE).pools[0].headroom_bytes == 0
    assert plan(facts, with_memory(machine, needed), USAGE).fits
    assert not plan(facts, with_memory(machine, needed - 1), USAGE).fits


@pytest.mark.parametrize("name", ["orin-nano-8gb", "cpu:16gb"])
def test_a_file_of_half_floats_fits_neither(facts: BundleFacts, name: str) -> None:
    found = plan(facts, find_device(name), USAGE)
    assert not found.fits
    assert [proposal.what for proposal in found.proposals][:5] == [
        f"{kind} language model" for kind in ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0")
    ]


def test_a_smaller_type_makes_it_fit_where_there_are_16_gb(facts: BundleFacts) -> None:
    found = plan(facts, find_device("orin-nx-16gb"), USAGE)
    first = next(proposal for proposal in found.proposals if proposal.fits)
    assert first.what == "Q8_0 language model"
    assert plan(facts, found.device, first.usage).pools == first.pools
    assert found.together is None


def test_a_nano_needs_several_changes(facts: BundleFacts) -> None:
    small = replace(find_device("orin-nano-8gb"), total_bytes=6 * GIB)
    found = plan(facts, small, USAGE)
    assert not any(proposal.fits for proposal in found.proposals)
    assert found.together is not None
    assert found.together.what.startswith("Q4_0 + ")
    assert plan(facts, small, found.together.usage).fits


def test_nothing_helps_where_there_is_nothing(facts: BundleFacts) -> None:
    found = plan(facts, find_device("cpu:1gb"), USAGE)
    assert found.together is None
    assert not any(proposal.fits for proposal in found.proposals)


def test_every_proposal_saves_something(facts: BundleFacts) -> None:
    for device in DEVICES:
        found = plan(facts, with_memory(device, GIB), USAGE)
        for proposal in found.proposals:
            saved = [
                now.needed_bytes - then.needed_bytes for now, then in zip(found.pools, proposal.pools, strict=True)
            ]
            assert max(saved) > 0, proposal.what


def test_the_largest_context_that_fits_is_proposed(facts: BundleFacts) -> None:
    machine = find_device("cpu:64gb")
    needed = plan(facts, machine, USAGE).pools[0].needed_bytes
    found = plan(facts, with_memory(machine, needed - GIB // 4), USAGE)
    proposal = next(one for one in found.proposals if one.what.startswith("context"))
    assert proposal.fits
    assert proposal.usage.context_length == 1536
    more = replace(USAGE, context_length=1536 + 256)
    assert not plan(facts, found.device, more).fits


def test_a_cache_of_8_bits_is_proposed_once(facts: BundleFacts) -> None:
    found = plan(facts, find_device("cpu:8gb"), replace(USAGE, kv_type="q8_0"))
    assert not [one for one in found.proposals if one.what.startswith("KV")]


class TestCard:
    def test_the_table_stays_with_the_processor(self, facts: BundleFacts) -> None:
        found = plan(facts, find_device("rtx-4090"), USAGE)
        assert of(found, "language model: weights") == facts.language.embedding_bytes
        assert of(found, "language model: 32 layers") + facts.language.embedding_bytes == (
            facts.language.header.tensor_bytes
        )
        gpu, host = found.pools
        assert gpu.fits
        assert (host.free_bytes, host.headroom_bytes) == (None, None)

    def test_as_many_layers_as_fit_are_proposed(self, facts: BundleFacts) -> None:
        card = find_device("rtx-4060-8gb")
        found = plan(facts, card, USAGE)
        assert not found.fits
        proposal = next(one for one in found.proposals if one.what.endswith("layers on the GPU"))
        assert proposal.fits
        n_layers = proposal.usage.gpu_layers
        assert n_layers is not None
        assert 0 < n_layers < 32
        assert not plan(facts, card, replace(USAGE, gpu_layers=n_layers + 1)).fits
        weights = sum(
            part.size_bytes
            for part in plan(facts, card, proposal.usage).parts
            if part.name.startswith("language model")
        )
        assert weights == facts.language.header.tensor_bytes


class TestUsage:
    def test_a_context_beyond_the_models(self, facts: BundleFacts) -> None:
        with pytest.raises(SettingsError, match="context_length 4096 is more than the 2048"):
            plan(facts, find_device("cpu"), Usage(4096))

    def test_more_regions_than_the_bundle_takes(self, facts: BundleFacts) -> None:
        with pytest.raises(RegionError, match="101 regions"):
            plan(facts, find_device("cpu"), Usage(2048, n_regions=101))

    @pytest.mark.parametrize("n_sequences", [0, 257])
    def test_sequences_out_of_range(self, facts: BundleFacts, n_sequences: int) -> None:
        with pytest.raises(SettingsError, match="sequences"):
            plan(facts, find_device("cpu"), Usage(2048, n_sequences=n_sequences))

    def test_a_context_that_cannot_hold_image_and_regions(self, facts: BundleFacts) -> None:
        with pytest.raises(SettingsError, match="take 356 rows; the context holds 356"):
            plan(facts, find_device("cpu"), Usage(356, n_regions=100))
        plan(facts, find_device("cpu"), Usage(357, n_regions=100))


class TestBesideAMeasurement:
    def test_what_is_loaded_here_is_what_the_plan_says(self, facts: BundleFacts) -> None:
        settings = LlamaCppSettings(n_threads=1, context_length=2048)
        found = planned_bytes(facts.bundle, settings, 16)
        assert found == plan(facts, find_device("cpu"), Usage(2048, 16)).pools[0].needed_bytes
        smaller = planned_bytes(facts.bundle, replace(settings, type_k="q8_0", type_v="q8_0"), 16)
        assert smaller == plan(facts, find_device("cpu"), Usage(2048, 16, kv_type="q8_0")).pools[0].needed_bytes
        assert planned_bytes(facts.bundle, replace(settings, ubatch_size=512), 16) == found

    @pytest.mark.parametrize(
        "other",
        [
            {"type_k": "q8_0"},
            {"type_k": "q4_0", "type_v": "q4_0"},
            {"batch_size": 64},
            {"flash_attention": "off"},
            {"n_gpu_layers": 3},
            {"context_length": None},
        ],
    )
    def test_of_other_settings_it_has_no_arithmetic(self, facts: BundleFacts, other: dict[str, Any]) -> None:
        settings = replace(LlamaCppSettings(n_threads=1, context_length=2048), **other)
        assert planned_bytes(facts.bundle, settings, 16) is None
