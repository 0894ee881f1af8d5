"""Sensors, modes and clocks, read from a tree of files as Linux shows them on a Jetson and on a desktop."""

from pathlib import Path

import pytest

from gpt4roi_runtime.bench.clocks import Clocks, read_clocks
from gpt4roi_runtime.bench.power import Counter, CounterMeter, Rail, RailMeter, find_meter


def write(root: Path, **files: str) -> Path:
    """Write files whose names have ``__`` for a slash, ``_x3a_`` for a colon and ``_x2d_`` for a hyphen."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_x3a_", ":").replace("_x2d_", "-").replace("_x2e_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n", encoding="utf-8")
    return root


def ina(root: Path, chip: str, kind: str, *rails: tuple[str, int, int]) -> None:
    folder = root / "sys/class/hwmon" / chip
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{kind}\n", encoding="ascii")
    for channel, (label, millivolts, milliamperes) in enumerate(rails, start=1):
        for file, content in (("label", label), ("input", millivolts)):
            (folder / f"in{channel}_{file}").write_text(f"{content}\n", encoding="ascii")
        (folder / f"curr{channel}_input").write_text(f"{milliamperes}\n", encoding="ascii")


def test_a_machine_without_sensors_has_no_meter(tmp_path: Path) -> None:
    assert find_meter(tmp_path) is None
    ina(tmp_path, "hwmon0", "coretemp", ("VDD_IN", 5000, 1000))
    assert find_meter(tmp_path) is None


def test_the_rail_of_the_whole_board_is_taken(tmp_path: Path) -> None:
    ina(tmp_path, "hwmon1", "ina3221", ("VDD_CPU_GPU_CV", 5000, 900), ("VDD_IN", 5000, 2000), ("VDD_SOC", 5000, 500))
    meter = find_meter(tmp_path)
    assert isinstance(meter, RailMeter)
    assert meter.source == "INA VDD_IN"
    meter.start()
    (tmp_path / "sys/class/hwmon/hwmon1/curr2_input").write_text("2000\n", encoding="ascii")
    joules = meter.stop()
    assert joules is not None
    assert joules > 0
    assert meter._readings[0][1] == 10.0  # 5 V x 2 A


def test_all_rails_are_added_where_none_is_the_whole_board(tmp_path: Path) -> None:
    ina(tmp_path, "hwmon0", "ina3221", ("VDD_GPU_SOC", 5000, 1000), ("VDD_CPU_CV", 5000, 600))
    ina(tmp_path, "hwmon1", "ina3221", ("VIN_SYS_5V0", 5000, 400))
    meter = find_meter(tmp_path)
    assert meter is not None
    assert meter.source == "INA VDD_GPU_SOC+VDD_CPU_CV+VIN_SYS_5V0"


def test_a_chip_that_multiplies_itself_is_believed(tmp_path: Path) -> None:
    write(
        tmp_path,
        sys__class__hwmon__hwmon0__name="ina238",
        sys__class__hwmon__hwmon0__power1_input="7500000",
        sys__class__hwmon__hwmon0__power1_label="VDD_IN",
    )
    meter = find_meter(tmp_path)
    assert isinstance(meter, RailMeter)
    meter.start()
    meter.stop()
    assert meter._readings[-1][1] == 7.5


def test_power_is_integrated_by_trapezoids() -> None:
    meter = RailMeter([Rail("one", lambda: 4.0), Rail("two", lambda: 1.0)], interval_s=60)
    meter.start()
    joules = meter.stop()
    (began, _), (ended, _) = meter._readings
    assert joules == pytest.approx(5.0 * (ended - began))
    meter._readings = [(0.0, 2.0), (1.0, 4.0), (3.0, 4.0)]
    meter._read = lambda: None  # type: ignore[method-assign]
    assert meter.stop() == pytest.approx(3.0 + 8.0)


def test_power_is_read_between_start_and_stop() -> None:
    readings: list[float] = []

    def watts() -> float:
        readings.append(1.0)
        return 1.0

    meter = RailMeter([Rail("one", watts)], interval_s=0.001)
    meter.start()
    while len(readings) < 4:
        pass
    assert meter.stop() is not None
    assert meter._reader is not None
    assert not meter._reader.is_alive()


def test_a_rail_that_fails_gives_no_energy() -> None:
    answers = iter([1.0, None])
    meter = RailMeter([Rail("one", lambda: next(answers))], interval_s=60)
    meter.start()
    assert meter.stop() is None


def rapl(root: Path) -> Path:
    return write(
        root,
        sys__class__powercap__intel_x2d_rapl_x3a_0__name="package-0",
        sys__class__powercap__intel_x2d_rapl_x3a_0__energy_uj="1000000",
        sys__class__powercap__intel_x2d_rapl_x3a_0__max_energy_range_uj="5000000",
        sys__class__powercap__intel_x2d_rapl_x3a_0_x3a_0__name="core",
        sys__class__powercap__intel_x2d_rapl_x3a_0_x3a_0__energy_uj="1",
        sys__class__powercap__intel_x2d_rapl_x3a_1__name="psys",
        sys__class__powercap__intel_x2d_rapl_x3a_1__energy_uj="1",
    )


def test_packages_of_a_desktop_are_counted_over_their_wrap(tmp_path: Path) -> None:
    meter = find_meter(rapl(tmp_path))
    assert meter is not None
    assert meter.source == "RAPL package-0"
    counter = tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj"
    for later, joules in (("3500000", 2.5), ("500000", 2.0)):  # from 1 to 3.5, from 3.5 past 5 to 0.5
        meter.start()
        counter.write_text(later, encoding="ascii")
        assert meter.stop() == joules
    meter.start()
    counter.unlink()
    assert meter.stop() is None


def test_a_counter_that_may_not_be_read_is_none(tmp_path: Path) -> None:
    counter = rapl(tmp_path) / "sys/class/powercap/intel-rapl:0/energy_uj"
    counter.unlink()
    assert find_meter(tmp_path) is None
    meter = CounterMeter([Counter("x", counter, 5)])
    meter.start()
    assert meter.stop() is None


MODELS = """
< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=2 NAME=MODE_15W >
"""


def test_mode_and_clocks_of_a_jetson(tmp_path: Path) -> None:
    write(
        tmp_path,
        var__lib__nvpmodel__status="pmode:0002",
        etc__nvpmodel_x2e_conf=MODELS,
        sys__devices__system__cpu__cpu0__cpufreq__scaling_cur_freq="1000000",
        sys__devices__system__cpu__cpu0__cpufreq__scaling_governor="schedutil",
        sys__devices__system__cpu__cpu1__cpufreq__scaling_cur_freq="2000000",
        sys__class__devfreq__17000000_x2e_gpu__cur_freq="612000000",
        sys__class__devfreq__15340000_x2e_vic__cur_freq="900000000",
    )
    assert read_clocks(tmp_path) == Clocks("MODE_15W", "schedutil", 1500, 612)


def test_a_mode_without_a_name_keeps_its_number_and_no_mode_is_none(tmp_path: Path) -> None:
    assert read_clocks(tmp_path) == Clocks(None, None, None, None)
    write(tmp_path, var__lib__nvpmodel__status="pmode:0007")
    assert read_clocks(tmp_path).power_mode == "mode 7"
    write(tmp_path, var__lib__nvpmodel__status="nonsense")
    assert read_clocks(tmp_path).power_mode is None
