import pytest

from gpt4roi_export.engines.targets import RTX_CAPABILITIES, Target, parse_target, require_this_gpu
from gpt4roi_runtime.bundle.plans import PlanEngine
from gpt4roi_runtime.errors import SettingsError


@pytest.mark.parametrize(
    ("said", "engine", "target"),
    [
        ("rtx", None, Target("tensorrt_rtx", RTX_CAPABILITIES)),
        ("sm_89", None, Target("tensorrt_rtx", (89,))),
        ("sm_120, sm_86,sm_86", None, Target("tensorrt_rtx", (86, 120))),
        ("sm_89", "tensorrt", Target("tensorrt", (89,))),
        ("sm_90", None, Target("tensorrt", (90,))),
        ("jetson", None, Target("tensorrt", ())),
    ],
)
def test_what_a_person_says_is_gpus_and_an_engine(said: str, engine: PlanEngine | None, target: Target) -> None:
    assert parse_target(said, engine) == target


@pytest.mark.parametrize("said", ["", "sm89", "sm_89,", "sm_8.9", "all", "../sm_89", "sm_1234"])
def test_what_is_no_target_is_refused(said: str) -> None:
    with pytest.raises(SettingsError, match="is none"):
        parse_target(said)


@pytest.mark.parametrize("said", ["sm_87", "sm_90", "sm_110", "sm_89,sm_110", "jetson"])
def test_tensorrt_for_rtx_is_refused_what_it_cannot_build_for(said: str) -> None:
    with pytest.raises(SettingsError, match="TensorRT for RTX does not build for") as refused:
        parse_target(said, "tensorrt_rtx")
    assert "with TensorRT itself: JetPack brings the package `tensorrt`" in refused.value.advice


def test_tensorrt_builds_for_one_gpu() -> None:
    with pytest.raises(SettingsError, match="the one GPU that it runs on, not for sm_87, sm_110"):
        parse_target("sm_110,sm_87")


@pytest.mark.parametrize("found", [None, 89])
def test_a_jetsons_plan_is_built_on_the_jetson(found: int | None) -> None:
    with pytest.raises(SettingsError, match=r"for sm_87 \(Jetson Orin\) that is not here") as refused:
        require_this_gpu(parse_target("sm_87"), found)
    assert refused.value.advice.startswith("Run the command on Jetson Orin")


def test_on_the_device_its_gpu_is_the_target() -> None:
    assert require_this_gpu(parse_target("jetson"), 87) == Target("tensorrt", (87,))
    assert require_this_gpu(parse_target("sm_87"), 87) == Target("tensorrt", (87,))


def test_tensorrt_for_rtx_needs_no_gpu() -> None:
    assert require_this_gpu(parse_target("sm_89"), None) == Target("tensorrt_rtx", (89,))
