"""`gpt4roi info`: what is in a bundle, as its manifest and its GGUF's header say; nothing is loaded."""

from pathlib import Path

import click

from gpt4roi_runtime.backends.gguf_header import inspect_gguf
from gpt4roi_runtime.bundle.folder import Bundle, open_bundle
from gpt4roi_runtime.bundle.manifest import Detector, Piece, Prompt, Resize, TextPiece, TokenPiece
from gpt4roi_runtime.cli.console import bundle_argument, plain, reports_errors
from gpt4roi_runtime.errors import BundleError


@click.command("info")
@bundle_argument
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
@reports_errors
def command(bundle: Path, *, as_json: bool) -> None:
    """Show sizes, dtypes, preprocessing, prompt template and licences of BUNDLE (without it, the embedded one)."""
    opened = open_bundle(bundle)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(opened.manifest), indent=2))
        return
    for heading, lines in _sections(opened):
        click.echo(click.style(plain(heading), bold=True))
        for line in lines:
            click.echo(f"  {plain(line)}")


def _sections(bundle: Bundle) -> list[tuple[str, list[str]]]:
    manifest = bundle.manifest
    vision, language = manifest.vision, manifest.language
    return [
        (f"{manifest.name} (bundle {bundle.id})", [manifest.summary, f"at {bundle.folder}"]),
        ("It can", list(manifest.can)),
        ("It cannot", list(manifest.cannot)),
        ("Files", [f"{entry.size_bytes / 1e6:9.1f} MB  {entry.path}" for entry in manifest.files]),
        ("Preprocessing", _preprocessing(bundle)),
        (
            "Vision",
            [
                f"{vision.dtype}; {vision.n_image_rows} rows an image, {vision.n_rows_per_region} rows a region, "
                f"up to {vision.max_regions} regions",
                "pyramid: " + ", ".join(f"{level.channels} x {level.side} x {level.side}" for level in vision.pyramid),
            ],
        ),
        (
            "Language",
            [
                f"{language.architecture}, {_weights(bundle)}; {language.embedding_length} wide, "
                f"{language.vocabulary_size} tokens, context {language.context_length}"
            ],
        ),
        ("Detector", _detector(manifest.detector)),
        ("Prompt", _template(manifest.prompt)),
        ("Decoding", [f"temperature {manifest.decoding.temperature:g}, at most {manifest.decoding.max_tokens} tokens"]),
        ("Licences", [f"{licence.part}: {licence.spdx} ({licence.source})" for licence in manifest.licences]),
    ]


def _detector(how: Detector | None) -> list[str]:
    if how is None:
        return ["none: boxes are given, not proposed"]
    return [
        f"{len(how.names)} names ({', '.join(how.names[:3])}, ...), {how.n_cells} cells at strides {list(how.strides)}",
        f"{how.fit} to {how.side_px} pixels square, {how.channels}, (pixel - {list(how.mean)}) / {list(how.std)}",
        f"scores from {how.threshold:g}; one thing from an overlap of {how.overlap:g}",
    ]


def _weights(bundle: Bundle) -> str:
    """Name and type of the language model's weights, which only the GGUF itself tells."""
    try:
        header = inspect_gguf(bundle.path_of(bundle.manifest.language.gguf))
    except BundleError as error:
        return f"unreadable ({error.problem})"
    return f"{header.name or 'no name'}, mostly {header.quantisation}"


def _preprocessing(bundle: Bundle) -> list[str]:
    how = bundle.manifest.vision.preprocessing
    values = f"(pixel x {how.scale:g} - {list(how.mean)}) / {list(how.std)}"
    return [_resize(how.resize), values, *([_resize(how.stretch)] if how.stretch else [])]


def _resize(step: Resize) -> str:
    side = f"{step.side_px} pixels"
    return (
        f"short side to {side}, {step.filter}"
        if step.to == "shortest_edge"
        else f"stretch to {side} square, {step.filter}"
    )


def _template(prompt: Prompt) -> list[str]:
    lead = f"{prompt.answer_lead!r}, written by the {prompt.lead_writer}" if prompt.answer_lead else "none"
    return [
        f"opening         {_line(prompt.opening)}",
        f"after question  {_line(prompt.after_question)}",
        f"answer lead     {lead}",
        f"after answer    {_line(prompt.after_answer)}",
        f"stops at        {', '.join(map(repr, prompt.stop)) or 'the end token only'}",
    ]


def _line(pieces: tuple[Piece, ...]) -> str:
    return " ".join(
        repr(piece.text)
        if isinstance(piece, TextPiece)
        else piece.token
        if isinstance(piece, TokenPiece)
        else "[image]"
        for piece in pieces
    )
