"""Names of devices, and what is left on them."""

import pytest

from gpt4roi_runtime.errors import SettingsError
from gpt4roi_runtime.planning.devices import DEVICES, GIB, MIB, find_device


@pytest.mark.parametrize("name", [device.name for device in DEVICES])
def test_every_device_of_the_table_is_found_and_has_memory_left(name: str) -> None:
    device = find_device(f" {name.upper()} ")
    assert device.name == name
    assert 0 < device.free_bytes == device.total_bytes - device.reserve_bytes
    assert device.source


def test_the_orins_share_one_memory_and_a_card_does_not() -> None:
    assert find_device("orin-nano-8gb").total_bytes == 7620 * MIB
    assert not find_device("orin-nano-8gb").separate
    assert find_device("rtx-4090").separate


@pytest.mark.parametrize("text", ["cpu:16gb", "CPU:16GB", "cpu:16gib", "cpu:16.0g"])
def test_a_plain_machine_has_less_than_its_modules_say(text: str) -> None:
    device = find_device(text)
    assert 15.4 * GIB < device.total_bytes < 16 * GIB
    assert not device.nvidia


def test_this_machine_offers_what_is_free_on_it() -> None:
    device = find_device("cpu")
    assert 0 < device.free_bytes < device.total_bytes


def test_a_machine_too_small_for_its_system_has_nothing_left() -> None:
    assert find_device("cpu:1gb").free_bytes == 0


@pytest.mark.parametrize(
    "text", ["", "gpu", "cpu:", "cpu:0gb", "cpu:16", "cpu:-1gb", "cpu:1e9gb", "orin", "cpu:\uff11gb"]
)
def test_an_unknown_device_lists_the_known_ones(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        find_device(text)
    assert repr(text) in refused.value.problem
    for device in DEVICES:
        assert device.name in refused.value.advice
