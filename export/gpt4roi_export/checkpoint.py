"""The names of GPT4RoI's released checkpoints, turned into ours; the only place where theirs appear.

Does not read files and does not look into tensors.
"""

import re

from gpt4roi_runtime.errors import BundleError

_REGION_MODULE = "model.spi_module."

_RENAMES = tuple(
    (re.compile(theirs), ours)
    for theirs, ours in (
        (r"^mlvl_fuse\.input_conv\.(\d)\.", r"pyramid.level_convs.\1."),
        (r"^mlvl_fuse\.fuse_convs\.(\d)\.conv\.", r"pyramid.fusions.\1.conv."),
        (r"^mlvl_fuse\.fuse_convs\.(\d)\.gn\.", r"pyramid.fusions.\1.norm."),
        (r"^roi_align\.pconvs\.(\d)\.", r"region_head.level_convs.\1."),
        (r"^roi_align\.pos_embedd\.(\d)\.", r"region_head.box_embedding.\1."),
        (r"^roi_align\.flatten_linear\.", "region_head.flatten."),
        (r"^roi_align\.updims\.", "region_head.projector."),
        (r"^model\.mm_projector\.", "projector."),
    )
)


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
    for theirs, ours in _RENAMES:
        renamed, n_matches = theirs.subn(ours, short)
        if n_matches:
            return renamed
    raise BundleError(
        f"parameter {checkpoint_name!r} is not part of GPT4RoI's vision side",
        "Expected a name below model.spi_module. or model.mm_projector.; check that the checkpoint is a GPT4RoI one.",
    )


def checkpoint_name(our_parameter: str) -> str:
    """Inverse of ``our_name`` for the region module, without its ``model.spi_module.`` prefix.

    Args:
        our_parameter: A name below ``pyramid.`` or ``region_head.``.

    Raises:
        BundleError: The checkpoints hold no such parameter.
    """
    for ours, theirs in (
        ("pyramid.level_convs.", "mlvl_fuse.input_conv."),
        ("pyramid.fusions.", "mlvl_fuse.fuse_convs."),
        ("region_head.level_convs.", "roi_align.pconvs."),
        ("region_head.box_embedding.", "roi_align.pos_embedd."),
        ("region_head.flatten.", "roi_align.flatten_linear."),
        ("region_head.projector.", "roi_align.updims."),
    ):
        if our_parameter.startswith(ours):
            return theirs + our_parameter.removeprefix(ours).replace(".norm.", ".gn.")
    raise BundleError(
        f"no parameter of the checkpoint is our {our_parameter!r}", "Expected pyramid.* or region_head.*."
    )
