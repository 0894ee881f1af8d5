"""The plugin, compiled against TensorRT's headers and asked what TensorRT would ask; no TensorRT, no GPU."""

from pathlib import Path

import pytest

from tests.helpers.native_plugin import PROBES, compile_on_cpu, program, run
from tests.helpers.native_roi_align import SOURCES

CHECKS = ("names", "bad_attributes", "kept_in_a_plan", "types", "shapes", "formats", "runs")


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that loads a plugin library and does with it what TensorRT does."""
    return compile_on_cpu(tmp_path_factory.mktemp("probe") / "plugin_probe", [PROBES / "plugin_probe.cpp"])


@pytest.fixture(scope="session")
def plugin_on_cpu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin, with the CPU's build of the kernel in the place of a launch."""
    sources = [SOURCES / "tensorrt_plugin.cpp", SOURCES / "roi_align_host.cpp", PROBES / "plugin_on_cpu.cpp"]
    flags = ("-shared", "-fPIC", "-fvisibility=hidden", "-Wl,--no-undefined")
    return compile_on_cpu(tmp_path_factory.mktemp("plugin") / "plugin_on_cpu.so", sources, *flags)


@pytest.mark.parametrize("check", CHECKS)
def test_the_plugin_answers_tensorrt(check: str, probe: Path, plugin_on_cpu: Path) -> None:
    run([str(probe), str(plugin_on_cpu), check])


def test_the_probe_notices(probe: Path, plugin_on_cpu: Path) -> None:
    with pytest.raises(AssertionError, match="no such check"):
        run([str(probe), str(plugin_on_cpu), "nothing"])


def test_the_library_shows_what_tensorrt_looks_for_and_needs_none_of_it(plugin: Path) -> None:
    shown = run([program("nm", "which lists symbols"), "-D", "--defined-only", str(plugin)])
    names = {line.split()[-1] for line in shown.splitlines()}
    assert names == {"getCreators", "setLoggerFinder", "gpt4roi_roi_align_launch", "gpt4roi_plugin_version"}
    dynamic = run([program("readelf", "which lists libraries"), "-d", str(plugin)])
    needed = {line.split("[")[1].partition(".so")[0] for line in dynamic.splitlines() if "(NEEDED)" in line}
    assert needed <= {"libc", "libm", "libstdc++", "libgcc_s", "libdl", "librt", "libpthread", "ld-linux-x86-64"} | {
        "ld-linux-aarch64"
    }


def test_the_library_loads_without_a_driver(probe: Path, plugin: Path) -> None:
    run([str(probe), str(plugin), "names"])


def test_missing_headers_are_named(tmp_path: Path) -> None:
    cmake = program("cmake", "which builds the plugin")
    with pytest.raises(AssertionError, match=r"TENSORRT_INCLUDE_DIR=FOLDER/include"):
        run([cmake, "-S", str(SOURCES), "-B", str(tmp_path), "-DCMAKE_FIND_ROOT_PATH=/none"])
