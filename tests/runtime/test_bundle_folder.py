import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpt4roi_runtime.bundle.folder import MAX_MANIFEST_BYTES, check_file, default_bundle, open_bundle
from gpt4roi_runtime.bundle.manifest import FileEntry, TextPiece
from gpt4roi_runtime.errors import BundleError
from tests.helpers.bundles import FILES, MISSING, changed, entry, manifest_tree, write_fake_bundle, write_manifest


def refused(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        open_bundle(folder)
    assert caught.value.advice
    return caught.value.problem


def refused_with(folder: Path, **changes: Any) -> str:
    return refused(write_fake_bundle(folder, **changes))


def refused_file(folder: Path, name: str = "encode.onnx") -> str:
    """Opens, and then finds that file wrong."""
    bundle = open_bundle(folder)
    (found,) = [one for one in bundle.manifest.files if one.path == name]
    with pytest.raises(BundleError) as caught:
        check_file(bundle, found)
    assert caught.value.advice
    return caught.value.problem


# --- what is right ----------------------------------------------------------------------------------------------------


def test_a_valid_bundle_opens_and_all_its_files_hold(tmp_path: Path) -> None:
    bundle = open_bundle(write_fake_bundle(tmp_path, files={"weights.bin": b"\1\2\3", "parts/more.bin": b"\4"}))
    assert [one.path for one in bundle.manifest.files] == [
        "encode.onnx",
        "regions.onnx",
        "weights.bin",
        "parts/more.bin",
        "llm.gguf",
    ]
    for one in bundle.manifest.files:
        check_file(bundle, one)
        assert bundle.path_of(one).is_file()


def test_the_manifest_says_what_was_written(tmp_path: Path) -> None:
    manifest = open_bundle(write_fake_bundle(tmp_path)).manifest
    assert (manifest.name, manifest.language.embedding_length, manifest.vision.preprocessing.side_px) == ("tiny", 5, 8)
    assert manifest.prompt.opening[1] == TextPiece(text="Look: ")


def test_the_square_is_that_of_the_last_resize(tmp_path: Path) -> None:
    how = {
        "resize": {"to": "shortest_edge", "side_px": 8, "filter": "bicubic"},
        "stretch": {"to": "stretch", "side_px": 9, "filter": "bilinear"},
    }
    tree = manifest_tree()
    tree["vision"]["preprocessing"].update(how)
    folder = write_fake_bundle(tmp_path)
    write_manifest(folder, tree)
    assert open_bundle(folder).manifest.vision.preprocessing.side_px == 9


def test_the_id_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    one, same = (open_bundle(write_fake_bundle(tmp_path / name)).id for name in ("one", "same"))
    other = open_bundle(write_fake_bundle(tmp_path / "other", files={"llm.gguf": b"another"})).id
    assert one == same
    assert one != other
    assert len(one) == 16


def test_a_folder_reached_by_a_link_opens(tmp_path: Path) -> None:
    folder = write_fake_bundle(tmp_path / "bundle")
    (tmp_path / "link").symlink_to(folder)
    bundle = open_bundle(tmp_path / "link")
    for one in bundle.manifest.files:
        check_file(bundle, one)


def test_the_default_bundle_lies_in_the_environment() -> None:
    assert default_bundle().is_relative_to(sys.prefix)


# --- folder and manifest file -----------------------------------------------------------------------------------------


def test_a_missing_folder_is_named_with_the_way_to_make_one(tmp_path: Path) -> None:
    assert refused(tmp_path / "none") == f"there is no bundle at {tmp_path / 'none'}"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "llm.gguf").write_bytes(b"GGUF")
    assert "there is no bundle" in refused(tmp_path / "llm.gguf")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "\udcff"])
def test_a_folder_that_cannot_be_is_refused(name: str) -> None:
    refused(Path(name))


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    assert "has no manifest.json" in refused(tmp_path)


