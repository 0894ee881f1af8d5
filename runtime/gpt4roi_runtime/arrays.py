"""The shapes and dtypes that cross seams, named once.

Axis names: ``h w`` pixels, ``c`` channels of a feature map, ``n`` regions, ``k`` embeddings a region, ``t`` rows of a
prompt, ``d`` the language model's width. The shapes are checked while the tests run, and cost nothing otherwise.
"""

import numpy as np
from jaxtyping import Float32, UInt8

RgbImage = UInt8[np.ndarray, "h w 3"]
"""A decoded photo: RGB, EXIF orientation applied, row 0 at the top."""

PixelValues = Float32[np.ndarray, "1 3 height width"]
"""What the encode graph reads: resized, scaled and normalised as the bundle says, channels first."""

FeatureMap = Float32[np.ndarray, "1 _c _side _side"]
"""One level of the pyramid; the underscores let levels of several sizes stand in one tuple."""

Boxes = Float32[np.ndarray, "n 4"]
"""Boxes as x1 y1 x2 y2 divided by the image's width and height, so in 0..1."""

RegionEmbeddings = Float32[np.ndarray, "n k d"]
"""For every region its ``k`` rows of the prompt (``k`` is 1 for GPT4RoI)."""

EmbeddingRows = Float32[np.ndarray, "t d"]
"""Rows of a prompt in the language model's width, in reading order."""

TailRows = Float32[np.ndarray, "_t d"]
"""Rows behind others, of a count of their own; the underscore lets several stand in one sequence."""
