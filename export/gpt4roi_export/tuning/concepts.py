"""What the region module reads in the pictures of a step, and the losses of what is known of them.

Does not know dialogues, the language model or files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from gpt4roi_export.efficientnet_lite import N_CLASSES
from gpt4roi_export.modules.pyramid import Levels
from gpt4roi_export.modules.tuned import RegionReading, Trunk, TunedVision, split_encoder
from gpt4roi_export.scene import COLORS, RegionFacts

NAME, ENCODER, COLOR, NO_COLOR = "concept:name", "concept:encoder", "concept:color", "concept:no-color"
KEPT, FEATURES = "concept:kept", "concept:features"
MOST_OF_MANY = 0.5
"""Probability that a color may have where none leads; of one that leads, dialogues expect 0.7."""


@dataclass(frozen=True)
class Seen:
    """Pictures of a step, and what was read in them.

    Attributes:
        maps: Of the encoder's front.
        encoder: Features of stride 32.
        image_of_box: Which picture each region is in.
        reading: Of all regions.
    """

    maps: Levels
    encoder: Float[Tensor, "b c h w"]
    image_of_box: Int[Tensor, " n"]
    reading: RegionReading


def see(
    vision: TunedVision,
    maps: Levels,
    boxes: Float[Tensor, "n 4"],
    image_of_box: Int[Tensor, " n"],
    hidden: Float[Tensor, " names"] | None = None,
) -> Seen:
    """Read boxes (x1 y1 x2 y2 in 0..1) of pictures.

    Args:
        vision: Reads.
        maps: Of the encoder's front.
        boxes: Of all pictures together.
        image_of_box: Which picture each is in.
        hidden: 1 for the names that are read as if training had never shown them.
    """
    levels = vision.pyramid(maps)
    _, encoder = split_encoder(levels, vision.sizes.width)
    return Seen(maps, encoder, image_of_box, vision.read(levels, boxes, image_of_box, hidden))


class Concepts:
    """Losses of what stands in pictures.

    Args:
        vision: What learns.
        published: The encoder before it learned.
        index: Place of every name.
        label_smoothing: Share of a name's target that is spread over all names.
    """

    def __init__(self, vision: TunedVision, published: Trunk, index: Mapping[str, int], label_smoothing: float) -> None:
        self._vision, self._published, self._index, self._smoothing = vision, published, index, label_smoothing

    def losses(self, facts: Sequence[RegionFacts], seen: Seen) -> dict[str, Tensor]:
        """Cross-entropies of names and colors, and how far it left what the published encoder reads.

        Where no color leads, none may be read as if it did.

        An encoder that learns is also told the names by its own reading: what it learns by them serves names that are
        never shown, too, which the correction of the shown ones does not.

        A region without a name is held to what the published encoder reads in it, so that names are not unlearned; a
        picture in which nothing is named, to its features.

        Args:
            facts: Of every region that was read.
            seen: What was read in them.
        """
        reading = seen.reading
        names = [(place, self._index[region.name]) for place, region in enumerate(facts) if region.name is not None]
        colors = [(place, COLORS.index(region.color)) for place, region in enumerate(facts) if region.color is not None]
        unnamed = [place for place, region in enumerate(facts) if region.name is None]
        losses = {}
        if names:
            places, targets = self._columns(names, reading)
            losses[NAME] = functional.cross_entropy(
                reading.name_logits[places], targets, label_smoothing=self._smoothing
            )
        learned_by_encoder = [(place, name) for place, name in names if name < N_CLASSES]
        if learned_by_encoder and self._encoder_learns():
            places, targets = self._columns(learned_by_encoder, reading)
            losses[ENCODER] = functional.cross_entropy(reading.encoder_logits[places, :N_CLASSES], targets)
        if colors:
            places, targets = self._columns(colors, reading)
            losses[COLOR] = functional.cross_entropy(reading.color_logits[places], targets)
        if many := [place for place, region in enumerate(facts) if region.many_colored]:
            losses[NO_COLOR] = surplus(reading.color_logits[many], MOST_OF_MANY)
        if unnamed:
            losses |= self._left(seen, unnamed, [place for place, _ in names])
        return losses

    def _left(self, seen: Seen, unnamed: Sequence[int], named: Sequence[int]) -> dict[str, Tensor]:
        """How far names in unnamed regions, and features of pictures without a name, are from the published ones."""
        image_of_box, boxes = seen.image_of_box[list(unnamed)], seen.reading.boxes[list(unnamed)]
        pictures = torch.unique(image_of_box)
        with torch.no_grad():
            _, published = self._published.rest(seen.maps[-1][pictures])
            held = self._vision.reader.names_by_encoder(published, boxes, torch.searchsorted(pictures, image_of_box))
        learned = seen.reading.name_logits[list(unnamed)].log_softmax(dim=-1)
        kept = functional.kl_div(learned, held.log_softmax(dim=-1), reduction="batchmean", log_target=True)
        losses = {KEPT: kept}
        without = ~torch.isin(pictures, seen.image_of_box[list(named)])
        if self._encoder_learns() and bool(without.any()):
            goal = published[without]
            losses[FEATURES] = functional.mse_loss(seen.encoder[pictures[without]], goal) / goal.square().mean()
        return losses

    def _encoder_learns(self) -> bool:
        return any(parameter.requires_grad for parameter in self._vision.encoder_parameters())

    @staticmethod
    def _columns(pairs: Sequence[tuple[int, int]], reading: RegionReading) -> tuple[Tensor, Tensor]:
        places, targets = torch.tensor(pairs, device=reading.name_logits.device).T
        return places, targets


def surplus(logits: Float[Tensor, "n k"], most: float) -> Tensor:
    """How far the likeliest is above ``most``, as divergence from the same distribution with the surplus given away.

    Args:
        logits: Before the softmax.
        most: Probability.

    Returns:
        Scalar; 0 where nothing is above.
    """
    learned = logits.log_softmax(dim=-1)
    with torch.no_grad():
        shares = learned.exp()
        top, place = shares.max(dim=-1, keepdim=True)
        others = learned.scatter(-1, place, -torch.inf).softmax(dim=-1) * (1.0 - most)
        goal = torch.where(top > most, others.scatter(-1, place, most), shares)
    return functional.kl_div(learned, goal, reduction="batchmean")
