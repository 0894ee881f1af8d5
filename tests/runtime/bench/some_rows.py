"""Rows as a benchmark makes them, without one being run."""

from pathlib import Path
from typing import Any

import msgspec

from gpt4roi_runtime.backends.llama_cpp_settings import LlamaCppSettings
from gpt4roi_runtime.bench.clocks import Clocks
from gpt4roi_runtime.bench.machine import look_at_machine
from gpt4roi_runtime.bench.measure import Clock, Measured, Sample, Trial
from gpt4roi_runtime.bench.rows import Loaded, Moment, Row, as_row
from gpt4roi_runtime.bundle.folder import Bundle
from tests.helpers.bundles import manifest
from tests.helpers.fakes import FakeDecoder


def nothing(_clock: Clock) -> None:
    """A test that is not made."""


def measured(*samples: Sample, name: str = "pp8", item: str = "token", **facts: Any) -> Measured:
    """A test with these repetitions."""
    return Measured(Trial(name, "language", item, nothing, **facts), samples, warmed_up=True, power_source="here")  # type: ignore[arg-type]


def row(
    *samples: Sample, settings: LlamaCppSettings | None = None, planned_bytes: int | None = None, **facts: Any
) -> Row:
    """The row of it, on a fake engine."""
    loaded = Loaded(
        bundle=Bundle(Path("folder"), manifest(), "0" * 16),
        settings=settings or LlamaCppSettings(n_threads=3),
        decoder=FakeDecoder().info,
        vision_engine="fake vision",
        image="4x3",
        planned_bytes=planned_bytes,
    )
    moment = Moment(Clocks("MODE_15W", "schedutil", 1510, 612), 5 << 20, 0.5)
    return as_row(measured(*samples, **facts), loaded, look_at_machine(), moment)


def changed(given: Row, **changes: Any) -> Row:
    """A copy with some fields replaced."""
    return msgspec.structs.replace(given, **changes)
