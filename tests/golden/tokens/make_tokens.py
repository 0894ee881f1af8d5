"""Make the files of this folder; run in an environment of its own, as README.md says. Knows nothing of the project.

python make_tokens.py model ggml-vocab-llama-spm.gguf   # needs sentencepiece, protobuf, gguf
python make_tokens.py ids                               # needs sentencepiece, transformers 4.31
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
MODEL, IDS, PROMPTS = HERE / "tokenizer.model", HERE / "ids.json", HERE.parent / "prompts.json"
IN_THE_CHECKPOINTS_ORDER = ("<im_patch>", "<im_start>", "<im_end>", "<bbox>", "<point>")

PLAIN = (
    "",
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    " \n ",
    "\t",
    "\r\n",
    "a",
    " a",
    "a ",
    " a ",
    "  a  b   c    d",
    "What is it?",
    "What is it? ",
    " What is it?",
    "What is it?\n### ",
    "### Human: What is it?\n### Assistant: a dog\n### ",
    "###",
    "# ## ### ####",
    "A dog, a cat; and 3 men!",
    "0123456789",
    "3.14159 1,000,000 1e-9 0x2F 50% $5 #7",
    "2023-07-07T12:34:56Z",
    "region1 region2 region10 region100",
    "UPPER lower MiXeD camelCase snake_case kebab-case",
    "don't can't we'll it's 'quoted' \"quoted\" `code`",
    "(a) [b] {c} <d> <e",
    "a/b\\c|d~e^f&g*h+i=j@k",
    "e-mail: someone@example.org, https://example.org/a?b=c&d=%20",
    "naïve café Ünïcode ÆØÅ ß ñ",
    "Что это?",
    "这是什么？",  # noqa: RUF001 - as it is typed
    "これは何ですか。",
    "이것은 무엇입니까?",
    "ما هذا؟",
    "מה זה?",
    "यह क्या है?",
    "นี่คืออะไร",
    "Τι είναι αυτό;",  # noqa: RUF001
    "🐶",
    "a 🐶 and a 👩‍👩‍👧‍👦 in 🇩🇪",
    "\u200bzero\u200dwidth\ufeff",
    "non\u00a0breaking\u2003em\u3000ideographic",
    "e\u0301 versus \u00e9",
    "▁",
    "▁a ▁ b▁",
    "\x00",
    "a\x01\x7f\x80",
    "\U0010ffff\U000e0001",
    "𝒳 ≤ ∑ ∞ → ½ ² ™ ©",  # noqa: RUF001
    "The quick brown fox jumps over the lazy dog. " * 3,
    "word" * 40,
    "a" * 200,
    " " * 70,
    "\n" * 20,
    "<0x0A> <0xFF>",
    "<im_patc> <im_start <bbox<bbox bbox> < bbox >",
    "im_start im_end bbox point",
)
QUESTIONS = (
    "What is region1 <bbox>",
    "<bbox>",
    " region1 <bbox> ",
    "region1 <bbox>\n\nregion2 <bbox>\n",
    "Is region1 <bbox>, left of region2 <bbox>; or behind it?",
    "region1 <bbox>region2 <bbox>region3 <bbox>",
    "région1 <bbox> 犬 region2 <bbox>。",
    "Why? Because 1 < 2 and region1 <bbox> > region2 <bbox>.",
    "\tDescribe region1 <bbox>\tin detail. ",
    "No region at all.",
)
AROUND = (
    "What is region1 {} doing?",
    "What is region1{}doing?",
    "What is region1  {}  doing?",
    "What is region1 {}?",
    "What is region1 {}",
    "What is region1 {} ",
    "What is region1 {}\n### ",
    "What is region1 {} \n### ",
    "{}",
    " {} ",
    "{} a",
    " {}  a",
    "a {}",
    "\n{}\n",
    "\n\n {} \n\n",
    "a\t{}\tb",
    "a\u00a0{}\u3000b",
    "a\u2003{}\u200bb",
    "a\x1c{}\x85b",
    "{}, {}. {}! {}?",
    "{}{}",
    "{} {}",
    "{}\n{}",
    "region1 {} and region2 {}, region3 {}",
    "Is region1 {} left of region2 {}?\n### Assistant: yes\n### Human: Why?\n### ",
    "region1 {}'s dog",
    "(region1 {})",
    "1{}2",
    "犬{}犬",
    "🐶{}🐶",
    "▁{}▁",
)


def make_model(vocabulary: Path) -> None:
    """A sentencepiece model with the pieces of llama.cpp's vocabulary file and the settings of LLaMA's own."""
    from gguf import GGUFReader
    from sentencepiece import sentencepiece_model_pb2 as proto

    fields = GGUFReader(vocabulary).fields
    texts, scores, kinds = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "scores", "token_type"))
    model = proto.ModelProto()
    for text, score, kind in zip(texts, scores, kinds, strict=True):
        model.pieces.add(piece=text, score=score, type=kind)
    model.trainer_spec.model_type = proto.TrainerSpec.BPE
    model.trainer_spec.vocab_size = len(texts)
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.unk_id, model.trainer_spec.bos_id, model.trainer_spec.eos_id = 0, 1, 2
    model.trainer_spec.pad_id = -1
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    MODEL.write_bytes(model.SerializeToString(deterministic=True))


def make_ids() -> None:
    """What the authors' tokenizer says: transformers' slow one, with the five tokens added as their code does."""
    import sentencepiece
    import transformers

    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(MODEL, folder)
        tokenizer = transformers.LlamaTokenizer.from_pretrained(folder)
    for tokens in IN_THE_CHECKPOINTS_ORDER[:1], IN_THE_CHECKPOINTS_ORDER[1:3], IN_THE_CHECKPOINTS_ORDER[3:]:
        tokenizer.add_tokens(list(tokens), special_tokens=True)
    prompts = [dialogue["prompt"] for dialogue in json.loads(PROMPTS.read_text(encoding="utf-8"))]
    around = [text.replace("{}", token) for text in AROUND for token in ("<bbox>", "<im_end>", "<im_start>", "<point>")]
    asked = [prompts[0].replace("What is region1 <bbox> doing?", question) for question in QUESTIONS]
    texts = (*PLAIN, *around, *prompts, *asked)
    content = {
        "transformers": transformers.__version__,
        "sentencepiece": sentencepiece.__version__,
        "added": {token: tokenizer.convert_tokens_to_ids(token) for token in IN_THE_CHECKPOINTS_ORDER},
        "bos": tokenizer.bos_token_id,
        "texts": [{"text": text, "ids": tokenizer(_written_out(text)).input_ids} for text in texts],
    }
    lines = ",\n".join(json.dumps(entry, ensure_ascii=True) for entry in content.pop("texts"))
    head = json.dumps(content, indent=1)[:-2]
    IDS.write_text(f'{head},\n "texts": [\n{lines}\n]}}\n', encoding="utf-8")


def _written_out(text: str) -> str:
    return text.replace("<im_patch>*256", "<im_patch>" * 256)


if __name__ == "__main__":
    if sys.argv[1] == "model":
        make_model(Path(sys.argv[2]))
    else:
        make_ids()