def test_a_manifest_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    assert "manifest.json" in refused(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"manifest",
        b"{",
        b"[]",
        b"null",
        b'"gpt4roi-bundle"',
        b"\x80\x04K\x01.",
        b'{"format": "\xff\xfe", "version": 1}',
        b'{"format": "\\ud800", "version": 1}',
        b"[" * 100_000,
        b'{"format": "gpt4roi-bundle", "version": 1, "x": ' + b"[" * 500_000,
        b'{"a":' * 100_000,
        b"\xef\xbb\xbf{}",
        b"1" * 100_000,
        b'{"format": "gpt4roi-bundle", "version": ' + b"1" * 10_000 + b"}",
    ],
    ids=range(16),
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    assert "is not a valid manifest" in refused(tmp_path)


def test_a_huge_manifest_is_refused_by_its_size(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b" " * (MAX_MANIFEST_BYTES + 1))
    assert "the limit of 1,048,576 bytes" in refused(tmp_path)


def test_a_manifest_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """What a link leads to may be anything of the machine; a bundle holds its files itself."""
    folder = write_fake_bundle(tmp_path / "bundle")
    (folder / "manifest.json").rename(tmp_path / "elsewhere.json")
    (folder / "manifest.json").symlink_to(tmp_path / "elsewhere.json")
    assert "manifest.json" in refused(folder)


@pytest.mark.skipif(not Path("/dev/zero").is_char_device(), reason="no endless file here")
def test_an_endless_manifest_is_refused(tmp_path: Path) -> None:
    """In a child of limited memory: whoever reads it to its end is stopped there."""
    (tmp_path / "manifest.json").symlink_to("/dev/zero")
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from gpt4roi_runtime import BundleError, open_bundle\n"
        "open_bundle, BundleError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29))\n"
        "try: open_bundle(Path(sys.argv[1]))\n"
        "except BundleError: print('refused')\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert child.stdout == "refused\n", child.stderr


# --- fields -----------------------------------------------------------------------------------------------------------


def test_another_format_is_named(tmp_path: Path) -> None:
    assert "'llava-bundle'; expected 'gpt4roi-bundle'" in refused_with(tmp_path, format="llava-bundle")


@pytest.mark.parametrize("version", [0, 2, -1, 999])
def test_another_version_is_named_before_its_fields_are_looked_at(tmp_path: Path, version: int) -> None:
    problem = refused_with(tmp_path, version=version, vision=MISSING, novelty={"x": 1})
    assert f"version {version}; this program reads version 1" in problem


def _fields(tree: Any, path: str = "") -> list[str]:
    if not isinstance(tree, dict) or path.endswith("special_tokens"):
        return []
    inner = [one for name, part in tree.items() for one in _fields(part, f"{path}{name}__")]
    return [f"{path}{name}" for name in tree] + inner


FIELDS = _fields(manifest_tree())
OPTIONAL = {"vision__external_data"}


def test_the_list_of_fields_is_a_list_of_fields() -> None:
    assert len(FIELDS) > 40
    assert set(FIELDS) >= OPTIONAL | {"format", "vision__encode__sha256", "decoding__max_tokens"}


@pytest.mark.parametrize("field", [field for field in FIELDS if field not in OPTIONAL])
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    assert field.split("__")[-1] in refused_with(tmp_path, **{field: MISSING})


@pytest.mark.parametrize("field", OPTIONAL)
def test_an_optional_field_may_be_left_out(tmp_path: Path, field: str) -> None:
    changes: dict[str, Any] = {field: MISSING}
    open_bundle(write_fake_bundle(tmp_path, **changes))


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [None, True, {"x": 1}, [[]], "\0", -1.5], ids=repr)
def test_a_value_of_another_type_is_refused(tmp_path: Path, field: str, value: object) -> None:
    if value == "\0" and isinstance(_at(manifest_tree(), field), str) and not field.endswith(_CLOSED):
        pytest.skip("any text is right here")
    if value == -1.5 and field.endswith("scale"):
        pytest.skip("any number is right here")
    changes: dict[str, Any] = {field: value}
    refused_with(tmp_path, **changes)


