"""The NVIDIA GPU of this machine and its driver, asked of the driver itself; needs no package and allocates nothing."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpt4roi_runtime.errors import EngineMissingError

LIBRARY = "libcuda.so.1"
_NAME_BYTES = 256
_MAJOR, _MINOR, _INTEGRATED = 75, 76, 18  # of CUdevice_attribute
_MIB = 1 << 20

_ADVICE = "Install NVIDIA's driver (on a Jetson it comes with JetPack), or take an engine for the CPU."


@dataclass(frozen=True)
class CudaDevice:
    """The first GPU.

    Attributes:
        name: In the driver's words.
        compute_capability: 89 is 8.9.
        driver: Highest version of CUDA that the driver runs, such as (13, 0).
        total_bytes: Of its memory; an integrated GPU's is the processor's too.
        integrated: Whether it shares the processor's memory, as on a Jetson.
    """

    name: str
    compute_capability: int
    driver: tuple[int, int]
    total_bytes: int
    integrated: bool

    def __str__(self) -> str:
        major, minor = divmod(self.compute_capability, 10)
        memory = f"{self.total_bytes // _MIB:,} MiB{' shared with the processor' if self.integrated else ''}"
        return f"{self.name} (compute capability {major}.{minor}, {memory}; driver for CUDA {_dotted(self.driver)})"


def find_cuda_device(load: Callable[[str], Any] = ctypes.CDLL) -> CudaDevice:
    """Ask the driver for the first GPU; ``load`` opens its library.

    Raises:
        EngineMissingError: There is no driver, it does not start, or it finds no GPU.
    """
    try:
        driver = load(LIBRARY)
    except OSError as error:
        raise EngineMissingError(f"no NVIDIA driver: {error}", _ADVICE) from error
    _checked(driver, driver.cuInit(0), "the driver does not start")
    count, device, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    _checked(driver, driver.cuDeviceGetCount(ctypes.byref(count)), "the driver cannot count its GPUs")
    if count.value < 1:
        raise EngineMissingError("the NVIDIA driver finds no GPU", _ADVICE)
    what = "the driver cannot describe its GPU"
    _checked(driver, driver.cuDeviceGet(ctypes.byref(device), 0), what)
    name, total = ctypes.create_string_buffer(_NAME_BYTES), ctypes.c_size_t()
    _checked(driver, driver.cuDeviceGetName(name, _NAME_BYTES, device), what)
    _checked(driver, driver.cuDeviceTotalMem_v2(ctypes.byref(total), device), what)
    _checked(driver, driver.cuDriverGetVersion(ctypes.byref(version)), what)
    facts = []
    for attribute in (_MAJOR, _MINOR, _INTEGRATED):
        value = ctypes.c_int()
        _checked(driver, driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device), what)
        facts.append(value.value)
    major, minor, integrated = facts
    return CudaDevice(
        name=name.value.decode("utf-8", "replace"),
        compute_capability=10 * major + minor,
        driver=(version.value // 1000, version.value % 1000 // 10),
        total_bytes=total.value,
        integrated=bool(integrated),
    )


def check_cuda_version(device: CudaDevice, least: int, who: str, advice: str) -> None:
    """Hold the driver against the major version of CUDA that an engine was built for.

    Raises:
        EngineMissingError: The driver is older.
    """
    if device.driver[0] < least:
        raise EngineMissingError(
            f"{who} needs a driver for CUDA {least}; this one is for CUDA {_dotted(device.driver)}", advice
        )


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _checked(driver: Any, status: int, what: str) -> None:
    if status == 0:
        return
    words = ctypes.c_char_p()
    said = driver.cuGetErrorString(status, ctypes.byref(words)) == 0 and words.value is not None
    reason = (words.value or b"").decode("utf-8", "replace") if said else f"error {status}"
    raise EngineMissingError(f"{what}: {reason}", _ADVICE)
