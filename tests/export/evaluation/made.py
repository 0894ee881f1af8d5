"""A suite on disk, and a pipeline of fakes whose answers depend on the region rows they get."""

import re
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from gpt4roi_export.dialogues.training_file import write_scenes
from gpt4roi_export.evaluation.suites import Suite, read_suite
from gpt4roi_export.scene import RegionFacts, Scene
from gpt4roi_runtime.bundle.folder import open_bundle
from gpt4roi_runtime.llm.decoder import Allowed, CancelCheck, DecodedToken, Sampling
from gpt4roi_runtime.pipeline import Pipeline
from tests.helpers.bundles import write_fake_bundle
from tests.helpers.fakes import FakeDecoder, FakeEncoder

HERON = RegionFacts((0, 0, 40, 40), "heron", "gray", "bird")
APPLE = RegionFacts((60, 60, 100, 100), "apple", "red", "fruit")
SCENES = tuple(Scene(f"s{number}", (100, 100), (HERON, APPLE), Path(f"{number}.png")) for number in range(3))
NAME_AT = {0.0: "heron", 0.6: "apple"}
"""By the left side of a box: all that the fake encoder shows of a region."""


def write_suite(folder: Path) -> Suite:
    folder.mkdir()
    for scene in SCENES:
        assert scene.image is not None
        Image.new("RGB", scene.size, "green").save(folder / scene.image)
    write_scenes(folder / "scenes.jsonl", SCENES)
    (folder / "accepted.json").write_text('{"s0": [["heron", "egret"], ["apple"]]}')
    return read_suite(folder)


class Naming(FakeDecoder):
    """Names every region that the prompt shows, and knows nothing else."""

    def __init__(self, *, blind: bool = False) -> None:
        super().__init__(context_length=4000)
        self.blind = blind

    def decode(
        self,
        sampling: Sampling,
        max_tokens: int,
        cancel: CancelCheck,
        *,
        allowed: Allowed | None = None,
        n_top: int | None = None,
    ) -> Iterator[DecodedToken]:
        assert self.rows is not None
        codes = [round(float(code), 3) for code in self.rows[:, 0]]
        text = "".join(chr(int(code)) if code > 1 else f"@{code}@" for code in codes)
        shown = dict(re.findall(r"region(\d+) @([-\d.]+)@", text))
        said = [f"region{number} is a {self.name_at(float(x))}" for number, x in shown.items()]
        self.answer = f"{' and '.join(said)}."
        return super().decode(sampling, max_tokens, cancel, allowed=allowed, n_top=n_top)

    def name_at(self, x: float) -> str:
        return "heron" if self.blind else NAME_AT.get(x, "fog")


def open_fake(folder: Path, *, blind: bool = False) -> tuple[Pipeline, FakeEncoder]:
    bundle = open_bundle(write_fake_bundle(folder, prompt__answer_lead=""))
    encoder = FakeEncoder(n_rows_per_region=1)
    return Pipeline(bundle, encoder, Naming(blind=blind)), encoder
