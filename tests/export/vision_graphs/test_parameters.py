from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from gpt4roi_export.tensors import ArraysInMemory
from gpt4roi_export.vision_graphs.parameters import parameters_of
from gpt4roi_runtime.errors import BundleError
from tests.export.vision_graphs.conftest import Model

Arrays = dict[str, NDArray[np.generic]]

FLATTEN = "model.spi_module.roi_align.flatten_linear.weight"
PATCH = "vision_model.embeddings.patch_embedding.weight"


def test_every_parameter_is_read_under_our_name_as_float32(model: Model) -> None:
    half = ArraysInMemory({name: array.astype(np.float16) for name, array in model.release.arrays.items()})
    parameters = parameters_of(model.sizes, model.clip, half)
    ours = {**dict(model.encode.named_parameters()), **dict(model.regions.named_parameters())}
    for name in parameters.shapes:
        array = parameters.read(name)
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, ours[name].detach().numpy(), rtol=1e-3, atol=1e-6)


def test_names_without_the_models_prefix_are_the_same(model: Model) -> None:
    bare = {name.removeprefix("vision_model."): array for name, array in model.clip.arrays.items()}
    parameters = parameters_of(model.sizes, ArraysInMemory(bare), model.release)
    assert parameters.shapes == parameters_of(model.sizes, model.clip, model.release).shapes


def test_clips_text_half_and_its_unused_last_layer_do_not_matter(model: Model) -> None:
    arrays = {name: array for name, array in model.clip.arrays.items() if ".layers.4." not in name}
    assert len(arrays) < len(model.clip.arrays)
    arrays["text_model.embeddings.token_embedding.weight"] = np.zeros((2, 2), dtype=np.float32)
    arrays["logit_scale"] = np.zeros((), dtype=np.float32)
    assert parameters_of(model.sizes, ArraysInMemory(arrays), model.release).shapes


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda clip, release: release.pop(FLATTEN), ["lacks", "region_head.flatten.weight"]),
        (lambda clip, release: clip.pop(PATCH), ["lacks", "patch_embedding.weight"]),
        (
            lambda clip, release: release.update({FLATTEN: np.zeros((48, 3), np.float32)}),
            [FLATTEN, "[48, 3]", "[48, 12544]"],
        ),
        (lambda clip, release: clip.update({PATCH: clip[PATCH].astype(np.int32)}), [PATCH, "int32"]),
        (
            lambda clip, release: release.update(
                {"model.spi_module.roi_align.pconvs.4.bias": np.zeros(64, np.float32)}
            ),
            ["does not have", "pconvs.4.bias"],
        ),
        (
            lambda clip, release: release.update({"model.spi_module.x": np.zeros(64, np.float32)}),
            ["model.spi_module.x"],
        ),
        (
            lambda clip, release: clip.update(
                {"vision_model.embeddings.patch_embedding.bias": np.zeros(64, np.float32)}
            ),
            ["does not have", "patch_embedding.bias"],
        ),
    ],
)
def test_missing_foreign_and_misshapen_tensors_are_named(
    model: Model, change: Callable[[Arrays, Arrays], object], words: list[str]
) -> None:
    clip, release = dict(model.clip.arrays), dict(model.release.arrays)
    change(clip, release)
    with pytest.raises(BundleError) as refused:
        parameters_of(model.sizes, ArraysInMemory(clip), ArraysInMemory(release))
    assert all(word in refused.value.problem for word in words)


def test_many_missing_tensors_are_counted(model: Model) -> None:
    with pytest.raises(BundleError) as refused:
        parameters_of(model.sizes, ArraysInMemory({}), model.release)
    assert refused.value.problem.endswith(" and 64 more")


def test_a_tensor_with_nan_is_refused_when_it_is_read(model: Model) -> None:
    arrays = dict(model.release.arrays)
    arrays[FLATTEN] = arrays[FLATTEN].copy()
    arrays[FLATTEN][3, 5] = np.nan
    with pytest.raises(BundleError, match="flatten_linear"):
        parameters_of(model.sizes, model.clip, ArraysInMemory(arrays)).read("region_head.flatten.weight")
