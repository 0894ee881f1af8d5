"""Part of a source, under names of our choice. Knows no model and no file."""

from collections.abc import Mapping
from dataclasses import dataclass

from gpt4roi_export.tensors import Array, TensorFacts, Tensors, missing


@dataclass(frozen=True)
class Selected:
    """Tensors of a source that are wanted; whatever else it holds is not seen.

    Attributes:
        source: Where they are.
        source_names: Name here -> name in the source.
    """

    source: Tensors
    source_names: Mapping[str, str]

    @property
    def facts(self) -> Mapping[str, TensorFacts]:
        """In the order of the names."""
        facts = self.source.facts
        return {name: facts[source_name] for name, source_name in self.source_names.items()}

    def read(self, name: str) -> Array:
        """One of them."""
        if name not in self.source_names:
            raise missing(name)
        return self.source.read(self.source_names[name])
