"""Which keys an action has: the program's own, or those that a person chose instead; who has a key. Knows no Qt.

Keys are texts such as ``Ctrl+D``, written in one way: whoever makes a keymap sees to that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Keymap:
    """All actions and their keys.

    Attributes:
        own: The program's keys of every action, by its name.
        fixed: Keys that no action can have, as the window or Qt needs them.
        chosen: Keys of those actions for which a person chose others; without any, the action has none.
    """

    own: Mapping[str, Keys]
    fixed: frozenset[str] = frozenset()
    chosen: Mapping[str, Keys] = field(default_factory=dict)

    def keys_of(self, name: str) -> Keys:
        """The keys of an action now; one of the program's that a person gave to another action is that one's."""
        if name in self.chosen:
            return self.chosen[name]
        given = {key for keys in self.chosen.values() for key in keys}
        return tuple(key for key in self.own[name] if key not in given)

    def holder_of(self, key: str, besides: str = "") -> str:
        """The action that has a key, other than ``besides``; empty where it is free."""
        return next((name for name in self.own if name != besides and key in self.keys_of(name)), "")

    def with_keys(self, name: str, keys: Keys) -> "Keymap":
        """An action with these keys in place of its own; what another has stays that one's."""
        free = tuple(key for key in dict.fromkeys(keys) if key not in self.fixed and not self.holder_of(key, name))
        others = {each: held for each, held in self.chosen.items() if each != name}
        if name not in self.own or free == self.own[name]:
            return replace(self, chosen=others)
        return replace(self, chosen={**others, name: free})

    def reset(self, name: str) -> "Keymap":
        """An action with the program's own keys again, but for those that another has now."""
        return self.with_keys(name, self.own[name])

    def reset_all(self) -> "Keymap":
        """Every action with the program's own keys."""
        return replace(self, chosen={})

    def with_all(self, chosen: Mapping[str, Keys]) -> "Keymap":
        """With choices that come from a file: unknown actions, fixed keys and those of two actions are left out."""
        made: dict[str, Keys] = {}
        for name, keys in chosen.items():
            taken = self.fixed.union(*made.values())
            free = tuple(key for key in dict.fromkeys(keys) if key not in taken)
            if name in self.own and (free or not keys):
                made[name] = free
        return replace(self, chosen={name: keys for name, keys in made.items() if keys != self.own[name]})
