"""The names of GPT4RoI's released checkpoints, turned into ours; the only place where theirs appear.

Does not read files and does not look into tensors.
"""

from gpt4roi_runtime.errors import BundleError

_REGION_MODULE = "model.spi_module."

_PREFIXES = (
    ("mlvl_fuse.input_conv.", "pyramid.level_convs."),
    ("mlvl_fuse.fuse_convs.", "pyramid.fusions."),
    ("roi_align.pconvs.", "region_head.level_convs."),
    ("roi_align.pos_embedd.", "region_head.box_embedding."),
    ("roi_align.flatten_linear.", "region_head.flatten."),
    ("roi_align.updims.", "region_head.projector."),
    ("model.mm_projector.", "projector."),
)
"""Theirs and ours; behind them only the group norm's name differs."""


def our_name(checkpoint_name: str) -> str:
    """Name of a vision parameter in our modules.

    Args:
        checkpoint_name: As in the released files (``model.spi_module.mlvl_fuse...``), with or without that prefix.

    Returns:
        A name below ``pyramid.``, ``region_head.`` or ``projector.``.

    Raises:
        BundleError: No vision parameter of GPT4RoI has this name.
    """
    short = checkpoint_name.removeprefix(_REGION_MODULE)
    for theirs, ours in _PREFIXES:
        if short.startswith(theirs):
            return ours + short.removeprefix(theirs).replace(".gn.", ".norm.")
    raise BundleError(
        f"parameter {checkpoint_name!r} is not part of GPT4RoI's vision side",
        "Expected a name below model.spi_module. or model.mm_projector.; check that the checkpoint is a GPT4RoI one.",
    )


def checkpoint_name(our_parameter: str) -> str:
    """Inverse of ``our_name``, without the ``model.spi_module.`` prefix.

    Args:
        our_parameter: A name below ``pyramid.``, ``region_head.`` or ``projector.``.

    Raises:
        BundleError: The checkpoints hold no such parameter.
    """
    for theirs, ours in _PREFIXES:
        if our_parameter.startswith(ours):
            return theirs + our_parameter.removeprefix(ours).replace(".norm.", ".gn.")
    raise BundleError(
        f"no parameter of the checkpoint is our {our_parameter!r}", "Expected pyramid.*, region_head.* or projector.*."
    )
