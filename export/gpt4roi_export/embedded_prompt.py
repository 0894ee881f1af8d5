"""How the embedded model is asked: SmolLM2's chat layout around regions that read like words.

Does not know how regions become rows.
"""

from gpt4roi_runtime.bundle.manifest import Prompt, TextPiece, TokenPiece

SPECIAL_TOKENS = ("<|im_start|>", "<|im_end|>")
_START, _END = SPECIAL_TOKENS

SYSTEM = "You look at an image and answer questions about its regions. Say what each region is."


def embedded_prompt() -> Prompt:
    """The template of the manifest."""
    start, end = TokenPiece(token=_START), TokenPiece(token=_END)
    return Prompt(
        opening=(
            start,
            TextPiece(text=f"system\n{SYSTEM}"),
            end,
            TextPiece(text="\n"),
            start,
            TextPiece(text="user\n"),
        ),
        after_question=(end, TextPiece(text="\n"), start, TextPiece(text="assistant\n")),
        # A lead such as "region1 is a" names three regions in a hundred more, but spoils every other kind of question.
        answer_lead="",
        lead_writer="runtime",
        after_answer=(end, TextPiece(text="\n"), start, TextPiece(text="user\n")),
        stop=(),
        reserved=(*SPECIAL_TOKENS, "<|endoftext|>"),
    )
