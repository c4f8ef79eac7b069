"""Whether models that we export load in transformers and in llama.cpp, and write the same greedy text there. By hand, not in the
default tests: it takes an environment with PyTorch, and llama.cpp's converter, which tests/real/prepare unpacks.

    ./dev test real && CONVERTER=PYTHON4 PYTHON tests/real/exports.py [FAMILY...]

PYTHON has what the next line names; without xllamacpp texts of llama.cpp are left out. PYTHON4 has what the converter wants
(requirements/requirements-convert_legacy_llama.txt: transformers 4); not set: PYTHON. A family is a small model with random
weights and the family's real tokenizer, for the converter knows tokenizers by what they do. smollm2 is the real one.
Each is loaded by us, written by `rlhfctl model export`, and read again by all three: keys and values in float32 everywhere.
"""
# needs: torch==2.15.0 transformers==5.24.0 sentencepiece==0.2.1 xllamacpp==2026.10.11549
import json
import os
import shutil
import subprocess
import sys
import tempfile

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

sys.dont_write_bytecode = True
from llama_server import LlamaServer

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REAL = os.path.join(ROOT, "build", "real")
RLHFCTL = os.path.join(ROOT, "build", "bin", "rlhfctl")
CONVERTER = os.environ.get("CONVERTER", sys.executable)
TOKENS = 24
# Its sums are of other orders, and of values in bf16 and f16 in places: what parts from ours may do so at such a tie alone.
TIE = 0.02
PROMPTS = ["The quick brown fox", "In 2024 we've seen\n\n  12345 naïve ", "def main():\n\treturn"]
SMALL = dict(hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=256)
GROUPED = dict(SMALL, num_key_value_heads=2)

# family: (tokenizer, model_type, settings of its config)
FAMILIES = {
    "llama": ("llama3", "llama", dict(GROUPED, tie_word_embeddings=False)),
    "llama3_scaled": ("llama3", "llama", dict(GROUPED, tie_word_embeddings=True, rope_parameters={
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64})),
    "qwen2": ("qwen2", "qwen2", dict(GROUPED, tie_word_embeddings=True)),
    "qwen3": ("qwen2", "qwen3", dict(GROUPED, tie_word_embeddings=False, head_dim=48)),
    "mistral": ("llama3", "mistral", dict(GROUPED, sliding_window=None)),
    "gpt_neox": ("gpt_neox", "gpt_neox", dict(SMALL)),
    "gpt2": ("gpt2", "gpt2", dict(n_embd=128, n_layer=2, n_head=4, n_positions=256)),
}


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        sys.exit(f"{' '.join(command)}:\n{(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def ends(directory):
    """bos and eos, which a config has to name."""
    with open(os.path.join(directory, "tokenizer_config.json"), encoding="utf-8") as file:
        names = json.load(file)
    with open(os.path.join(directory, "tokenizer.json"), encoding="utf-8") as file:
        added = {token["content"]: token["id"] for token in json.load(file)["added_tokens"]}
    return {key + "_token_id": added[names[key + "_token"]] for key in ("bos", "eos") if names.get(key + "_token") in added}


def make(family, directory):
    """Weights are larger than a fresh model's, so that the best token is clear."""
    tokenizer, kind, settings = FAMILIES[family]
    files = os.path.join(REAL, "tokenizers", tokenizer)
    with open(os.path.join(files, "tokenizer.json"), encoding="utf-8") as file:
        known = json.load(file)
    most = max([*known["model"]["vocab"].values(), *(token["id"] for token in known["added_tokens"])])
    torch.manual_seed(7)
    config = AutoConfig.for_model(kind, **settings, vocab_size=most + 1, initializer_range=0.15, **ends(files))
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(directory)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(files, name), directory)


def ours(directory, scratch):
    """{prompt: greedy ids} by rlhfctl."""
    data, out, recipe = (os.path.join(scratch, name) for name in ("rows.jsonl", "eval.jsonl", "recipe.yaml"))
    with open(data, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS)
    with open(recipe, "w", encoding="utf-8") as file:
        json.dump({"model": {"path": directory, "kv": "fp32"}, "data": {"train": data, "eval": data},
                   "generator": {"max_tokens": TOKENS, "slots": 4}, "rewarder": {"scorers": [{"kind": "length", "max": 9}]}}, file)
    run(RLHFCTL, "eval", recipe, "--run", os.path.join(scratch, "run"), "--model", directory, "--reference", "none", "--out", out)
    with open(out, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return {row["row"]["prompt"]: row["ids"] for row in rows}


def theirs(directory):
    model, loading = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    wrong = {key: value for key, value in loading.items() if value}
    if wrong:
        sys.exit(f"{directory}: {wrong}")
    tokenizer, found = AutoTokenizer.from_pretrained(directory), {}
    for prompt in PROMPTS:
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            found[prompt] = model.generate(ids, max_new_tokens=TOKENS, do_sample=False)[0][ids.shape[1]:].tolist()
    return model, tokenizer, found


def tie(model, tokenizer, prompt, ours_, other):
    """How much better the best token is than the second where the two texts part, as a share of the logits' standard deviation."""
    at = next((i for i, (a, b) in enumerate(zip(ours_, other)) if a != b), None)
    if at is None:
        return 0.0 if len(other) in (len(ours_), len(ours_) - 1) else 1.0  # llama.cpp does not return the end token
    ids = tokenizer(prompt, add_special_tokens=False).input_ids + ours_[:at]
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1]
    best = logits.topk(2).values
    return float((best[0] - best[1]) / logits.std())


def converted(directory, scratch):
    path = os.path.join(scratch, "model.gguf")
    run(CONVERTER, os.path.join(REAL, "llama.cpp", "convert_hf_to_gguf.py"), directory, "--outfile", path, "--outtype", "f32")
    return path


def of_llama_cpp(path, mine):
    """{prompt: greedy tokens}, from its own ids of the prompts; without an end token, which it does not return."""
    try:
        import xllamacpp as _
    except ImportError:
        return None
    with LlamaServer(path) as server:
        return {prompt: server.greedy(server.tokenize(prompt), len(mine[prompt]))[0] for prompt in PROMPTS}


def main():
    failed = False
    for family in sys.argv[1:] or ["smollm2", *FAMILIES]:
        with tempfile.TemporaryDirectory() as scratch:
            source, export = os.path.join(REAL, "smollm2"), os.path.join(scratch, "export")
            if family != "smollm2":
                source = os.path.join(scratch, "source")
                make(family, source)
            run(RLHFCTL, "model", "export", source, export)
            mine, (model, tokenizer, other) = ours(export, scratch), theirs(export)
            failed |= mine != other
            same = sum(mine[prompt] == other[prompt] for prompt in PROMPTS)
            third = of_llama_cpp(converted(export, scratch), mine)
            print(f"{family:14} {type(model).__name__:24} transformers {same} of {len(PROMPTS)}; converted", end="", flush=True)
            if third is None:
                print("; llama.cpp not asked")
                continue
            ties = [tie(model, tokenizer, prompt, mine[prompt], third[prompt]) for prompt in PROMPTS]
            print(f"; llama.cpp {sum(t == 0 for t in ties)} of {len(PROMPTS)}, ties {[round(t, 4) for t in ties if t]}", flush=True)
            failed |= max(ties) > TIE
    sys.exit(failed)


if __name__ == "__main__":
    main()
