"""The embedded model's vision side with GPT4RoI's region module at small width, as torch modules.

What a region says to the language model is written in the language model's own words: the rows of a region are mixtures
of token embeddings, weighted by what the region module read, plus a learned part that starts at zero. So the module
starts from the closed form, what the encoder's own classifier reads, and is tuned from there. Does not know files,
tokenizers or losses.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from gpt4roi_export.efficientnet_lite import FEATURE_WIDTH, N_CLASSES, CellGrid, level_grids
from gpt4roi_export.modules.efficientnet_lite import EfficientNetLite2
from gpt4roi_export.modules.pyramid import LevelFusion, Levels, with_coordinates
from gpt4roi_export.modules.roi_align import roi_align, roi_mean
from gpt4roi_export.tuned import MAP_CHANNELS, MARKS, N_PLACE_ROWS, TunedSizes

Align = Callable[[Tensor, Tensor, int, int], Tensor]
"""``roi_align`` or ``roi_mean``."""

BINS = 7
SAMPLES = 2
UNKNOWN_LOGIT = -8.0
"""Closed-form logit of a name that is no ImageNet class: out of the race until it is learned."""
ENTRY_LOGIT = 1.0
"""Of such a name once training shows it, before its first step; most of ImageNet's logits lie below it."""
LEAST_LIKELY = 1e-12
"""Probability below which none is told apart; a logarithm needs one."""
SMALLEST, LARGEST = 0.006, 0.4
"""Shares of the picture's area at which a thing is as small, and as large, as the size row's words can say."""
SMALLEST_MARK = 0.0036
"""Share at which the size row's first mark stands; its last one is the whole picture."""
SIZE_BORDERS = (0.063, 0.173)
"""Shares at which a thing is called medium-sized, and large: middles of the ranges where people would disagree."""
BORDER_WIDTH = 0.08
"""How far, as a share of a row's whole range, one word fades into the next."""
LEADING_WIDTH = 0.08
"""Range of a color's probability in which it begins to lead."""


@dataclass(frozen=True)
class RegionReading:
    """What the region module read in ``n`` regions.

    Attributes:
        name_logits: By the encoder and what was learned behind it, before the softmax.
        encoder_logits: Of names too, by the encoder alone.
        color_logits: Before the softmax.
        features: Of the region itself.
        boxes: x1 y1 x2 y2 in 0..1.
    """

    name_logits: Float[Tensor, "n names"]
    encoder_logits: Float[Tensor, "n names"]
    color_logits: Float[Tensor, "n colors"]
    features: Float[Tensor, "n f"]
    boxes: Float[Tensor, "n 4"]

    def names(self, encoder_say: float) -> Float[Tensor, "n names"]:
        """Probabilities; ``encoder_say`` is the encoder's share of them."""
        learned, alone = self.name_logits.softmax(dim=-1), self.encoder_logits.softmax(dim=-1)
        return (1.0 - encoder_say) * learned + encoder_say * alone

    @property
    def colors(self) -> Float[Tensor, "n colors"]:
        """Probabilities."""
        return self.color_logits.softmax(dim=-1)


class Trunk(nn.Module):
    """The encoder, and the picture's own colors beside its finest map.

    Its front never learns, so that a cache can keep what it gives.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = EfficientNetLite2()

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Levels:
        """Maps of strides 8 and 16: 51 and 120 channels; the last 3 of the finest are mean pixels."""
        finest, middle = self.trunk.front(pixels)
        stride = pixels.shape[-1] // finest.shape[-1]
        return (torch.cat([finest, functional.avg_pool2d(pixels, stride)], dim=1), middle)

    def rest(self, middle: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
        """Features of stride 32, 352 channels, and behind the head's convolution, 1280."""
        return self.trunk.rest(middle)

    def front_parts(self) -> nn.ModuleList:
        """What makes the maps."""
        return nn.ModuleList([self.trunk.stem, *self.trunk.blocks[: -len(self.trunk.last_blocks)]])

    def learning_parameters(self) -> list[nn.Parameter]:
        """Of what makes the features of stride 32."""
        return [*self.trunk.last_blocks.parameters(), *self.trunk.head.parameters()]


