"""How GPT4RoI's released checkpoints are asked: the conversation layout that their authors trained with.

The checkpoint's files do not carry it. Does not know which ids the tokenizer gave to the special tokens.
"""

from gpt4roi_runtime.bundle.manifest import ImagePiece, Prompt, TextPiece, TokenPiece

BOS, IMAGE_START, IMAGE_END = "<s>", "<im_start>", "<im_end>"
SPECIAL_TOKENS = (BOS, IMAGE_START, IMAGE_END)
"""Those that stand in the template; regions and the image are rows, not tokens."""
ADDED_TOKENS = ("<im_patch>", IMAGE_START, IMAGE_END, "<bbox>", "<point>")
"""What the authors added to LLaMA's vocabulary."""
MOST_NEW_TOKENS = 1024
TEMPERATURE = 0.2
"""Both as in the authors' demo."""


def gpt4roi_prompt() -> Prompt:
    """The template of the manifest."""
    return Prompt(
        opening=(
            TokenPiece(token=BOS),
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
        reserved=(*ADDED_TOKENS, BOS, "</s>", "###"),
    )
