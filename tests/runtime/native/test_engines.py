"""The plugin inside plans that TensorRT for RTX builds here; a plan runs on its GPU only, so nothing is computed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.native_plugin import PROBES, rtx_python, run

pytestmark = pytest.mark.gpu_wheels
TARGETS = ("SM75", "SM80", "SM86", "SM89", "SM120", "SM121")


def build(plugin: Path, **job: object) -> dict[str, Any]:
    """What became of a job, in a process of its own: an engine's library may end it."""
    printed = run([str(rtx_python()), str(PROBES / "build_engines.py"), str(plugin), json.dumps(job)])
    outcome: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return outcome


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_takes_the_plugin(plugin: Path, target: str) -> None:
    built = build(plugin, type="float16", targets=[target])
    assert built["bytes"] > plugin.stat().st_size
    assert built["library"]
    assert built["operator"]


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_one_plan_for_two_targets(plugin: Path, kind: str) -> None:
    assert build(plugin, type=kind, targets=["SM86", "SM120"])["operator"]


@pytest.mark.parametrize("bad", [{"sampling_ratio": 3}, {"output_side": 0}, {"spatial_scales": [1.0, -1.0]}], ids=str)
def test_the_parser_is_refused_bad_attributes(plugin: Path, bad: dict[str, object]) -> None:
    refused = build(plugin, type="float16", targets=["SM89"], attributes=bad)
    assert "Could not create the plugin" in refused["errors"][0]
