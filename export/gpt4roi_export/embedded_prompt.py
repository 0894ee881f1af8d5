"""How the embedded model is asked: SmolLM2's chat layout around regions that read like words.

Does not know how regions become rows.
"""

from gpt4roi_runtime.bundle.manifest import ImagePiece, Prompt, TextPiece, TokenPiece

SPECIAL_TOKENS = ("<|im_start|>", "<|im_end|>")
_START, _END = SPECIAL_TOKENS


def embedded_prompt() -> Prompt:
    """The template of the manifest."""
    start, end = TokenPiece(token=_START), TokenPiece(token=_END)
    return Prompt(
        # No system message: the model is tuned to one job, and every token here is paid for in every question.
        opening=(start, TextPiece(text="user\nImage: "), ImagePiece(), TextPiece(text="\n")),
        after_question=(end, TextPiece(text="\n"), start, TextPiece(text="assistant\n")),
        answer_lead="",
        lead_writer="runtime",
        after_answer=(end, TextPiece(text="\n"), start, TextPiece(text="user\n")),
        stop=(),
        reserved=(*SPECIAL_TOKENS, "<|endoftext|>"),
    )
