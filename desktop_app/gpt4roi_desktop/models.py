"""Bundles as a person chooses between them: size, licences, what they can, the memory they take. Loads no engine."""

from dataclasses import dataclass, replace
from pathlib import Path

from gpt4roi_desktop.preferences import Preferences
from gpt4roi_runtime.bundle.folder import Bundle, default_bundle, open_bundle
from gpt4roi_runtime.bundle.manifest import Manifest
from gpt4roi_runtime.errors import Gpt4RoiError

_USUAL_CONTEXT = 2048


@dataclass(frozen=True)
class Memory:
    """What a bundle takes on this machine.

    Attributes:
        needed_bytes: At its fullest moment, as `gpt4roi plan` predicts it.
        free_bytes: What the machine has left now.
        context_length: Rows that this is about.
        advice: What would make it fit, where it does not.
    """

    needed_bytes: int
    free_bytes: int
    context_length: int
    advice: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether it is enough."""
        return self.needed_bytes <= self.free_bytes


@dataclass(frozen=True)
class Card:
    """One bundle.

    Attributes:
        folder: Where it lies.
        id: Of the bundle; empty where it cannot be opened.
        name: What its makers call it, or its folder's name.
        summary: What it is.
        size_bytes: Of all its files, as its manifest says.
        licences: Part, licence and source of each part.
        can: What it can do.
        cannot: What it cannot do.
        memory: What it takes; None where that cannot be told.
        problem: Why it cannot be used, or why its memory cannot be told.
    """

    folder: Path
    id: str
    name: str
    summary: str = ""
    size_bytes: int = 0
    licences: tuple[tuple[str, str, str], ...] = ()
    can: tuple[str, ...] = ()
    cannot: tuple[str, ...] = ()
    memory: Memory | None = None
    problem: str = ""

    @property
    def usable(self) -> bool:
        """Whether it can be tried."""
        return bool(self.id)


def known_folders(preferences: Preferences) -> tuple[Path, ...]:
    """The embedded bundle, and those that were used before."""
    return tuple(dict.fromkeys((default_bundle(), *map(Path, preferences.models))))


def read_card(folder: Path) -> Card:
    """What a bundle's manifest says of it; whatever is wrong is said in it."""
    try:
        bundle = open_bundle(folder)
    except Gpt4RoiError as error:
        return Card(folder, "", folder.name, problem=f"{error.problem}. {error.advice}")
    manifest = bundle.manifest
    return Card(
        folder,
        bundle.id,
        manifest.name,
        manifest.summary,
        sum(entry.size_bytes for entry in manifest.files),
        _licences(manifest),
        manifest.can,
        manifest.cannot,
    )


def with_memory(card: Card, preferences: Preferences) -> Card:
    """The same with the memory it takes, from the headers of its files: half a second more."""
    if not card.usable:
        return card
    try:
        return replace(card, memory=_memory(open_bundle(card.folder), preferences))
    except Gpt4RoiError as error:
        return replace(card, problem=f"{error.problem}. {error.advice}")


def _licences(manifest: Manifest) -> tuple[tuple[str, str, str], ...]:
    return tuple((each.part, each.spdx, each.source) for each in manifest.licences)


def _memory(bundle: Bundle, preferences: Preferences) -> Memory:
    from gpt4roi_runtime.planning.demand import Usage, read_bundle_facts
    from gpt4roi_runtime.planning.devices import find_device
    from gpt4roi_runtime.planning.verdict import plan

    facts = read_bundle_facts(bundle)
    context_length = preferences.context_length or min(_USUAL_CONTEXT, facts.context_limit)
    found = plan(facts, find_device("cpu"), Usage(context_length, min(16, bundle.manifest.vision.max_regions)))
    (pool,) = found.pools
    return Memory(
        pool.needed_bytes,
        pool.free_bytes or 0,
        context_length,
        tuple(each.what for each in found.proposals if each.fits),
    )
