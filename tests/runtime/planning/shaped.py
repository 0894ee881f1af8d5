"""Files with the headers of large models and no numbers in them: holes on disk, so that seven billion weights cost
nothing; and a bundle around them.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, TokenType, quant_shape_to_byte_shape
from onnx import TensorProto, helper

from tests.helpers.bundles import entry, manifest_tree


@dataclass(frozen=True)
class LanguageShape:
    """Sizes of a LLaMA."""

    layers: int = 32
    width: int = 4096
    feed_forward: int = 11008
    heads: int = 32
    heads_kv: int = 32
    vocabulary: int = 32005
    context: int = 2048
    tied: bool = False


SEVEN_BILLION = LanguageShape()
F16 = GGMLQuantizationType.F16


def write_language(path: Path, shape: LanguageShape, kind: GGMLQuantizationType = F16) -> Path:
    """A GGUF of one type throughout, its tensors a hole."""
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(shape.layers)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads_kv)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([f"t{number}" for number in range(shape.vocabulary)])
    writer.add_token_types([TokenType.NORMAL] * shape.vocabulary)
    writer.add_token_scores([0.0] * shape.vocabulary)
    n_bytes = 0
    for name, axes in _tensors(shape):
        rows = tuple(reversed(axes))
        used = kind if len(axes) > 1 else GGMLQuantizationType.F32
        block, block_bytes = GGML_QUANT_SIZES[used]
        size = int(np.prod(axes, dtype=np.int64)) // block * block_bytes
        whole = used in (F16, GGMLQuantizationType.F32)
        shown, dtype = (rows, np.float16) if whole else (quant_shape_to_byte_shape(rows, used), np.uint8)
        writer.add_tensor_info(name, shown, np.dtype(dtype), size, raw_dtype=used)
        n_bytes += -(-size // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    os.truncate(path, -(-path.stat().st_size // 32) * 32 + n_bytes)
    return path


def _tensors(shape: LanguageShape) -> list[tuple[str, tuple[int, ...]]]:
    width, hidden, keys = shape.width, shape.feed_forward, shape.width // shape.heads * shape.heads_kv
    tensors: list[tuple[str, tuple[int, ...]]] = [("token_embd.weight", (width, shape.vocabulary))]
    tensors += [("output_norm.weight", (width,))]
    if not shape.tied:
        tensors += [("output.weight", (width, shape.vocabulary))]
    for layer in range(shape.layers):
        parts: dict[str, tuple[int, ...]] = {
            "attn_norm": (width,),
            "attn_q": (width, width),
            "attn_k": (width, keys),
            "attn_v": (width, keys),
            "attn_output": (width, width),
            "ffn_norm": (width,),
            "ffn_gate": (width, hidden),
            "ffn_up": (width, hidden),
            "ffn_down": (hidden, width),
        }
        tensors += [(f"blk.{layer}.{part}.weight", axes) for part, axes in parts.items()]
    return tensors


def external_weight(name: str, axes: tuple[int, ...], kind: int = TensorProto.FLOAT) -> TensorProto:
    """A weight whose numbers would be in another file."""
    weight = TensorProto(name=name, data_type=kind, dims=axes, data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="weights")
    return weight


def write_graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int | str, ...]],
    outputs: dict[str, tuple[int | str, ...]],
    weights: list[TensorProto],
) -> Path:
    """An ONNX file; nothing of it is checked."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name, axes in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes) for name, axes in outputs.items()],
        weights,
    )
    path.write_bytes(helper.make_model(graph).SerializeToString())
    return path


PYRAMID = {f"pyramid_{level}": (1, 1024, side, side) for level, side in enumerate((128, 64, 32, 16))}


def write_bundle(folder: Path, shape: LanguageShape = SEVEN_BILLION, kind: GGMLQuantizationType = F16) -> Path:
    """A bundle of GPT4RoI's shape: its pyramid, its weights by size in two matrices and a convolution."""
    language = write_language(folder / "llm.gguf", shape, kind)
    kernel = external_weight("kernel", (1024, 1024, 3, 3))
    levels: dict[str, tuple[int | str, ...]] = dict(PYRAMID)
    write_graph(
        folder / "encode.onnx",
        [
            helper.make_node("Conv", ["pixels", "kernel"], ["pyramid_0"], pads=[1, 1, 1, 1]),
            *(
                helper.make_node("AveragePool", ["pyramid_0"], [name], kernel_shape=[2, 2])
                for name in list(PYRAMID)[1:]
            ),
            helper.make_node("MatMul", ["pixels", "vit"], ["image_embeddings"]),
        ],
        {"pixels": (1, 3, 224, 224)},
        {"image_embeddings": (256, shape.width), **levels},
        [kernel, external_weight("vit", (300_000, 1024))],
    )
    write_graph(
        folder / "regions.onnx",
        [
            helper.make_node("RoiAlign", ["pyramid_0", "boxes", "which"], ["cells"], output_height=14, output_width=14),
            helper.make_node("Flatten", ["cells"], ["flat"]),
            helper.make_node("Gemm", ["flat", "flatten"], ["region_embeddings"]),
        ],
        {**levels, "boxes": ("n_regions", 4)},
        {"region_embeddings": ("n_regions", 1, shape.width)},
        [external_weight("flatten", (200704, 1024))],
    )
    tree = manifest_tree()
    for part, name in (("encode", "encode.onnx"), ("regions", "regions.onnx")):
        tree["vision"][part] = {**entry(name, b""), "size_bytes": (folder / name).stat().st_size}
    tree["vision"]["pyramid"] = [{"channels": axes[1], "side": axes[2]} for axes in PYRAMID.values()]
    tree["vision"] |= {"n_image_rows": 256, "n_rows_per_region": 1}
    tree["vision"]["preprocessing"]["resize"]["side_px"] = 224
    tree["language"] |= {
        "gguf": {**entry("llm.gguf", b""), "size_bytes": language.stat().st_size},
        "embedding_length": shape.width,
        "vocabulary_size": shape.vocabulary,
        "context_length": shape.context,
        "special_tokens": {"<s>": 1, "<im_start>": 30, "<im_end>": 31},
    }
    (folder / "manifest.json").write_text(json.dumps(tree), encoding="utf-8")
    return folder