_CLOSED = ("format", "path", "sha256", "to", "filter", "dtype", "architecture", "lead_writer")


def _at(tree: Any, field: str) -> Any:
    for part in field.split("__"):
        tree = tree[part]
    return tree


@pytest.mark.parametrize(
    "where", ["novelty", "vision__novelty", "vision__encode__novelty", "language__novelty", "prompt__novelty"]
)
def test_an_unknown_field_is_named(tmp_path: Path, where: str) -> None:
    assert "novelty" in refused_with(tmp_path, **{where: 1})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("vision__encode__size_bytes", -1),
        ("vision__encode__size_bytes", 0),
        ("vision__encode__sha256", "0" * 63),
        ("vision__encode__sha256", "0" * 65),
        ("vision__encode__sha256", "F" * 64),
        ("vision__encode__sha256", "0" * 64 + "\n"),
        ("vision__encode__path", ""),
        ("vision__encode__path", "x" * 256),
        ("vision__n_image_rows", 0),
        ("vision__n_image_rows", 1 << 30),
        ("vision__n_image_rows", 10**30),
        ("vision__n_rows_per_region", 65),
        ("vision__max_regions", 0),
        ("vision__max_regions", 101),
        ("vision__pyramid", []),
        ("vision__pyramid", [{"channels": 1, "side": 1}] * 9),
        ("vision__pyramid", [{"channels": 0, "side": 1}]),
        ("vision__pyramid", [{"channels": 1, "side": -4}]),
        ("vision__dtype", "float64"),
        ("vision__preprocessing__mean", [0, 0]),
        ("vision__preprocessing__std", [1, 1, 1, 1]),
        ("vision__preprocessing__resize__side_px", 7),
        ("vision__preprocessing__resize__side_px", 4097),
        ("language__architecture", "gpt2"),
        ("language__embedding_length", 0),
        ("language__embedding_length", -5),
        ("language__vocabulary_size", 0),
        ("language__context_length", 63),
        ("language__context_length", (1 << 20) + 1),
        ("language__special_tokens", {"<s>": -1}),
        ("prompt__lead_writer", "user"),
        ("prompt__opening", [{"type": "script", "text": "import os"}]),
        ("prompt__opening", [{"type": "text", "text": "x" * 8193}]),
        ("prompt__opening", [{"type": "text", "text": "x"}] * 65),
        ("prompt__stop", [""]),
        ("prompt__stop", ["x"] * 17),
        ("prompt__reserved", [""]),
        ("prompt__reserved", ["x"] * 257),
        ("decoding__temperature", -0.1),
        ("decoding__temperature", 11),
        ("decoding__max_tokens", 0),
        ("licences", []),
    ],
)
def test_a_value_out_of_range_is_refused(tmp_path: Path, field: str, value: object) -> None:
    problem = refused_with(tmp_path, **{field: value})
    assert "manifest.json" in problem


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused(tmp_path: Path, number: str) -> None:
    folder = write_fake_bundle(tmp_path, vision__preprocessing__scale=12345)
    path = folder / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace("12345", number), encoding="utf-8")
    assert "is not a valid manifest" in refused(folder)


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../secret.bin",
        "parts/../../secret.bin",
        "parts/..",
        "..",
        "/etc/passwd",
        "//server/share",
        "parts\\weights.bin",
        "..\\secret.bin",
        "C:/weights.bin",
        "C:weights.bin",
        "\\\\server\\share",
        "weights\0.bin",
    ],
)
@pytest.mark.parametrize("field", ["vision__encode", "vision__regions", "language__gguf"])
def test_a_path_out_of_the_folder_is_refused_by_name(tmp_path: Path, field: str, path: str) -> None:
    assert repr(path) in refused_with(tmp_path, **{f"{field}__path": path})


def test_external_data_cannot_leave_the_folder_either(tmp_path: Path) -> None:
    assert "'../x.bin'" in refused_with(tmp_path, vision__external_data=[entry("../x.bin", b"x")])


