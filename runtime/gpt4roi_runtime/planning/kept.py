"""What images take that are kept for later, one by one and up to each budget; knows no engine and judges nothing.

Beside the memory that a use needs: places are only taken as images are opened, and given back when others come.
"""

from dataclasses import dataclass
from typing import Literal

from gpt4roi_runtime.backends.llama_cpp_memory import DEFAULT_KEPT_BYTES, cache_bytes
from gpt4roi_runtime.image_store import DEFAULT_BUDGET_BYTES
from gpt4roi_runtime.keeping import DEFAULT_IMAGES_BYTES
from gpt4roi_runtime.planning.demand import BundleFacts, Usage
from gpt4roi_runtime.prompt import ImageSlot, RegionSlot, TextChunk, TokenChunk, lay_out_opening
from gpt4roi_runtime.vision.contract import features_bytes


@dataclass(frozen=True)
class KeptImages:
    """Images in one place.

    Attributes:
        name: What of them, and where.
        place: Memory or disk.
        image_bytes: Of one image.
        budget_bytes: Of all, by default.
        how: How the bytes of one were found.
    """

    name: str
    place: Literal["memory", "disk"]
    image_bytes: int
    budget_bytes: int
    how: str

    @property
    def n_images(self) -> int:
        """How many the budget holds."""
        return self.budget_bytes // max(1, self.image_bytes)

    @property
    def most_bytes(self) -> int:
        """What they take together."""
        return self.n_images * self.image_bytes


def kept_images(facts: BundleFacts, usage: Usage) -> tuple[KeptImages, ...]:
    """All places where something of an image may be kept."""
    manifest = facts.bundle.manifest
    features, n_rows = features_bytes(manifest), most_prefix_rows(facts)
    prefix = cache_bytes(facts.language.header, n_rows, (usage.kv_type, usage.kv_type))
    of_features = "image embeddings and pyramid, float32"
    of_prefix = f"at most {n_rows} rows of the KV cache, {usage.kv_type}"
    return (
        KeptImages("features, in a worker", "memory", features, DEFAULT_IMAGES_BYTES, of_features),
        KeptImages("prefixes, beside the KV cache", "memory", prefix, DEFAULT_KEPT_BYTES, of_prefix),
        KeptImages(
            "both, in a store (--keep-images)", "disk", features + prefix, DEFAULT_BUDGET_BYTES, "their sum; 2 files"
        ),
    )


def most_prefix_rows(facts: BundleFacts) -> int:
    """Rows that every prompt about an image begins with: the image's, and no more of its words than these have bytes.

    Only the engine has the tokenizer, and a token is a byte at least.
    """
    manifest = facts.bundle.manifest
    n_rows = 0
    for chunk in lay_out_opening(manifest.prompt):
        match chunk:
            case ImageSlot():
                n_rows += manifest.vision.n_image_rows
            case RegionSlot():
                n_rows += manifest.vision.n_rows_per_region
            case TokenChunk():
                n_rows += 1
            case TextChunk():
                n_rows += len(chunk.text.encode())
    return n_rows
