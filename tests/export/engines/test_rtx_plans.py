"""The command with TensorRT for RTX as its wheel is, without the name that its parser opens; no plan is run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpt4roi_export.engines.targets import RTX_CAPABILITIES
from gpt4roi_runtime.backends.vision_candidates import missing_gpu
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.bundle.plans import PlanTensor, WantedPlan, checked_content, find_plan
from tests.helpers.native_plugin import REPOSITORY, build_plugin, rtx_python

pytestmark = [pytest.mark.gpu_wheels, pytest.mark.bundle]
VERSION = "1.7.1.116"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_plugin(tmp_path_factory.mktemp("cmake"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the wheel's packages, and the library under its wheel's name only."""
    site = next((rtx_python().parents[1] / "lib").glob("python3*/site-packages"))
    folder = tmp_path_factory.mktemp("wheel")
    for package in (*site.glob("tensorrt_rtx*"), *site.glob("cuda*")):
        if package.name != "tensorrt_rtx_libs":
            (folder / package.name).symlink_to(package)
    (folder / "tensorrt_rtx_libs").mkdir()
    for path in (site / "tensorrt_rtx_libs").iterdir():
        if path.is_file() and path.name != "libtensorrt_rtx.so":
            (folder / "tensorrt_rtx_libs" / path.name).symlink_to(path)
    return folder


def python(wheel: Path, folder: Path, program: str, *arguments: str) -> str:
    """What a program printed that has the wheel, and a cache of its own."""
    paths = [*(str(REPOSITORY / part) for part in ("runtime", "export", "desktop_app")), str(wheel)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def engines(wheel: Path, folder: Path, *arguments: str) -> str:
    """What the command printed."""
    return python(wheel, folder, "from gpt4roi_export.cli import main; main()", "engines", *arguments)


@pytest.mark.parametrize("capability", RTX_CAPABILITIES)
def test_both_plans_of_the_embedded_bundle(
    bundle_dir: Path, plugin: Path, wheel: Path, tmp_path: Path, capability: int
) -> None:
    out = tmp_path / "plans"
    arguments = (str(bundle_dir), "--target", f"sm_{capability}", "--plugin", str(plugin), "--out", str(out))
    assert engines(wheel, tmp_path, *arguments).count("built in") == 2
    bundle = open_bundle(bundle_dir)
    check(bundle, out, plugin, capability)
    assert engines(wheel, tmp_path, *arguments).count("kept: ") == 2


def check(bundle: Bundle, out: Path, plugin: Path, capability: int) -> None:
    encode, regions = (
        find_plan(bundle, WantedPlan(graph, "tensorrt_rtx", VERSION, capability, plugin_version="1.1"), out)
        for graph in ("encode", "regions")
    )
    handed_over = [tensor for tensor in encode.record.outputs if tensor.name.startswith("pyramid_")]
    assert list(regions.record.inputs[:-1]) == handed_over
    assert {(tensor.dtype, tensor.layout) for tensor in handed_over} == {("float16", "channels_last")}
    assert regions.record.inputs[-1] == PlanTensor("boxes", (None, 4), "float32")
    content = checked_content(regions)
    assert plugin.read_bytes() in content
    assert b"PyramidRoiAlign" in content
    assert b"PyramidRoiAlign" not in checked_content(encode)
    assert regions.record.carries_plugin
    assert not encode.record.carries_plugin


def needs_bindings_and_no_driver(wheel: Path) -> None:
    if not (wheel / "cuda").exists():
        pytest.skip("no cuda-bindings in the environment of `make test-engines`: remove it, and make it again")
    if missing_gpu() is None:
        pytest.skip("this machine has a GPU, which would really be asked")


AS_THE_RUNTIME = """
import sys
from pathlib import Path
from gpt4roi_runtime.backends import tensorrt_open
from gpt4roi_runtime.backends.cuda_device import CudaDevice
from gpt4roi_runtime.backends.plan_tensors import check_record
from gpt4roi_runtime.backends.tensorrt_library import TensorRt
from gpt4roi_runtime.backends.tensorrt_plans import said_plans
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.errors import EngineError
from gpt4roi_runtime.vision.contract import encode_contract, regions_contract

tensorrt_open.find_cuda_device = lambda: CudaDevice("RTX 4090", 89, (13, 0), 24 << 30, integrated=False)
bundle = open_bundle(Path(sys.argv[1]))
print(*said_plans(bundle), sep="\\n")
found = tensorrt_open.find_plans(bundle, "tensorrt_rtx")
for plan, contract in ((found.encode, encode_contract), (found.regions, regions_contract)):
    tensors = (*plan.record.inputs, *plan.record.outputs)
    check_record(plan.record, contract(bundle.manifest), tuple(tensor.name for tensor in tensors))
print("found:", found, found.plugin)
library = Path(sys.argv[2])
one, two = TensorRt(found.library, library), TensorRt(found.library, library)  # each has a registry of its own
print("operator:", one._runtime.get_plugin_registry().get_creator("PyramidRoiAlign", "1", "gpt4roi") is not None)
one.close()
two.close()
try:
    tensorrt_open.open_tensorrt(bundle, "tensorrt_rtx")
except EngineError as error:
    print("refused:", error.problem)
"""


def test_the_runtime_takes_them_up_to_the_missing_driver(
    bundle_dir: Path, plugin: Path, wheel: Path, tmp_path: Path
) -> None:
    needs_bindings_and_no_driver(wheel)
    engines(wheel, tmp_path, str(bundle_dir), "--target", "sm_89", "--plugin", str(plugin))
    said = python(wheel, tmp_path, AS_THE_RUNTIME, str(bundle_dir), str(plugin)).splitlines()
    assert said[0].startswith(f"plan of the encode graph for sm_89: TensorRT for RTX {VERSION}, fp16, ")
    assert said[1].startswith("plan of the regions graph for sm_89")
    assert said[2].startswith(f"found: TensorRT for RTX {VERSION} fp16, encode-")
    assert said[2].endswith(" None")  # the plan carries the operator
    assert said[3] == "operator: True"
    assert said[4].startswith("refused: TensorRT for RTX")
    assert "cudaError 35" in said[4]  # no driver, or one that is too old


CALLS_OF_CUDA = """
from gpt4roi_runtime.backends.cuda_driver import CudaBindings
from gpt4roi_runtime.errors import EngineError

cuda = CudaBindings()
cuda._recordings[9] = 9
for name, arguments in {
    "memory": (), "allocate": (10,), "free": (4096,), "allocate_pinned": (10,), "free_pinned": (4096,),
    "new_stream": (), "copy_in": (4096, 4096, 8, 7), "copy_out": (4096, 4096, 8, 7), "begin_recording": (7,),
    "end_recording": (7,), "play": (9, 7), "wait": (7,), "drop": (9,), "end_stream": (7,),
}.items():
    try:
        getattr(cuda, name)(*arguments)
    except EngineError as error:
        print(name, error.problem)
"""


def test_the_real_bindings_take_what_they_are_given(wheel: Path, tmp_path: Path) -> None:
    needs_bindings_and_no_driver(wheel)
    said = python(wheel, tmp_path, CALLS_OF_CUDA).splitlines()
    assert len(said) == 14
    assert [line for line in said if "driver" not in line] == []  # an argument of a wrong type would say so
