"""Which GPUs plans are built for, and with which of NVIDIA's two engines; imports neither."""

import re
from dataclasses import dataclass

from gpt4roi_runtime.bundle.plans import PlanEngine
from gpt4roi_runtime.errors import SettingsError

RTX_CAPABILITIES = (75, 80, 86, 89, 120, 121)
"""What TensorRT for RTX can build for, on any machine."""
_NAMES = {72: "Jetson Xavier", 87: "Jetson Orin", 90: "H100 and GH200", 101: "Jetson Thor", 110: "Jetson Thor"}
_ONE = re.compile(r"sm_([0-9]{2,3})")


@dataclass(frozen=True)
class Target:
    """GPUs and the engine for them.

    Attributes:
        engine: The module's name.
        compute_capabilities: Ascending, 89 for 8.9; empty stands for the GPU of this machine.
    """

    engine: PlanEngine
    compute_capabilities: tuple[int, ...]


def parse_target(said: str, engine: PlanEngine | None = None) -> Target:
    """``rtx``, ``jetson``, or ``sm_89,sm_120``.

    Args:
        said: What a person wrote.
        engine: What that person insists on; ``None`` takes the one that suits.

    Raises:
        SettingsError: No such target, or the engine cannot build for it.
    """
    if said == "rtx":
        return _target(RTX_CAPABILITIES, engine)
    if said == "jetson":
        if engine == "tensorrt_rtx":
            raise SettingsError("TensorRT for RTX does not build for Jetson", _on_device("a Jetson"))
        return Target("tensorrt", ())
    found = [_ONE.fullmatch(part.strip()) for part in said.split(",")]
    if not all(found):
        raise SettingsError(f"target {said!r} is none", "Give rtx, jetson, or GPUs such as sm_89 or sm_86,sm_89.")
    return _target(tuple(sorted({int(one[1]) for one in found if one})), engine)


def _target(capabilities: tuple[int, ...], engine: PlanEngine | None) -> Target:
    foreign = [one for one in capabilities if one not in RTX_CAPABILITIES]
    if engine == "tensorrt_rtx" and foreign:
        known = ", ".join(f"sm_{one}" for one in RTX_CAPABILITIES)
        name = _NAMES.get(foreign[0], "that GPU")
        raise SettingsError(
            f"TensorRT for RTX does not build for sm_{foreign[0]} ({name}); it does for {known}", _on_device(name)
        )
    chosen: PlanEngine = engine or ("tensorrt" if foreign else "tensorrt_rtx")
    if chosen == "tensorrt" and len(capabilities) > 1:
        said = ", ".join(f"sm_{one}" for one in capabilities)
        raise SettingsError(
            f"TensorRT builds for the one GPU that it runs on, not for {said}",
            "Give one GPU, and run this on a machine that has it; or build with --engine tensorrt-rtx.",
        )
    return Target(chosen, capabilities)


def require_this_gpu(target: Target, found: int | None) -> Target:
    """The target with the GPU of this machine in it; nothing is asked of a target that needs none.

    Args:
        target: As parsed.
        found: Compute capability of this machine's GPU, or ``None`` if it has none.

    Raises:
        SettingsError: TensorRT is to build for a GPU that is not here.
    """
    if target.engine == "tensorrt_rtx":
        return target
    wanted = target.compute_capabilities[0] if target.compute_capabilities else None
    if found is None or wanted not in (None, found):
        name = _NAMES.get(wanted or 0, "the GPU")
        asked = f"sm_{wanted} ({name})" if wanted else "a Jetson"
        here = "this machine has no NVIDIA GPU with a driver" if found is None else f"this machine's GPU is sm_{found}"
        raise SettingsError(
            f"TensorRT builds for the GPU that it runs on; for {asked} that is not here: {here}",
            _on_device(name if wanted else "the Jetson"),
        )
    return Target(target.engine, (found,))


def _on_device(name: str) -> str:
    return (
        f"Run the command on {name}, with TensorRT itself: JetPack brings the package `tensorrt`, elsewhere it is "
        "pip install tensorrt."
    )
