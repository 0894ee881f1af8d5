"""JSONL files of scenes with dialogues; knows the file, not what is asked."""

import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from gpt4roi_export import plain_paths
from gpt4roi_export.dialogues.imagine import ImagineSettings, imagine
from gpt4roi_export.dialogues.mixes import EVERYTHING, Mix
from gpt4roi_export.dialogues.names import NameIndex
from gpt4roi_export.dialogues.wordings import Phrasings
from gpt4roi_export.dialogues.write import write_dialogues
from gpt4roi_export.scene import Scene
from gpt4roi_runtime.errors import InputError
from gpt4roi_runtime.storage import written_aside


def imagined_scenes(index: NameIndex, n_scenes: int, seed: int, settings: ImagineSettings) -> Iterator[Scene]:
    """Scenes without pictures and without dialogues; the same seed gives the same scenes."""
    for number in range(n_scenes):
        # A generator for each scene: the first thousand of a longer run are those of a shorter one.
        yield imagine(index, random.Random(f"{seed}/{number}"), settings, f"imagined-{number:06d}")  # noqa: S311


def with_dialogues(
    scenes: Iterable[Scene],
    index: NameIndex,
    seed: int,
    phrasings: Phrasings = Phrasings.TRAIN,
    n_dialogues: int = 5,
    mix: Mix = EVERYTHING,
) -> Iterator[Scene]:
    """The scenes with dialogues; what a scene gets depends on the seed and its id, not on its neighbours."""
    for scene in scenes:
        rng = random.Random(f"{seed}/{scene.id}/dialogues")  # noqa: S311 - no secret
        yield write_dialogues(scene, rng, phrasings, index, n_dialogues, mix)


def read_scenes(path: Path) -> Iterator[Scene]:
    """The scenes of a JSONL file.

    Raises:
        InputError: The file cannot be read, or a line is not a scene.
    """
    decoder = msgspec.json.Decoder(Scene, dec_hook=plain_paths.decoded)
    number = 0
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007 - told where a line is wrong
                yield decoder.decode(line)
    except msgspec.DecodeError as error:
        raise InputError(f"{path}:{number} is not a scene: {error}", "Write the file again.") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}", "Give a JSONL file of scenes.") from error


def write_scenes(path: Path, scenes: Iterable[Scene]) -> int:
    """Write scenes as JSONL; the file appears whole or not at all.

    Returns:
        How many there were.

    Raises:
        OutputError: The file cannot be written.
    """
    encoder = msgspec.json.Encoder(enc_hook=plain_paths.encoded)
    n_scenes = 0
    with written_aside(path) as file:
        for scene in scenes:
            file.write(encoder.encode(scene) + b"\n")
            n_scenes += 1
    return n_scenes