class SmallPyramid(nn.Module):
    """GPT4RoI's shuffle-and-fuse pyramid on the trunk's maps.

    Args:
        sizes: Widths.
    """

    def __init__(self, sizes: TunedSizes) -> None:
        super().__init__()
        channels = (*MAP_CHANNELS, FEATURE_WIDTH)
        self.level_convs = nn.ModuleList(nn.Conv2d(width + 2, sizes.width, kernel_size=1) for width in channels)
        self.fusions = nn.ModuleList(LevelFusion(sizes.width, sizes.groups) for _ in range(sizes.n_fusions))

    def forward(self, maps: Levels) -> Levels:
        """Four fused levels from four maps, finest first."""
        levels = tuple(conv(with_coordinates(level)) for conv, level in zip(self.level_convs, maps, strict=True))
        for fusion in self.fusions:
            levels = fusion(levels)
        return levels


class SmallRegionHead(nn.Module):
    """RoIAlign on every level, fused, flattened; a region's features without its box.

    Args:
        sizes: Widths.
    """

    def __init__(self, sizes: TunedSizes) -> None:
        super().__init__()
        self.level_convs = nn.ModuleList(
            nn.Conv2d(sizes.width, sizes.width, kernel_size=3, padding=1) for _ in range(len(MAP_CHANNELS) + 1)
        )
        self.flatten = nn.Linear(sizes.width * BINS * BINS, sizes.feature_width)
        self.norm = nn.LayerNorm(sizes.feature_width)

    def forward(self, rois: Levels) -> Float[Tensor, "n f"]:
        """RoI features of the four levels to one vector a region."""
        fused = torch.stack([conv(roi) for conv, roi in zip(self.level_convs, rois, strict=True)]).sum(dim=0)
        features: Tensor = self.norm(self.flatten(functional.relu(fused).flatten(start_dim=1)))
        return features


class NameClassifier(nn.Module):
    """ImageNet's classifier, plus a learned correction of the names that training shows.

    A name that training never shows keeps ImageNet's own logit, so that it is not unlearned.

    Args:
        sizes: Widths.
    """

    shown: Tensor

    def __init__(self, sizes: TunedSizes) -> None:
        super().__init__()
        self.closed_form = nn.Linear(FEATURE_WIDTH, N_CLASSES)
        self.log_scale = nn.Parameter(torch.zeros(()))
        self.norm = nn.LayerNorm(FEATURE_WIDTH)
        self.learned = nn.Linear(FEATURE_WIDTH + sizes.feature_width, sizes.n_names)
        nn.init.zeros_(self.learned.weight)
        nn.init.zeros_(self.learned.bias)
        with torch.no_grad():  # a name that is shown starts in the middle of the race
            self.learned.bias[N_CLASSES:] = ENTRY_LOGIT - UNKNOWN_LOGIT
        self.register_buffer("shown", torch.zeros(sizes.n_names))
        self.n_unknown = sizes.n_names - N_CLASSES

    def forward(
        self,
        encoder: Float[Tensor, "n c"],
        features: Float[Tensor, "n f"],
        hidden: Float[Tensor, " names"] | None = None,
    ) -> tuple[Float[Tensor, "n names"], Float[Tensor, "n names"]]:
        """Logits from the encoder's mean features in the box and the region's own, and from the former alone.

        Args:
            encoder: Mean features.
            features: Of the region.
            hidden: 1 for a name that shall be read as if training had never shown it; None hides none.
        """
        shown = self.shown if hidden is None else self.shown * (1.0 - hidden)
        correction = self.learned(torch.cat([self.norm(encoder), features], dim=1))
        alone = self.by_encoder(encoder)
        return alone + correction * shown, alone

    def by_encoder(self, encoder: Float[Tensor, "n c"]) -> Float[Tensor, "n names"]:
        """Logits from the encoder's features alone."""
        known = self.closed_form(encoder) * self.log_scale.exp()
        return functional.pad(known, (0, self.n_unknown), value=UNKNOWN_LOGIT)


