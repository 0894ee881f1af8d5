"""How GPT4RoI's released checkpoints are asked: the conversation layout that their authors trained with.

The checkpoint's files do not carry it. Does not know which ids the tokenizer gave to the special tokens.
"""

from gpt4roi_runtime.bundle.manifest import ImagePiece, Prompt, TextPiece, TokenPiece

IMAGE_START, IMAGE_END = "<im_start>", "<im_end>"
ADDED_TOKENS = ("<im_patch>", IMAGE_START, IMAGE_END, "<bbox>", "<point>")
"""What the authors added to LLaMA's vocabulary."""
MOST_NEW_TOKENS = 1024
TEMPERATURE = 0.2
"""Both as in the authors' demo."""


def gpt4roi_prompt(bos: str | None) -> Prompt:
    """The template of the manifest.

    Args:
        bos: The token that the checkpoint's tokenizer puts first, if it puts one.
    """
    return Prompt(
        opening=(
            *(() if bos is None else (TokenPiece(token=bos),)),
            TextPiece(
                text="A chat between a curious human and an artificial intelligence assistant. The assistant gives "
                "helpful, detailed, and polite answers to the human's questions.\n\n### Human: The "
            ),
            TokenPiece(token=IMAGE_START),
            ImagePiece(),
            TokenPiece(token=IMAGE_END),
            TextPiece(text=" provides an overview of the picture.\n"),
        ),
        after_question=(TextPiece(text="\n### "),),
        answer_lead="Assistant: ",
        lead_writer="model",
        after_answer=(TextPiece(text="\n### Human: "),),
        stop=("###",),
        reserved=(*ADDED_TOKENS, "<s>", "</s>", "###"),
        # The slow tokenizer that it was trained with strips white space beside every added token.
        space_at_slots="dropped",
    )
