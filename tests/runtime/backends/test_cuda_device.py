"""The driver's answers, from a driver that is none."""

import ctypes
from typing import Any

import pytest

from gpt4roi_runtime.backends.cuda_device import CudaDevice, check_cuda_version, find_cuda_device
from gpt4roi_runtime.errors import EngineMissingError

NO_DEVICE = 100


class FakeLibrary:
    """libcuda of an Orin; ``fails`` names a function and the status that it returns."""

    def __init__(self, fails: dict[str, int] | None = None, n_devices: int = 1, *, is_mute: bool = False) -> None:
        self._fails = fails or {}
        self._n_devices = n_devices
        self._is_mute = is_mute

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            if name in self._fails:
                return self._fails[name]
            self._answer(name, *arguments)
            return 1 if name == "cuGetErrorString" and self._is_mute else 0

        return call

    def _answer(self, name: str, *arguments: Any) -> None:
        number = {"cuDeviceGetCount": self._n_devices, "cuDeviceTotalMem_v2": 7990 << 20, "cuDriverGetVersion": 12060}
        if name in number:
            arguments[0]._obj.value = number[name]
        elif name == "cuDeviceGetName":
            arguments[0].value = b"Orin"
        elif name == "cuDeviceGetAttribute":
            arguments[0]._obj.value = {75: 8, 76: 7, 18: 1}[arguments[1]]
        elif name == "cuGetErrorString":
            arguments[1]._obj.value = b"no CUDA-capable device is detected"


def test_the_device_is_described() -> None:
    device = find_cuda_device(lambda _: FakeLibrary())
    assert device == CudaDevice("Orin", 87, (12, 6), 7990 << 20, integrated=True)
    assert str(device) == ("Orin (compute capability 8.7, 7,990 MiB shared with the processor; driver for CUDA 12.6)")


def test_no_driver_is_said_by_the_librarys_name() -> None:
    def absent(name: str) -> Any:
        return ctypes.CDLL(name + ".is-not-here")

    with pytest.raises(EngineMissingError, match=r"no NVIDIA driver: libcuda\.so\.1"):
        find_cuda_device(absent)


@pytest.mark.parametrize("call", ["cuInit", "cuDeviceGetCount", "cuDeviceGetName", "cuDeviceGetAttribute"])
def test_a_driver_that_refuses_is_quoted(call: str) -> None:
    with pytest.raises(EngineMissingError, match="no CUDA-capable device is detected"):
        find_cuda_device(lambda _: FakeLibrary({call: NO_DEVICE}))


def test_a_driver_that_gives_no_reason_is_named_by_its_number() -> None:
    with pytest.raises(EngineMissingError, match="error 100"):
        find_cuda_device(lambda _: FakeLibrary({"cuInit": NO_DEVICE}, is_mute=True))


def test_a_driver_without_a_gpu_is_no_gpu() -> None:
    with pytest.raises(EngineMissingError, match="no GPU"):
        find_cuda_device(lambda _: FakeLibrary(n_devices=0))


def test_an_older_driver_is_refused_with_both_versions() -> None:
    device = find_cuda_device(lambda _: FakeLibrary())
    check_cuda_version(device, 12, "it", "update")
    with pytest.raises(EngineMissingError, match=r"CUDA 13; this one is for CUDA 12\.6"):
        check_cuda_version(device, 13, "it", "update")