class RegionReader(nn.Module):
    """Pyramid and boxes to what stands in the regions.

    Args:
        sizes: Widths.
    """

    def __init__(self, sizes: TunedSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.grids: tuple[CellGrid, ...] = level_grids()
        self.head = SmallRegionHead(sizes)
        self.name = NameClassifier(sizes)
        self.color = nn.Linear(sizes.feature_width, sizes.n_colors)

    def forward(
        self,
        levels: Levels,
        boxes: Float[Tensor, "n 4"],
        image_of_box: Int[Tensor, " n"] | None = None,
        hidden: Float[Tensor, " names"] | None = None,
    ) -> RegionReading:
        """Read ``boxes`` (x1 y1 x2 y2 in 0..1).

        Args:
            levels: As ``TunedVision.pyramid`` returns them; the coarsest one also holds the encoder's features.
            boxes: Of all images together.
            image_of_box: Which image each box belongs to; None where there is one image.
            hidden: Names to read as if training had never shown them.
        """
        fused, encoder = split_encoder(levels, self.sizes.width)
        rois = tuple(
            self._align(roi_align, level, grid, boxes, image_of_box)
            for level, grid in zip(fused, self.grids, strict=True)
        )
        mean = self._align(roi_mean, encoder, self.grids[-1], boxes, image_of_box)
        features = self.head(rois)
        names, by_encoder = self.name(mean, features, hidden)
        return RegionReading(names, by_encoder, self.color(features), features, boxes)

    def names_by_encoder(
        self,
        encoder: Float[Tensor, "b c h w"],
        boxes: Float[Tensor, "n 4"],
        image_of_box: Int[Tensor, " n"] | None = None,
    ) -> Float[Tensor, "n names"]:
        """Logits of names from an encoder's features of stride 32 alone."""
        return self.name.by_encoder(self._align(roi_mean, encoder, self.grids[-1], boxes, image_of_box))

    def _align(self, align: Align, level: Tensor, grid: CellGrid, boxes: Tensor, image_of_box: Tensor | None) -> Tensor:
        # RoIAlign takes the centre of cell i for i + 0.5.
        cells = (boxes * self.sizes.side_px - grid.first_centre_px) / grid.stride_px + 0.5
        if image_of_box is None:
            return align(level, cells, BINS, SAMPLES)
        order = [torch.nonzero(image_of_box == image)[:, 0] for image in range(len(level))]
        parts = [
            align(level[image : image + 1], cells[index], BINS, SAMPLES)
            for image, index in enumerate(order)
            if len(index)
        ]
        return torch.cat(parts)[torch.argsort(torch.cat(order))]


class RegionWords(nn.Module):
    """What was read, as rows of the language model: sureness, color, height, side, size, then the name.

    The tables are embeddings of the language model's own tokens; they are filled in at set-up and never trained.

    Args:
        sizes: Widths.
    """

    names: Tensor
    sureness: Tensor
    colors: Tensor
    mixed: Tensor
    places: Tensor
    marks: Tensor

    def __init__(self, sizes: TunedSizes) -> None:
        super().__init__()
        self.sizes = sizes
        length = sizes.embedding_length
        # In half precision: it is by far the largest table, and stands in both graphs.
        self.register_buffer("names", torch.zeros(sizes.n_names, sizes.n_name_rows * length, dtype=torch.float16))
        self.register_buffer("sureness", torch.zeros(2, length))  # unsure, sure
        self.register_buffer("colors", torch.zeros(sizes.n_colors, length))
        self.register_buffer("mixed", torch.zeros(1, length))
        self.register_buffer("places", torch.zeros(N_PLACE_ROWS, 3, length))  # top.., left.., small.. to the opposite
        self.register_buffer("marks", torch.zeros(len(MARKS), length))  # along any of these ways
        self.box_embedding = nn.Sequential(
            nn.Linear(4, sizes.box_hidden),
            nn.ReLU(),
            nn.LayerNorm(sizes.box_hidden),
            nn.Linear(sizes.box_hidden, sizes.feature_width),
            nn.ReLU(),
            nn.LayerNorm(sizes.feature_width),
        )
        self.box_projector = nn.Linear(sizes.feature_width, N_PLACE_ROWS * length)
        self.projector = nn.Linear(sizes.feature_width, N_PLACE_ROWS * length, bias=False)
        self.offsets = nn.Parameter(torch.zeros(sizes.n_rows, length))
        for layer in (self.box_projector, self.projector):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.box_projector.bias)

    def forward(self, reading: RegionReading) -> Float[Tensor, "n k d"]:
        """Rows for every region."""
        likely = reading.names(self.sizes.encoder_say)
        sure = likely.amax(dim=-1, keepdim=True)
        sureness = sure * self.sureness[1] + (1.0 - sure) * self.sureness[0]
        sharpened = (likely.clamp(min=LEAST_LIKELY).log() * self.sizes.name_sharpness).softmax(dim=-1)
        names = sharpened @ self.names.float()
        colors = reading.colors @ self.colors + (1.0 - leading(reading.colors, self.sizes.leading_color)) * self.mixed
        rows = torch.cat(
            [
                sureness[:, None],
                colors[:, None],
                self._places(reading),
                names.reshape(-1, self.sizes.n_name_rows, self.sizes.embedding_length),
            ],
            dim=1,
        )
        return rows + self.offsets

    def _places(self, reading: RegionReading) -> Tensor:
        learned = self.box_projector(self.box_embedding(reading.boxes)) + self.projector(reading.features)
        words = torch.einsum("npk,pkd->npd", mixtures(reading.boxes), self.places)
        words = words + ruler(reading.boxes) @ self.marks
        placed: Tensor = words + learned.reshape(-1, N_PLACE_ROWS, self.sizes.embedding_length)
        return placed


