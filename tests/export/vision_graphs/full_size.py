"""One step of GPT4RoI-7B's vision half with random weights, in a process of its own so that its memory can be measured.

    python full_size.py write-fp32|write-fp16|write-int8|reference|calibrate|check-fp32|... FOLDER

Prints seconds, peak resident bytes, and for a check the parity of every stage, as JSON.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from gpt4roi_export.modules.gpt4roi import VisionSizes
from gpt4roi_export.synthesis.vision_in_memory import RandomTensors
from gpt4roi_runtime.bench.memory import peak_bytes

SIZES = VisionSizes()


def pixels() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, 3, SIZES.side_px, SIZES.side_px), dtype=np.float32)


def run(step: str, folder: Path) -> list[dict[str, object]]:
    from gpt4roi_export.vision_graphs import calibration, check, eight_bits, streamed, write

    boxes = calibration.some_boxes()[:3]
    clip, release = RandomTensors(SIZES, clip=True), RandomTensors(SIZES, clip=False)
    doing, _, precision = step.partition("-")
    ranges, reference = folder / "ranges.json", folder / "reference.npz"
    match doing:
        case "write":
            known = None
            if ranges.exists() and precision == "int8":
                known = {place: eight_bits.Range(*pair) for place, pair in json.loads(ranges.read_text()).items()}
            out = folder / precision
            out.mkdir(exist_ok=True)
            write.write_graphs(SIZES, clip, release, out, write.VisionFormat(precision, known), lambda *_: None)
        case "reference":
            np.savez(reference, **streamed.reference_stages(SIZES, clip, release, pixels(), boxes))
        case "calibrate":
            seen = calibration.ranges_of(SIZES, clip, release, [pixels(), pixels()[:, ::-1].copy()], lambda *_: None)
            ranges.write_text(json.dumps({place: (found.read, found.written) for place, found in seen.items()}))
        case "check":
            with np.load(reference) as stored:
                stages = {name: stored[name] for name in stored.files}
            report = check.check_graphs(folder / precision, stages, pixels(), boxes, precision).report
            return [
                {"stage": s.stage, "error": s.relative_error, "cosine": s.cosine, "off": s.off} for s in report.stages
            ]
    return []


if __name__ == "__main__":
    started = time.monotonic()
    parity = run(sys.argv[1], Path(sys.argv[2]))
    # Not of rusage: there, a process begins with its parent's peak, and the test's may have run a whole model before.
    found = {"seconds": time.monotonic() - started, "peak_bytes": peak_bytes(), "parity": parity}
    sys.stdout.write(json.dumps(found) + "\n")