@pytest.mark.parametrize("path", ["regions.onnx", "./regions.onnx", "parts/../regions.onnx", ".//regions.onnx"])
def test_one_file_under_two_names_is_refused(tmp_path: Path, path: str) -> None:
    assert "regions.onnx" in refused_with(tmp_path, vision__encode__path=path)


@pytest.mark.parametrize("path", ["manifest.json", "./manifest.json"])
def test_the_manifest_is_none_of_its_own_files(tmp_path: Path, path: str) -> None:
    assert "manifest.json" in refused_with(tmp_path, vision__encode__path=path)


# --- meaning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("std", [0.0, -0.0, 1e-60])
def test_a_std_that_is_zero_for_float32_is_refused(tmp_path: Path, std: float) -> None:
    assert "std" in refused_with(tmp_path, vision__preprocessing__std=[1.0, std, 1.0])


@pytest.mark.parametrize("field", ["scale", "mean", "std"])
def test_numbers_that_are_infinite_for_float32_are_refused(tmp_path: Path, field: str) -> None:
    refused_with(tmp_path, **{f"vision__preprocessing__{field}": 1e300 if field == "scale" else [1e300] * 3})


RESIZE = {"to": "stretch", "side_px": 8, "filter": "bicubic"}
STRETCH = {"to": "stretch", "side_px": 8, "filter": "bilinear"}


@pytest.mark.parametrize(
    ("resize", "stretch"),
    [
        ({**RESIZE, "to": "shortest_edge"}, None),
        (RESIZE, {**STRETCH, "to": "shortest_edge"}),
        ({**RESIZE, "filter": "bilinear"}, None),
        ({**RESIZE, "filter": "bilinear"}, STRETCH),
        (RESIZE, {**STRETCH, "filter": "bicubic"}),
    ],
)
def test_a_preprocessing_nobody_specified_is_refused(tmp_path: Path, resize: object, stretch: object) -> None:
    problem = refused_with(tmp_path, vision__preprocessing__resize=resize, vision__preprocessing__stretch=stretch)
    assert "preprocessing" in problem


IMAGE, TEXT = {"type": "image"}, {"type": "text", "text": "x"}


@pytest.mark.parametrize("part", ["after_question", "after_answer"])
def test_an_image_behind_a_question_is_refused(tmp_path: Path, part: str) -> None:
    assert "behind a question" in refused_with(tmp_path, **{f"prompt__{part}": [TEXT, IMAGE]})


def test_two_images_are_refused(tmp_path: Path) -> None:
    assert "more than once" in refused_with(tmp_path, prompt__opening=[IMAGE, TEXT, IMAGE])


@pytest.mark.parametrize("part", ["opening", "after_question", "after_answer"])
def test_a_token_without_an_id_is_named(tmp_path: Path, part: str) -> None:
    token = {"type": "token", "token": "<novel>"}
    assert "'<novel>'" in refused_with(tmp_path, **{f"prompt__{part}": [token]})