def leading(colors: Float[Tensor, "n colors"], border: float) -> Float[Tensor, "n 1"]:
    """How far the likeliest color of each region leads: 0 well below ``border``, 1 well above."""
    past = (colors.amax(dim=-1, keepdim=True) - border) / LEADING_WIDTH + 0.5
    return past.clamp(min=0.0, max=1.0)


def mixtures(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    """Shares of (top, middle, bottom), (left, center, right), (small, medium, large) for every box.

    Half of each share says which word a person would use, half how far along the box is, so that two boxes in the same
    third of the picture can still be told apart.
    """
    across, down, area = _center_and_area(boxes)
    # Sizes are compared by ratio.
    small, medium, large, largest = (math.log(share) for share in (SMALLEST, *SIZE_BORDERS, LARGEST))
    size = torch.log(area.clamp(min=SMALLEST, max=LARGEST))
    position = torch.stack([down, across, (size - small) / (largest - small)], dim=1)[:, :, None]
    knots = torch.tensor([0.0, 0.5, 1.0], dtype=boxes.dtype, device=boxes.device)
    along = (1.0 - (position - knots).abs() * 2.0).clamp(min=0.0)
    borders = torch.tensor(
        [[1 / 3, 2 / 3], [1 / 3, 2 / 3], [(medium - small) / (largest - small), (large - small) / (largest - small)]],
        dtype=boxes.dtype,
        device=boxes.device,
    )
    past = ((position - borders) / BORDER_WIDTH + 0.5).clamp(min=0.0, max=1.0)
    word = torch.stack([1.0 - past[..., 0], past[..., 0] - past[..., 1], past[..., 1]], dim=-1)
    return (along + word) / 2


def ruler(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 marks"]:
    """How near each mark is to the box's height, side and size: two neighbours share what there is.

    The words above are three on a way; two boxes of which one is half as big again are nearly the same mixture of them.
    """
    across, down, area = _center_and_area(boxes)
    size = 1.0 - torch.log(area.clamp(min=SMALLEST_MARK, max=1.0)) / math.log(SMALLEST_MARK)
    last = len(MARKS) - 1
    position = torch.stack([down, across, size], dim=1)[:, :, None] * last
    marks = torch.arange(len(MARKS), dtype=boxes.dtype, device=boxes.device)
    return (1.0 - (position - marks).abs()).clamp(min=0.0)


def _center_and_area(boxes: Float[Tensor, "n 4"]) -> tuple[Tensor, Tensor, Tensor]:
    across, down = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    return across, down, (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


class TunedVision(nn.Module):
    """The whole vision side, as it is trained; called, it is the graph that encodes an image.

    Args:
        sizes: Widths.
    """

    def __init__(self, sizes: TunedSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.encoder = Trunk()
        self.fused = SmallPyramid(sizes)
        self.reader = RegionReader(sizes)
        self.words = RegionWords(sizes)
        self.encoder.requires_grad_(requires_grad=False)
        self.reader.name.closed_form.requires_grad_(requires_grad=False)

    def forward(self, pixels: Float[Tensor, "1 3 h w"]) -> tuple[Tensor, ...]:
        """``pixels`` -> ``image_embeddings``, ``pyramid_0`` .. ``pyramid_3``; the image is one large region."""
        levels = self.pyramid(self.maps(pixels))
        whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        return (self.rows(self.read(levels, whole))[0], *levels)

    def maps(self, pixels: Float[Tensor, "b 3 h w"]) -> Levels:
        """The two maps that the encoder's front gives; what a cache keeps."""
        maps: Levels = self.encoder(pixels)
        return maps

    def pyramid(self, maps: Levels) -> Levels:
        """Four levels from the encoder's two maps; the coarsest also carries the encoder's own features."""
        coarsest, encoder = self.encoder.rest(maps[-1])
        fused = self.fused((*maps, coarsest, encoder))
        return (*fused[:-1], torch.cat([fused[-1], encoder], dim=1))

    def read(
        self,
        levels: Levels,
        boxes: Float[Tensor, "n 4"],
        image_of_box: Int[Tensor, " n"] | None = None,
        hidden: Float[Tensor, " names"] | None = None,
    ) -> RegionReading:
        """What stands in the boxes."""
        reading: RegionReading = self.reader(levels, boxes, image_of_box, hidden)
        return reading

    def rows(self, reading: RegionReading) -> Float[Tensor, "n k d"]:
        """Rows of the prompt."""
        rows: Tensor = self.words(reading)
        return rows

    def encoder_parameters(self) -> list[nn.Parameter]:
        """What of the encoder can learn."""
        return self.encoder.learning_parameters()

    def region_parameters(self) -> list[nn.Parameter]:
        """What learns to read regions."""
        parts = (self.fused, self.reader.head, self.reader.name, self.reader.color)
        known = set(map(id, self.reader.name.closed_form.parameters()))
        return [p for part in parts for p in part.parameters() if id(p) not in known]

    def projector_parameters(self) -> list[nn.Parameter]:
        """What learns to write them as rows."""
        return list(self.words.parameters())


def split_encoder(levels: Levels, width: int) -> tuple[Levels, Tensor]:
    """The fused levels, and the encoder's features that the coarsest one carries behind them."""
    return (*levels[:-1], levels[-1][:, :width]), levels[-1][:, width:]


class TunedRegionsGraph(nn.Module):
    """``pyramid_0`` .. ``pyramid_3``, ``boxes`` -> ``region_embeddings``.

    Args:
        vision: The tuned vision side.
    """

    def __init__(self, vision: TunedVision) -> None:
        super().__init__()
        self.reader, self.words = vision.reader, vision.words

    def forward(
        self, pyramid_0: Tensor, pyramid_1: Tensor, pyramid_2: Tensor, pyramid_3: Tensor, boxes: Float[Tensor, "n 4"]
    ) -> Float[Tensor, "n k d"]:
        """Embed boxes (x1 y1 x2 y2 in 0..1)."""
        rows: Tensor = self.words(self.reader((pyramid_0, pyramid_1, pyramid_2, pyramid_3), boxes))
        return rows
