"""What was computed of an image goes into a store and comes back: its features, and its prefix in the KV cache.

Knows what their bits depend on, and the promises of engines; runs no graph and lays out no prompt. Without a store, or
with an engine that cannot write a prefix out, there is nothing to bring back and nothing is kept.
"""

from dataclasses import dataclass
from hashlib import sha256
from math import prod

import numpy as np

from gpt4roi_runtime.arrays import EmbeddingRows
from gpt4roi_runtime.backends.processor import processor_features, usable_cores
from gpt4roi_runtime.bundle.folder import Bundle
from gpt4roi_runtime.image_store import ImageStore, Label
from gpt4roi_runtime.llm.decoder import Decoder, PrefixFacts, WritesPrefixes
from gpt4roi_runtime.timing import Stopwatch
from gpt4roi_runtime.vision.contract import feature_shapes, features_bytes
from gpt4roi_runtime.vision.encoder import Encoder, ImageFeatures

DEFAULT_IMAGES_BYTES = 256 << 20
"""What a worker keeps of encoded images in memory: some hundred of the embedded model, a few of GPT4RoI's size."""


@dataclass(frozen=True)
class ImageKeeper:
    """Between one bundle's engines and a store.

    Attributes:
        store: Where images are kept; None keeps nothing.
        bundle: What the engines run.
        encoder: Its vision engine.
        decoder: Its language engine.
        vision_threads: Threads of the vision engine, as it was told; its sums are split by them.
    """

    store: ImageStore | None
    bundle: Bundle
    encoder: Encoder
    decoder: Decoder
    vision_threads: int = 0

    def features(self, image_key: str) -> ImageFeatures | None:
        """The features of the image with this key, as they were when they were kept, or None."""
        if self.store is None:
            return None
        shapes, n_bytes = feature_shapes(self.bundle.manifest), features_bytes(self.bundle.manifest)
        label = self._features_label(image_key)
        body = self.store.get(label, n_bytes)
        if body is None:
            return None
        if body.nbytes != n_bytes:
            self.store.refuse(label, f"it holds {body.nbytes:,} bytes, not the {n_bytes:,} of the bundle's features")
            return None
        ends = np.cumsum([prod(shape) for shape in shapes])[:-1]
        parts = np.split(body.view(np.float32), ends)
        embeddings, *pyramid = (part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
        return ImageFeatures(embeddings, tuple(pyramid))

    def keep_features(self, image_key: str, features: ImageFeatures) -> None:
        """Put the features of an image into the store."""
        arrays = (features.image_embeddings, *features.pyramid)
        if self.store is not None and tuple(array.shape for array in arrays) == feature_shapes(self.bundle.manifest):
            self.store.put(self._features_label(image_key), [np.ascontiguousarray(array) for array in arrays])

    def bring_back_prefix(self, prefix: EmbeddingRows) -> None:
        """Put a prefix from the store into the KV cache, unless it is there, or nowhere."""
        if self.store is None or len(prefix) == 0 or not isinstance(self.decoder, WritesPrefixes):
            return
        facts = self.decoder.prefix_facts(prefix)
        if facts.is_there:
            return
        label = self._prefix_label(facts)
        state = self.store.get(label, facts.most_bytes)
        if state is not None and not self.decoder.read_prefix(prefix, state):
            self.store.refuse(label, "the language engine does not take it")

    def keep_prefix(self, prefix: EmbeddingRows, watch: Stopwatch) -> None:
        """Put a prefix that lies in the KV cache into the store, unless it is there already.

        Args:
            prefix: Its rows.
            watch: Told what it took, where there is a store.
        """
        if self.store is None or len(prefix) == 0 or not isinstance(self.decoder, WritesPrefixes):
            return
        with watch.measure("keep"):
            facts = self.decoder.prefix_facts(prefix)
            label = self._prefix_label(facts)
            if not facts.is_there or self.store.holds(label):
                return
            state = self.decoder.write_prefix(prefix)
            if state is not None:
                self.store.put(label, [state])

    def _features_label(self, image_key: str) -> Label:
        """The last bits depend on the kernels for this machine, and on how many threads share a sum."""
        cpu = sha256(processor_features().encode()).hexdigest()[:16]
        made_by = f"{self.encoder.engine}; {self.vision_threads} of {usable_cores()} threads; CPU {cpu}"
        return Label("features", self.bundle.id, image_key, made_by)

    def _prefix_label(self, facts: PrefixFacts) -> Label:
        return Label("prefix", self.bundle.id, facts.key, self.decoder.info.engine)
