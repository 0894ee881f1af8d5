"""What is generally true of the vocabulary's kinds: what they belong to, and what they are recognised by.

Does not know names.
"""

from dataclasses import dataclass

from gpt4roi_export.dialogues.words import plural, with_article

ANIMAL, PLANT, FOOD, VEHICLE, BUILDING = "animal", "plant", "food", "vehicle", "building"
CATEGORIES = (ANIMAL, PLANT, FOOD, VEHICLE, BUILDING)
"""What a question about the kind may ask for."""


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        signs: What one recognises it by, as the end of "It has ...".
        category: One of ``CATEGORIES``, or None for a thing of none of them.
        unclear: Categories of which people would not agree whether it belongs there.
        one: What a single one is called; empty for the kind with its article.
        several: What more of them are called; empty for the kind's plural.
        near: Kinds that one of this kind may belong to as well.
    """

    signs: str
    category: str | None = None
    unclear: tuple[str, ...] = ()
    one: str = ""
    several: str = ""
    near: tuple[str, ...] = ()


_KINDS = {
    "bird": Kind("feathers, wings and a beak", ANIMAL, (FOOD,)),
    "dog": Kind("the head, the ears and the fur of a dog", ANIMAL, near=("mammal",)),
    "cat": Kind("the head, the ears and the fur of a cat", ANIMAL, near=("mammal",)),
    "fish": Kind("fins and the body of a fish", ANIMAL, (FOOD,), several="fish", near=("sea animal",)),
    "insect": Kind("six legs and the body of an insect", ANIMAL),
    "spider": Kind("eight legs", ANIMAL, near=("insect",)),
    "reptile": Kind("scaly skin", ANIMAL),
    "amphibian": Kind("smooth skin and short legs", ANIMAL),
    "mammal": Kind("the body of a mammal", ANIMAL, (FOOD,), near=("dog", "cat", "sea animal")),
    "shellfish": Kind("a shell or a soft body", ANIMAL, (FOOD,), several="shellfish", near=("sea animal", "fish")),
    "sea animal": Kind("the body of an animal of the sea", ANIMAL, near=("fish", "shellfish")),
    "worm": Kind("a long soft body", ANIMAL),
    "imaginary creature": Kind("the look of a creature from a tale", None, (ANIMAL,)),
    "boat": Kind("the hull of a boat", VEHICLE, near=("vehicle",)),
    "aircraft": Kind("the shape of something that flies", VEHICLE, several="aircraft", near=("vehicle",)),
    "spacecraft": Kind("the shape of a spacecraft", VEHICLE, several="spacecraft", near=("vehicle", "aircraft")),
    "vehicle": Kind("the shape of a vehicle", VEHICLE, near=("machine", "boat")),
    "vehicle part": Kind("the shape of a part of a vehicle", None, (VEHICLE,), near=("vehicle",)),
    "musical instrument": Kind("the shape of an instrument that one plays"),
    "weapon": Kind("the shape of a weapon", near=("tool",)),
    "tool": Kind("the shape of a tool", near=("kitchenware", "weapon", "machine", "sports equipment")),
    "cleaning supply": Kind("the look of something to clean with", near=("tool", "container")),
    "container": Kind("the shape of something to put things in", near=("kitchenware", "furniture", "accessory")),
    "kitchenware": Kind(
        "the shape of something used in a kitchen",
        one="a piece of kitchenware",
        several="pieces of kitchenware",
        near=("container", "tool", "appliance"),
    ),
    "appliance": Kind("the shape of a household machine", near=("electronic device", "machine", "kitchenware")),
    "electronic device": Kind("the shape of an electronic device", near=("appliance", "machine", "lamp")),
    "data medium": Kind("the look of something that holds data", several="data media", near=("electronic device",)),
    "furniture": Kind(
        "the shape of a piece of furniture",
        one="a piece of furniture",
        several="pieces of furniture",
        near=("bathroom fixture", "lamp", "container", "household linen"),
    ),
    "bathroom fixture": Kind("the shape of something from a bathroom", near=("furniture",)),
    "lamp": Kind("the look of something that gives light", near=("furniture", "appliance", "decoration")),
    "household linen": Kind(
        "the look of cloth used at home",
        one="a piece of household linen",
        several="pieces of household linen",
        near=("furniture", "fabric"),
    ),
    "clothing": Kind(
        "the look of something to wear",
        one="a piece of clothing",
        several="pieces of clothing",
        near=("footwear", "headgear", "accessory", "fabric"),
    ),
    "footwear": Kind(
        "the look of something to wear on the foot",
        one="a piece of footwear",
        several="pieces of footwear",
        near=("clothing", "accessory", "sports equipment"),
    ),
    "headgear": Kind(
        "the look of something to wear on the head",
        one="a piece of headgear",
        several="pieces of headgear",
        near=("clothing", "accessory", "sports equipment"),
    ),
    "accessory": Kind(
        "the look of something to wear or carry", several="accessories", near=("clothing", "headgear", "container")
    ),
    "cosmetic": Kind("the look of something to care for skin or hair", near=("container", "cleaning supply")),
    "medical supply": Kind("the look of something used in medicine", near=("tool", "container")),
    "timepiece": Kind("the look of something that shows the time", near=("accessory", "measuring instrument")),
    "measuring instrument": Kind("the shape of something to measure with", near=("tool", "timepiece", "sign")),
    "stationery": Kind(
        "the look of something to write or to work with at a desk",
        one="a piece of stationery",
        several="pieces of stationery",
        near=("printed matter", "tool"),
    ),
    "printed matter": Kind(
        "the look of printed paper",
        one="a piece of printed matter",
        several="pieces of printed matter",
        near=("stationery", "sign"),
    ),
    "building": Kind("walls and a roof", BUILDING, near=("structure",)),
    "structure": Kind("the shape of something that was built", None, (BUILDING,), near=("building",)),
    "amusement ride": Kind("the shape of a ride at a fair", None, (VEHICLE, BUILDING), near=("structure", "machine")),
    "sign": Kind("the look of something put up along a road", near=("structure",)),
    "machine": Kind("the parts of a machine", None, (VEHICLE,), near=("appliance", "electronic device", "vehicle")),
    "part or fitting": Kind("the shape of a small part", one="a small part", several="small parts", near=("tool",)),
    "fabric": Kind("the look of cloth", one="a fabric", several="fabrics", near=("clothing", "household linen")),
    "fruit": Kind("the shape and the skin of a fruit", FOOD, (PLANT,), near=("vegetable", "dish")),
    "nut": Kind("the shape of a nut", FOOD, (PLANT,), near=("fruit",)),
    "vegetable": Kind("the shape of a vegetable", FOOD, (PLANT,), near=("fruit", "dish", "plant")),
    "dish": Kind("the look of something to eat", FOOD, (ANIMAL, PLANT), near=("fruit", "vegetable", "drink")),
    "drink": Kind("the look of something to drink", None, (FOOD, PLANT), near=("dish", "container")),
    "flower": Kind("petals", PLANT, (FOOD,), near=("plant",)),
    "plant": Kind("the leaves or the stem of a plant", PLANT, (FOOD,), near=("flower", "tree", "vegetable")),
    "tree": Kind("the look of a tree or of a part of one", None, (PLANT,), one="part of a tree", several="-"),
    "mushroom": Kind("the shape of a mushroom", None, (PLANT, FOOD)),
    "toy": Kind("the look of something to play with", None, (ANIMAL, VEHICLE, BUILDING), near=("ball", "decoration")),
    "sports equipment": Kind(
        "the shape of something used in sports",
        one="a piece of sports equipment",
        several="pieces of sports equipment",
        near=("ball", "tool", "clothing"),
    ),
    "ball": Kind("a round shape", near=("toy", "sports equipment")),
    "decoration": Kind("the look of something to look at", None, (BUILDING,), near=("toy", "lamp", "furniture")),
    "landscape": Kind(
        "the look of a landscape", one="part of a landscape", several="-", near=("sky and weather", "structure")
    ),
    "sky and weather": Kind(
        "the look of something from nature", one="part of nature", several="-", near=("landscape", "natural object")
    ),
    "person": Kind("the head and the body of a person", None, (ANIMAL,), several="people"),
    "body part": Kind("the shape of a part of the body", None, (ANIMAL, FOOD), near=("person",)),
    "natural object": Kind("the look of something from nature", None, (ANIMAL, PLANT), near=("landscape",)),
}
_UNCOUNTABLE = "-"


def kind_facts(kind: str | None) -> Kind | None:
    """What is known of a kind; None where nothing is."""
    return None if kind is None else _KINDS.get(kind)


def one_of(kind: str) -> str:
    """A single one: "a bird", "a piece of furniture"."""
    facts = _KINDS.get(kind)
    return facts.one if facts is not None and facts.one else with_article(kind)


def several_of(kind: str) -> str | None:
    """More of them: "birds", "pieces of furniture"; None where one would not count them."""
    facts = _KINDS.get(kind)
    if facts is not None and facts.several:
        return None if facts.several == _UNCOUNTABLE else facts.several
    return plural(kind)


def are_near(first: str, second: str) -> bool:
    """Whether something of one kind may be of the other kind as well."""
    return any(
        facts is not None and other in facts.near
        for facts, other in ((_KINDS.get(first), second), (_KINDS.get(second), first))
    )