@pytest.mark.parametrize("number", [32, 33, 1 << 40])
def test_a_token_beyond_the_vocabulary_is_named(tmp_path: Path, number: int) -> None:
    tokens = {"<s>": number, "<im_start>": 30, "<im_end>": 31}
    problem = refused_with(tmp_path, language__special_tokens=tokens)
    assert f"'<s>' the id {number}; the vocabulary has 32" in problem


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_fake_bundle(tmp_path)
    (folder / name).unlink()
    assert f"{name} is missing" in refused_file(folder, name)


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    folder = write_fake_bundle(tmp_path)
    (folder / "encode.onnx").unlink()
    (folder / "encode.onnx").mkdir()
    assert "encode.onnx" in refused_file(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_size_is_told_with_both_sizes(tmp_path: Path, name: str, change: int) -> None:
    folder = write_fake_bundle(tmp_path)
    content = FILES[name]
    (folder / name).write_bytes(content[:-1] if change < 0 else content + b"x")
    problem = refused_file(folder, name)
    assert f"{len(content) + change:,} bytes; the manifest says {len(content):,}" in problem


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_told_with_both_hashes(tmp_path: Path, name: str) -> None:
    folder = write_fake_bundle(tmp_path)
    content = bytearray(FILES[name])
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    problem = refused_file(folder, name)
    assert entry(name, bytes(content))["sha256"] in problem
    assert entry(name, FILES[name])["sha256"] in problem


@pytest.mark.parametrize("inside", [True, False], ids=["to a file of the folder", "out of the folder"])
def test_a_link_is_refused_even_if_its_content_is_right(tmp_path: Path, inside: bool) -> None:
    folder = write_fake_bundle(tmp_path / "bundle")
    elsewhere = (folder if inside else tmp_path) / "elsewhere.bin"
    (folder / "encode.onnx").rename(elsewhere)
    (folder / "encode.onnx").symlink_to(elsewhere)
    assert "leads out" in refused_file(folder)


def test_a_linked_folder_that_leads_out_is_refused(tmp_path: Path) -> None:
    folder = write_fake_bundle(tmp_path / "bundle", files={"parts/more.bin": b"more"})
    (folder / "parts").rename(tmp_path / "elsewhere")
    (folder / "parts").symlink_to(tmp_path / "elsewhere")
    assert "leads out" in refused_file(folder, "parts/more.bin")


def test_a_linked_folder_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    folder = write_fake_bundle(tmp_path, files={"parts/more.bin": b"more"})
    (folder / "parts" / "more.bin").unlink()
    (folder / "parts").rmdir()
    (folder / "parts").symlink_to("parts")
    assert "more.bin" in refused_file(folder, "parts/more.bin")


def test_a_name_no_disk_can_hold_is_refused(tmp_path: Path) -> None:
    folder, name = write_fake_bundle(tmp_path, vision__encode__path="\u00e9" * 200), "\u00e9" * 200
    assert name in refused_file(folder, name)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_rights_is_named(tmp_path: Path) -> None:
    folder = write_fake_bundle(tmp_path)
    (folder / "encode.onnx").chmod(0)
    assert "encode.onnx cannot be read" in refused_file(folder)


def test_the_content_is_not_read_while_the_size_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_fake_bundle(tmp_path, vision__encode__size_bytes=3)
    monkeypatch.setattr("gpt4roi_runtime.bundle.folder.sha256_of", lambda path: pytest.fail("it was read"))
    assert "256 bytes; the manifest says 3" in refused_file(folder)


def test_a_foreign_entry_is_held_against_the_folder_as_well(tmp_path: Path) -> None:
    bundle = open_bundle(write_fake_bundle(tmp_path / "bundle"))
    (tmp_path / "secret.bin").write_bytes(b"secret")
    with pytest.raises(BundleError, match="leads out"):
        check_file(bundle, FileEntry(**entry("../secret.bin", b"secret")))


# --- anything at all --------------------------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["..", "/", "\0", "a/b"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(FIELDS), value=anything)
def test_any_value_anywhere_opens_or_is_refused(tmp_path: Path, field: str, value: object) -> None:
    _open_or_refuse(tmp_path, changed(manifest_tree(), **{field: value}))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_json_opens_or_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    raw = bytearray(json.dumps(manifest_tree()).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    _open_or_refuse(tmp_path, bytes(raw))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=anything)
def test_any_json_opens_or_is_refused(tmp_path: Path, tree: object) -> None:
    _open_or_refuse(tmp_path, copy.copy(tree))


def _open_or_refuse(folder: Path, content: object) -> None:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    write_fake_bundle(folder)
    (folder / "manifest.json").write_bytes(raw)
    try:
        bundle = open_bundle(folder)
        for one in bundle.manifest.files:
            check_file(bundle, one)
    except BundleError as error:
        assert error.problem  # noqa: PT017 - either outcome is right
