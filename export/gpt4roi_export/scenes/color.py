"""Which basic color term most of an object's pixels would be called by.

Does not know what the object is. Lightness and chroma are CIELAB's; the hue is HSV's, because CIELAB puts pure blue and
violet at one angle.
"""

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from gpt4roi_export.scene import COLORS

LEAST_SHARE = 0.5
"""The dominant term must have so much of the pixels."""
MOST_RIVAL = 0.5
"""The next term may have at most so much of the dominant one's."""

_LEAST_PIXELS = 30
_NONE = len(COLORS)
_CODES = {name: code for code, name in enumerate(COLORS)}

Pixels = UInt8[np.ndarray, "n 3"]


def dominant_color(pixels: Pixels) -> str | None:
    """The term of most pixels, or None where none clearly leads.

    Args:
        pixels: RGB.
    """
    if len(pixels) < _LEAST_PIXELS:
        return None
    counts = np.bincount(_codes(pixels), minlength=_NONE + 1)[:_NONE]
    first, second = np.sort(counts)[::-1][:2]
    if first < LEAST_SHARE * len(pixels) or second > MOST_RIVAL * first:
        return None
    return COLORS[int(counts.argmax())]


def _codes(pixels: Pixels) -> np.ndarray:
    """Number of a term per pixel; ``_NONE`` where people disagree, as about turquoise."""
    as_picture = (pixels.astype(np.float32) / 255)[None]
    lab = cv2.cvtColor(as_picture, cv2.COLOR_RGB2LAB)[0]
    hue = cv2.cvtColor(as_picture, cv2.COLOR_RGB2HSV)[0, :, 0]  # degrees
    light, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    codes = np.full(len(pixels), _NONE)
    for term, where in {**_hued(hue, light, chroma), **_unhued(light, chroma)}.items():  # the unhued win
        codes[where] = _CODES[term]
    codes[_pale(light, chroma)] = _NONE
    return codes


def _unhued(light: np.ndarray, chroma: np.ndarray) -> dict[str, Bool[np.ndarray, " n"]]:
    dark = (light < 12) | ((light < 20) & (chroma < 18)) | ((light < 28) & (chroma < 9))
    faint = (chroma < 12) & ~dark
    return {"gray": faint & (light < 82), "white": faint & (light >= 86) & (chroma < 9), "black": dark & (chroma < 40)}


def _pale(light: np.ndarray, chroma: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Between white, gray and a tint: called differently by everyone."""
    between = (light >= 82) & (light < 86) & (chroma < 12)
    tinted = (light >= 86) & (chroma >= 9) & (chroma < 16)
    grayish = (light >= 28) & (chroma >= 12) & (chroma < 15)
    return between | tinted | grayish


def _hued(hue: np.ndarray, light: np.ndarray, chroma: np.ndarray) -> dict[str, Bool[np.ndarray, " n"]]:
    """Hue decides; then light and strong, or dark and weak, splits pink from red, orange and yellow from brown."""
    reddish = (hue < 14) | (hue >= 346)
    orangish = (hue >= 14) & (hue < 44)
    yellowish = (hue >= 44) & (hue < 68)
    purplish = (hue >= 255) & (hue < 305)
    pinkish = (hue >= 305) & (hue < 346)
    pink_red = reddish & (light >= 64) & (chroma < 62)
    brown_red = reddish & (light < 55) & (chroma < 32)
    orange = orangish & (light >= 57) & (chroma >= 52)
    beige = (light >= 78) | ((light >= 66) & (chroma < 30))
    vivid = (light >= 48) & (chroma >= 48)  # between orange and brown
    yellow = yellowish & (light >= 66) & (chroma >= 30)
    return {
        "red": (reddish & ~pink_red & ~brown_red) | (pinkish & (hue >= 335) & (light < 45)),
        "pink": pink_red | (pinkish & (light >= 52)),
        "orange": orange & (hue >= 16),
        "brown": (orangish & ~orange & ~vivid & ~beige) | brown_red | (yellowish & (light < 62) & (hue < 50)),
        "yellow": yellow | (orangish & (hue >= 41) & (light >= 72) & (chroma >= 60)),
        "green": ((hue >= 68) & (hue < 168)) | (yellowish & (light < 62) & (hue >= 54)),
        "blue": (hue >= 192) & (hue < 250),
        "purple": purplish | (pinkish & (light < 46) & (hue < 330)),
    }
