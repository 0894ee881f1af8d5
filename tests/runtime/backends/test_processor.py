import pytest

from gpt4roi_runtime.backends import processor


@pytest.mark.parametrize(
    ("machine", "flags", "wide"),
    [
        ("x86_64", "fma avx2 avx512f avx512_vnni", True),
        ("x86_64", "fma avx2 avx_vnni", True),
        ("AMD64", "fma avx2 amx_tile amx_int8", True),
        ("x86_64", "fma avx2 vaes", False),
        ("AMD64", "", False),
        ("aarch64", "asimd asimddp", True),
    ],
)
def test_8_bit_sums_are_wide_where_an_instruction_makes_them(
    monkeypatch: pytest.MonkeyPatch, machine: str, flags: str, wide: bool
) -> None:
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    monkeypatch.setattr(processor, "processor_features", lambda: f"model name : a processor\nflags : {flags}\n")
    assert processor.adds_int8_products_wide() is wide
