"""What a hand does to regions: pure functions from a session to the next. Knows no Qt, no undo stack and no model."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from gpt4roi_desktop.session import Chip, Question, Region, Session, tidied
from gpt4roi_desktop.shaping import Sheet, moved
from gpt4roi_runtime.bundle.manifest import MAX_REGIONS
from gpt4roi_runtime.errors import RegionError
from gpt4roi_runtime.geometry import Box

PASTE_SHIFT_PX = 12
"""A copy lies beside its original, or nobody would see it."""


@dataclass(frozen=True)
class Drawing:
    """What undo brings back: regions, and the question that mentions them. Dialogues are never taken back."""

    regions: tuple[Region, ...]
    draft: Question


def drawing_of(session: Session) -> Drawing:
    """The part of a session that undo is about."""
    return Drawing(session.regions, session.draft)


def restored(session: Session, *, left: Drawing, to: Drawing) -> Session:
    """Undo or redo: the regions of ``to``, and its question unless somebody typed since ``left``."""
    draft = to.draft if session.draft == left.draft else session.draft
    ids = {region.id for region in to.regions}
    changed = frozenset(region.id for region in to.regions if region not in left.regions)
    selected = changed or session.selected & ids
    return replace(session, regions=to.regions, draft=_without(draft, ids), selected=selected)


def add(session: Session, boxes: Sequence[Box]) -> Session:
    """New regions at the end of the list, selected.

    Raises:
        RegionError: There would be more than any model takes.
    """
    if len(session.regions) + len(boxes) > MAX_REGIONS:
        raise RegionError(f"{MAX_REGIONS} boxes are the most", "Delete some first.")
    new = tuple(Region(session.next_id + place, box) for place, box in enumerate(boxes))
    return replace(
        session,
        regions=session.regions + new,
        selected=frozenset(region.id for region in new),
        next_id=session.next_id + len(new),
    )


def reshape(session: Session, boxes: Mapping[int, Box]) -> Session:
    """Other boxes for some regions, by id; locked ones stay as they are."""
    regions = tuple(
        replace(region, box=boxes[region.id]) if region.id in boxes and not region.locked else region
        for region in session.regions
    )
    return replace(session, regions=regions)


def nudge(session: Session, dx: int, dy: int) -> Session:
    """Move the selected regions by whole pixels."""
    sheet = sheet_of(session)
    return reshape(session, {region.id: moved(region.box, dx, dy, sheet) for region in session.selection()})


def delete(session: Session, ids: Collection[int]) -> Session:
    """Without some regions, and without their chips in the question; locked ones stay."""
    kept = tuple(region for region in session.regions if region.locked or region.id not in ids)
    kept_ids = {region.id for region in kept}
    return replace(session, regions=kept, selected=session.selected & kept_ids, draft=_without(session.draft, kept_ids))


def duplicate(session: Session) -> Session:
    """A copy of every selected region beside it; the copies are selected."""
    return paste(session, tuple(region.box for region in session.selection()))


def paste(session: Session, boxes: Sequence[Box]) -> Session:
    """Copied boxes, cut to this photo and laid beside what they were copied from."""
    sheet = sheet_of(session)
    here = (box.clipped_to(sheet.width_px, sheet.height_px) for box in boxes)
    return add(session, [_beside(box, sheet) for box in here if box is not None])


def renumber(session: Session, region_id: int, number: int) -> Session:
    """A region at another place of the list; the others make room."""
    region = session.region(region_id)
    if region is None:
        return session
    others = [other for other in session.regions if other.id != region_id]
    others.insert(max(0, min(number - 1, len(others))), region)
    return replace(session, regions=tuple(others))


def lock(session: Session, ids: Collection[int]) -> Session:
    """Lock some regions, or unlock them if all of them are locked."""
    locked = not all(region.locked for region in session.regions if region.id in ids)
    return replace(
        session,
        regions=tuple(replace(each, locked=locked) if each.id in ids else each for each in session.regions),
    )


def hide(session: Session, ids: Collection[int]) -> Session:
    """Hide some regions, or show them if all of them are hidden."""
    hidden = not all(region.hidden for region in session.regions if region.id in ids)
    return replace(
        session,
        regions=tuple(replace(each, hidden=hidden) if each.id in ids else each for each in session.regions),
    )


def select(session: Session, ids: Collection[int]) -> Session:
    """Select these regions and no others."""
    return replace(session, selected=frozenset(region.id for region in session.regions if region.id in ids))


def toggle(session: Session, region_id: int) -> Session:
    """Add a region to the selection, or take it out."""
    return select(session, session.selected ^ {region_id})


def select_all(session: Session) -> Session:
    """Select every region that can be seen."""
    return select(session, [region.id for region in session.regions if not region.hidden])


def cycle(session: Session, step: int) -> Session:
    """Select the next (1) or previous (-1) visible region, round and round."""
    ids = [region.id for region in session.regions if not region.hidden]
    if not ids:
        return session
    places = [place for place, region_id in enumerate(ids) if region_id in session.selected]
    if not places:
        return select(session, [ids[0 if step > 0 else -1]])
    place = (places[-1] if step > 0 else places[0]) + step
    return select(session, [ids[place % len(ids)]])


def select_number(session: Session, number: int) -> Session:
    """Select the region with this number; without one, nothing changes."""
    if not 1 <= number <= len(session.regions):
        return session
    return select(session, [session.regions[number - 1].id])


def write(session: Session, draft: Question) -> Session:
    """The question as it stands in the box now; chips of deleted regions fall out."""
    return replace(session, draft=_without(draft, {region.id for region in session.regions}))


def sheet_of(session: Session) -> Sheet:
    """The photo as the ground of boxes."""
    return Sheet(session.photo.width_px, session.photo.height_px)


def _without(question: Question, ids: Collection[int]) -> Question:
    """A question whose chips are all among ``ids``."""
    return tidied(tuple(token for token in question if not isinstance(token, Chip) or token.region_id in ids))


def _beside(box: Box, sheet: Sheet) -> Box:
    """Shifted right and down, or left and up where there is no room."""
    dx = PASTE_SHIFT_PX if box.x2 + PASTE_SHIFT_PX <= sheet.width_px else -PASTE_SHIFT_PX
    dy = PASTE_SHIFT_PX if box.y2 + PASTE_SHIFT_PX <= sheet.height_px else -PASTE_SHIFT_PX
    return moved(box, dx, dy, sheet)
