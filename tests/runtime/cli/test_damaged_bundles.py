"""Bundles that are missing, changed, foreign or broken: refused in two lines by `ask`, listed by `verify`."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from tests.runtime.cli.conftest import Run, assert_refused

CUP = ("--region", "165,10,415,300")
QUESTION = "What is <region1>?"

pytestmark = pytest.mark.bundle


def change_manifest(bundle: Path, *path: str, value: object) -> None:
    """Set one field."""
    file = bundle / "manifest.json"
    manifest = json.loads(file.read_text(encoding="utf-8"))
    place: Any = manifest
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file.write_text(json.dumps(manifest), encoding="utf-8")


def sign(bundle: Path, *entry: str) -> None:
    """Make the manifest agree with a file that was changed: a bundle whose maker means harm, or erred."""
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    for key in entry:
        manifest = manifest[key]
    content = (bundle / manifest["path"]).read_bytes()
    change_manifest(bundle, *entry, "size_bytes", value=len(content))
    change_manifest(bundle, *entry, "sha256", value=hashlib.sha256(content).hexdigest())


def refuse(run: Run, bundle: Path, photo: Path, *words: str) -> None:
    """Both `ask` and `verify` say so, each in its way."""
    assert_refused(run("ask", photo, *CUP, QUESTION, "--bundle", bundle), *words)
    verified = run("verify", bundle)
    assert verified.exit_code == 1
    assert "FAIL" in verified.stdout
    assert "Traceback" not in verified.output
    for word in words:
        assert word in verified.stderr


def test_a_sound_bundle_verifies(run: Run, bundle_dir: Path) -> None:
    result = run("verify", bundle_dir)
    assert result.exit_code == 0, result.output
    assert "FAIL" not in result.stdout
    assert result.stdout.count("ok ") >= 6


def test_missing(run: Run, tmp_path: Path, sample_photo: Path) -> None:
    refuse(run, tmp_path / "nowhere", sample_photo, "nowhere", "make bundle")
    refuse(run, tmp_path, sample_photo, "manifest.json")


def test_a_missing_file(run: Run, own_bundle: Path, sample_photo: Path) -> None:
    (own_bundle / "regions.onnx").unlink()
    refuse(run, own_bundle, sample_photo, "regions.onnx", "missing")


def test_a_flipped_bit(run: Run, own_bundle: Path, sample_photo: Path) -> None:
    file = own_bundle / "encode.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    refuse(run, own_bundle, sample_photo, "encode.onnx", "SHA-256")


def test_another_version(run: Run, own_bundle: Path, sample_photo: Path) -> None:
    change_manifest(own_bundle, "version", value=99)
    refuse(run, own_bundle, sample_photo, "version 99")


def test_a_path_out_of_the_folder(run: Run, own_bundle: Path, sample_photo: Path) -> None:
    change_manifest(own_bundle, "language", "gguf", "path", value="../llm.gguf")
    refuse(run, own_bundle, sample_photo, "../llm.gguf")


def test_a_truncated_gguf(run: Run, own_bundle: Path, sample_photo: Path) -> None:
    file = own_bundle / "llm.gguf"
    file.write_bytes(file.read_bytes()[: 50 << 20])
    refuse(run, own_bundle, sample_photo, "llm.gguf", f"{50 << 20:,}")
    sign(own_bundle, "language", "gguf")
    refuse(run, own_bundle, sample_photo, "llm.gguf")


def test_a_gguf_of_another_architecture(run: Run, own_bundle: Path, sample_photo: Path) -> None:
    file = own_bundle / "llm.gguf"
    content = file.read_bytes()
    assert content.count(b"general.architecture") == 1
    file.write_bytes(content.replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0gemma", 1))
    sign(own_bundle, "language", "gguf")
    refuse(run, own_bundle, sample_photo, "gemma")


def test_no_gguf_at_all(run: Run, own_bundle: Path, sample_photo: Path) -> None:
    (own_bundle / "llm.gguf").write_bytes(b"GGUF" + b"\xff" * 39)
    sign(own_bundle, "language", "gguf")
    refuse(run, own_bundle, sample_photo, "llm.gguf")


def test_another_embedding_width(run: Run, own_bundle: Path, sample_photo: Path) -> None:
    change_manifest(own_bundle, "language", "embedding_length", value=640)
    refuse(run, own_bundle, sample_photo, "640", "576")


def test_another_token_id(run: Run, own_bundle: Path, sample_photo: Path) -> None:
    change_manifest(own_bundle, "language", "special_tokens", "<|im_end|>", value=7)
    refuse(run, own_bundle, sample_photo, "<|im_end|>", "7")


def test_a_graph_with_other_names(run: Run, own_bundle: Path, sample_photo: Path) -> None:
    change_manifest(own_bundle, "vision", "n_rows_per_region", value=7)
    refuse(run, own_bundle, sample_photo, "regions.onnx", "region_embeddings")


def test_nan_out_of_the_encoder(run: Run, own_bundle: Path, sample_photo: Path) -> None:
    file = own_bundle / "encode.onnx"
    model = onnx.load(file)
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.ndim == 4:
            weight.CopyFrom(onnx.numpy_helper.from_array(np.full_like(values, np.nan), weight.name))
            break
    onnx.save(model, file)
    sign(own_bundle, "vision", "encode")
    refuse(run, own_bundle, sample_photo, "NaN")


def test_verify_goes_on_after_a_failure(run: Run, own_bundle: Path) -> None:
    for name in ("encode.onnx", "regions.onnx"):
        (own_bundle / name).write_bytes(b"x")
    result = run("verify", own_bundle)
    assert result.stdout.count("FAIL") == 2
    assert "2 checks failed" in result.stdout
