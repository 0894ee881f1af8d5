"""Another quantisation of a bundle that is there: everything else stays byte for byte. The story of ``quantize``.

Does not know checkpoints: a language model that was quantised coarsely already is refused by the quantiser.
"""

import os
import shutil
from pathlib import Path

import msgspec

from gpt4roi_export.language.quantise import Quantised, quantise
from gpt4roi_export.weights import Progress
from gpt4roi_export.write_bundle import file_entry, new_bundle, write_manifest
from gpt4roi_runtime.bundle.folder import check_file, open_bundle
from gpt4roi_runtime.bundle.manifest import Manifest, Provenance


def requantise(
    bundle: Path, out: Path, quantisation: str, threads: int, progress: Progress, *, replace: bool = False
) -> Quantised:
    """Write the smaller bundle.

    Args:
        bundle: As it was imported; its language model has to be F32, F16, BF16 or Q8_0.
        out: The folder to make.
        quantisation: See ``language.quantise``.
        threads: Of the quantiser.
        progress: Told what is being done.
        replace: Whether a bundle that is at ``out`` may go.

    Raises:
        BundleError: The bundle is damaged, or its language model too coarse.
        SettingsError: There is no such quantisation.
        OutputError: The folder is taken, or the disk too small.
    """
    opened = open_bundle(bundle)
    manifest = opened.manifest
    others = tuple(entry for entry in manifest.files if entry != manifest.language.gguf)
    with new_bundle(out, replace=replace) as folder:
        for entry in others:
            progress(f"copying {entry.path}", 0.0)
            check_file(opened, entry)
            target = folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(opened.folder / entry.path, target)
        check_file(opened, manifest.language.gguf)
        target = folder / manifest.language.gguf.path
        target.parent.mkdir(parents=True, exist_ok=True)
        made = quantise(opened.folder / manifest.language.gguf.path, target, quantisation, threads, progress)
        write_manifest(folder, _changed(manifest, folder, made))
    return made


def _changed(manifest: Manifest, folder: Path, made: Quantised) -> Manifest:
    before = manifest.provenance or Provenance(inputs=(), settings={}, versions={})
    settings = {**before.settings, "language": made.quantisation}
    if (earlier := before.settings.get("language")) is not None:
        settings["language quantised from"] = earlier
    language = msgspec.structs.replace(manifest.language, gguf=file_entry(folder, manifest.language.gguf.path))
    provenance = msgspec.structs.replace(before, settings=dict(sorted(settings.items())))
    return msgspec.structs.replace(manifest, language=language, provenance=provenance)


def _copy(source: Path, target: Path) -> None:
    """A second name for the same bytes where the disk can do that; nobody writes into a bundle's files."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
