"""Encoded images by number, the least used ones dropped when they take too many bytes. Knows no engine and no pipe."""

from collections import OrderedDict

from gpt4roi_runtime.asking import EncodedImage


class KeptImages:
    """The images that a process holds for its caller.

    Args:
        most_bytes: What they may take together; the latest is kept even if it takes more alone.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._images: OrderedDict[int, EncodedImage] = OrderedDict()

    def __contains__(self, number: int) -> bool:
        return number in self._images

    def get(self, number: int) -> EncodedImage:
        """An image that is there; it counts as used now."""
        self._images.move_to_end(number)
        return self._images[number]

    def keep(self, number: int, image: EncodedImage) -> None:
        """Take an image, and drop others where it must be."""
        self._images[number] = image
        self._images.move_to_end(number)
        while len(self._images) > 1 and sum(map(n_bytes, self._images.values())) > self._most_bytes:
            self._images.popitem(last=False)


def n_bytes(image: EncodedImage) -> int:
    """What an image's arrays take."""
    return image.features.nbytes
