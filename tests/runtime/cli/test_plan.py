"""`gpt4roi plan`: words, numbers and exit status."""

import json
from pathlib import Path

import pytest

from tests.runtime.cli.conftest import Run, assert_refused
from tests.runtime.planning.shaped import write_bundle


@pytest.fixture(scope="module")
def big_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("big"))


def test_what_fits_is_said_with_the_room_that_is_left(run: Run, big_bundle: Path) -> None:
    result = run("plan", big_bundle, "--device", "cpu:64gb")
    assert result.exit_code == 0, result.output
    for words in ("yes, it fits", "MiB left", "KV cache", "1,024", "language model: weights", "context 2048"):
        assert words in result.stdout
    assert "What would help" not in result.stdout


def test_what_does_not_fit_ends_with_status_1_and_proposals(run: Run, big_bundle: Path) -> None:
    result = run("plan", big_bundle, "--device", "orin-nano-8gb", "--kv", "q8_0", "--regions", "100")
    assert result.exit_code == 1
    for words in ("no, it does not fit", "MiB too little", "Q4_K_M language model", "forecast", "100 regions"):
        assert words in result.stdout


def test_json_holds_every_number(run: Run, big_bundle: Path) -> None:
    result = run("plan", big_bundle, "--device", "rtx-4060-8gb", "--ctx", "1000", "--json")
    assert result.exit_code == 1
    account = json.loads(result.stdout)
    assert not account["fits"]
    assert account["usage"]["context_length"] == 1000
    assert account["device"]["free_bytes"] == account["device"]["total_bytes"] - account["device"]["reserve_bytes"]
    gpu, host = account["memory"]
    assert gpu["headroom_bytes"] == gpu["free_bytes"] - gpu["needed_bytes"] < 0
    assert host["free_bytes"] is None
    for place, pool in (("gpu", gpu), ("host", host)):
        assert pool["needed_bytes"] == sum(one["size_bytes"] for one in account["parts"] if one["place"] == place)
    assert any(proposal["fits"] for proposal in account["proposals"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--device", "toaster"), ("'toaster'", "orin-nano-8gb", "rtx-4090", "cpu:16gb")),
        (("--ctx", "4096"), ("4096", "2048")),
        (("--ctx", "0"), ("0", "64")),
        (("--regions", "0"), ("0 regions", "1 to 100")),
        (("--sequences", "1000"), ("1000 sequences", "1 to 256")),
        (("--kv", "q4_0"), ("q4_0", "q8_0")),
        (("--ctx", "many"), ("many",)),
    ],
)
def test_bad_input_is_refused_in_words(
    run: Run, big_bundle: Path, words: tuple[str, str], said: tuple[str, ...]
) -> None:
    assert_refused(run("plan", big_bundle, *words), *said)


def test_no_bundle(run: Run, tmp_path: Path) -> None:
    assert_refused(run("plan", tmp_path), str(tmp_path), "manifest.json")


@pytest.mark.parametrize("name", ["encode.onnx", "regions.onnx", "llm.gguf"])
def test_a_damaged_file_is_refused(run: Run, tmp_path: Path, name: str) -> None:
    folder = write_bundle(tmp_path)
    (folder / name).write_bytes(b"something else")
    assert_refused(run("plan", folder), name)
    (folder / name).unlink()
    assert_refused(run("plan", folder), name)


def test_markup_in_a_name_is_only_text(run: Run, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path)
    tree = json.loads((folder / "manifest.json").read_text())
    tree["name"] = "[red]a[/nothing]\x1b[2J"
    (folder / "manifest.json").write_text(json.dumps(tree))
    result = run("plan", folder, "--device", "cpu:64gb")
    assert result.exit_code == 0
    assert "[red]a[/nothing]\N{REPLACEMENT CHARACTER}[2J" in result.stdout


@pytest.mark.bundle
def test_the_embedded_bundle_fits_a_small_machine(run: Run, bundle_dir: Path) -> None:
    result = run("plan", bundle_dir, "--device", "cpu:4gb", "--json")
    assert result.exit_code == 0
    needed = json.loads(result.stdout)["memory"][0]["needed_bytes"]
    assert 500 << 20 < needed < 800 << 20  # `gpt4roi ask` peaks at 590 MiB
