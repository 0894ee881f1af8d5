"""The commands as a person types them; what they do is tested beside the functions they call."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt4roi_export import cli
from gpt4roi_export.certificate.certificate import read_certificate
from gpt4roi_export.certificate.certify import LOGITS
from gpt4roi_export.synthesis.synthesize import SynthesizedFolders
from gpt4roi_export.vision_graphs.check import engines_here
from gpt4roi_runtime.bundle.folder import open_bundle

Run = Callable[..., tuple[int, str, str]]


def main_and_exit() -> None:
    """As the installed script does: ``main`` itself only exits where something was wrong."""
    cli.main()
    sys.exit(0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit status and what was printed."""

    def act(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gpt4roi-export", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main_and_exit()
        assert isinstance(ended.value.code, int)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return ended.value.code, printed.out, printed.err

    return act


def parts(split: SynthesizedFolders) -> list[object]:
    return ["--base", split.base, "--delta", split.delta, "--clip", split.clip]


def test_import_tells_what_it_wrote(run: Run, split: SynthesizedFolders, tmp_path: Path) -> None:
    code, printed, _ = run("import", *parts(split), "--out", tmp_path / "bundle", "--llm", "Q8_0")
    assert code == 0
    assert f"wrote {tmp_path / 'bundle'}: 0.01 GB, language model Q8_0, graphs fp32" in printed
    assert "MB/s" in printed
    assert open_bundle(tmp_path / "bundle").manifest.name == "gpt4roi"


def test_parity_writes_a_certificate(run: Run, split: SynthesizedFolders, half_bundle: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(half_bundle, tmp_path / "bundle")
    code, printed, _ = run("parity", bundle, *parts(split))
    assert code == 0
    certificate = read_certificate(bundle)
    assert certificate is not None
    assert certificate.bundle_id == open_bundle(bundle).id
    first, *others, language = certificate.engines
    stages = [stage.stage for stage in (*first.stages, *language.stages)]
    assert stages == ["image_embeddings", *(f"pyramid_{n}" for n in range(4)), "region_embeddings", LOGITS]
    assert all(stage in printed for stage in stages)
    assert len(others) == len(engines_here(bundle)) - 1
    assert all(engine.engine in printed and engine.stages[-1].stage == "region_embeddings" for engine in others)


def test_parity_with_another_checkpoint_is_off(run: Run, half_bundle: Path, tmp_path: Path) -> None:
    assert run("synthesize", "--size", "tiny", "--seed", 1, "--out", tmp_path / "other")[0] == 0
    bundle, other = shutil.copytree(half_bundle, tmp_path / "bundle"), tmp_path / "other"
    code, printed, error = run("parity", bundle, "--checkpoint", other / "gpt4roi", "--clip", other / "clip")
    assert code == 2
    assert "off" in printed
    assert "stages differ from the checkpoint: image_embeddings" in error
    certificate = read_certificate(bundle)
    assert certificate is not None
    assert certificate.off


def test_quantize_makes_a_smaller_bundle(run: Run, half_bundle: Path, tmp_path: Path) -> None:
    code, printed, _ = run("quantize", half_bundle, "--llm", "Q4_0", "--out", tmp_path / "small")
    assert code == 0
    assert "language model Q4_0" in printed


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), ("neither --checkpoint nor --base and --delta",)),
        (("base",), ("--base given", "--delta")),
        (("base", "delta", "checkpoint"), ("--checkpoint and --base and --delta given",)),
    ],
)
def test_sources_that_do_not_go_together(
    run: Run, split: SynthesizedFolders, tmp_path: Path, given: tuple[str, ...], words: tuple[str, ...]
) -> None:
    folders = {"base": split.base, "delta": split.delta, "checkpoint": split.delta}
    named = [word for part in given for word in (f"--{part}", folders[part])]
    code, _, error = run("import", *named, "--clip", split.clip, "--out", tmp_path / "bundle")
    assert code == 2
    assert all(word in error for word in words)


def test_folders_in_the_wrong_places(run: Run, split: SynthesizedFolders, tmp_path: Path) -> None:
    swapped = ["--base", split.delta, "--delta", split.base, "--clip", split.clip]
    code, _, error = run("import", *swapped, "--out", tmp_path / "bundle")
    assert code == 2
    assert f"{split.delta} is a delta" in error
    code, _, error = run("import", "--checkpoint", tmp_path, "--clip", split.base, "--out", tmp_path / "bundle")
    assert code == 2
    assert "Expected openai/clip-vit-large-patch14 as --clip" in error
