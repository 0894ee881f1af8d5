"""The sizes of a release and the tensors that they make necessary, by the released names. Reads nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

N_LEVELS = 4
N_FUSIONS = 5
BINS = 14
"""Of the region module; the same in every GPT4RoI, so no checkpoint says them."""
CLIP_LAYERS = 24
GRID = 16
"""Patches along a side: GPT4RoI's prompt holds 16 x 16 image tokens."""
LAYER_PREFIX = "model.layers."
REGION_PREFIX = "model.spi_module."
PROJECTOR_PREFIX = "model.mm_projector."
VISION_PREFIX = "vision_model."
VOCABULARY_TENSORS = ("model.embed_tokens.weight", "lm_head.weight")

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class LanguageSizes:
    """A LLaMA.

    Attributes:
        hidden_size: Width of an embedding.
        intermediate_size: Width inside the feed-forward layers.
        n_layers: Transformer layers.
        n_heads: Attention heads.
        n_kv_heads: Heads of keys and values; fewer than ``n_heads`` only in LLaMAs after the first.
        vocabulary_size: Rows of the embedding table, those of added tokens and of padding included.
        rms_eps: Of the norms.
        context_length: Positions it was trained for.
        rope_theta: Base of the rotary frequencies.
    """

    hidden_size: int
    intermediate_size: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocabulary_size: int
    rms_eps: float
    context_length: int
    rope_theta: float

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.n_heads

    def shapes(self) -> Shapes:
        """Every tensor that a checkpoint must hold."""
        return dict(self._shapes())

    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        d, hidden, kv = self.hidden_size, self.intermediate_size, self.n_kv_heads * self.head_size
        yield VOCABULARY_TENSORS[0], (self.vocabulary_size, d)
        for layer in range(self.n_layers):
            prefix = f"{LAYER_PREFIX}{layer}."
            yield prefix + "self_attn.q_proj.weight", (d, d)
            yield prefix + "self_attn.k_proj.weight", (kv, d)
            yield prefix + "self_attn.v_proj.weight", (kv, d)
            yield prefix + "self_attn.o_proj.weight", (d, d)
            yield prefix + "mlp.gate_proj.weight", (hidden, d)
            yield prefix + "mlp.down_proj.weight", (d, hidden)
            yield prefix + "mlp.up_proj.weight", (hidden, d)
            yield prefix + "input_layernorm.weight", (d,)
            yield prefix + "post_attention_layernorm.weight", (d,)
        yield "model.norm.weight", (d,)
        yield VOCABULARY_TENSORS[1], (self.vocabulary_size, d)


@dataclass(frozen=True)
class RegionSizes:
    """GPT4RoI's region module and projector.

    Attributes:
        width: Of the vision tower and of the pyramid.
        box_hidden: First width of the box embedding.
        feature_width: Width in which regions and box embeddings are added.
        embedding_length: Width of the language model.
    """

    width: int
    box_hidden: int
    feature_width: int
    embedding_length: int

    def shapes(self) -> Shapes:
        """Every tensor that a checkpoint must hold."""
        return dict(self._shapes())

    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        width, hidden, features = self.width, self.box_hidden, self.feature_width
        yield from _linear(PROJECTOR_PREFIX, self.embedding_length, width)
        for level in range(N_LEVELS):
            yield from _layer(f"{REGION_PREFIX}mlvl_fuse.input_conv.{level}.", (width, width + 2, 1, 1))
        for fusion in range(N_FUSIONS):
            prefix = f"{REGION_PREFIX}mlvl_fuse.fuse_convs.{fusion}."
            yield prefix + "conv.weight", (width, width, 3, 3)
            yield from _layer(prefix + "gn.", (width,))
        head = REGION_PREFIX + "roi_align."
        for level in range(N_LEVELS):
            yield from _layer(f"{head}pconvs.{level}.", (width, width, 3, 3))
        yield from _linear(head + "pos_embedd.0.", hidden, 4)
        yield from _layer(head + "pos_embedd.2.", (hidden,))
        yield from _linear(head + "pos_embedd.3.", features, hidden)
        yield from _layer(head + "pos_embedd.5.", (features,))
        yield from _linear(head + "updims.", self.embedding_length, features)
        yield from _linear(head + "flatten_linear.", features, width * BINS * BINS)


@dataclass(frozen=True)
class ClipSizes:
    """A CLIP vision tower.

    Attributes:
        width: Of the ViT.
        n_layers: Its layers.
        n_heads: Its attention heads.
        mlp_width: Width inside its feed-forward layers.
        side_px: Side of the square image.
        patch_px: Side of a patch.
        norm_eps: Of the layer norms.
    """

    width: int
    n_layers: int
    n_heads: int
    mlp_width: int
    side_px: int
    patch_px: int
    norm_eps: float

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.side_px // self.patch_px

    def shapes(self) -> Shapes:
        """Every tensor that a checkpoint must hold."""
        return dict(self._shapes())

    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        width, prefix = self.width, VISION_PREFIX
        yield prefix + "embeddings.class_embedding", (width,)
        yield prefix + "embeddings.patch_embedding.weight", (width, 3, self.patch_px, self.patch_px)
        yield prefix + "embeddings.position_embedding.weight", (1 + self.grid**2, width)
        yield from _layer(prefix + "pre_layrnorm.", (width,))  # misspelt so in every CLIP
        for index in range(self.n_layers):
            layer = f"{prefix}encoder.layers.{index}."
            for matrix in ("k_proj", "v_proj", "q_proj", "out_proj"):
                yield from _linear(f"{layer}self_attn.{matrix}.", width, width)
            yield from _layer(layer + "layer_norm1.", (width,))
            yield from _linear(layer + "mlp.fc1.", self.mlp_width, width)
            yield from _linear(layer + "mlp.fc2.", width, self.mlp_width)
            yield from _layer(layer + "layer_norm2.", (width,))
        yield from _layer(prefix + "post_layernorm.", (width,))


def _linear(prefix: str, n_out: int, n_in: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    return _layer(prefix, (n_out, n_in))


def _layer(prefix: str, weight: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """A weight, and a bias for each of its outputs."""
    yield prefix + "weight", weight
    yield prefix + "bias", weight[:1]
