#!/usr/bin/env python3
"""Merges of models that transformers saved, by `rlhfctl model merge`, against mergekit's formulas in PyTorch; and whether
transformers loads what was written and scores with it as with the merged tensors.

    python tests/golden/check_merge.py RLHFCTL

Prints the largest difference of a merged float32 value, and of a score; ends with an error above 1e-6 and 1e-4.
"""
# needs: torch==2.15.0 transformers==5.23.0 peft==0.21.2 safetensors==0.8.0
import os
import subprocess
import sys
import tempfile

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig, Qwen3Config

SIZES = dict(vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
             max_position_embeddings=64, pad_token_id=0, eos_token_id=1, bos_token_id=1)
FAMILIES = {
    "llama": LlamaConfig(num_key_value_heads=2, **SIZES),
    "qwen3": Qwen3Config(num_key_value_heads=2, head_dim=8, **SIZES),
    "gpt_neox": GPTNeoXConfig(**SIZES),
    "gpt2": GPT2Config(vocab_size=61, n_positions=64, n_embd=32, n_layer=3, n_head=4, pad_token_id=0, eos_token_id=1, bos_token_id=1),
}


def near(base, seed):
    """The same weights and a draw of a tenth of their size, most of it in few places."""
    generator = torch.Generator().manual_seed(seed)
    return {name: value + 0.02 * torch.randn(value.shape, generator=generator) ** 3 for name, value in base.items()}


def ties(base, models, weights, density):
    kept = []
    for model in models:
        delta = model - base
        mask = torch.zeros(delta.numel())
        mask[torch.argsort(delta.abs().flatten(), descending=True)[: max(1, int(density * delta.numel()))]] = 1
        kept.append(delta * mask.view(delta.shape))
    weighted = torch.stack([k * w for k, w in zip(kept, weights)])
    mask = weighted.sign() == (weighted.sum(0) >= 0).float() * 2 - 1
    divisor = sum(w * m for w, m in zip(weights, mask.float()))
    return base + (weighted * mask).sum(0) / torch.where(divisor == 0, torch.ones(()), divisor)


def merged(method, base, models, weights):
    if method == "linear":
        return sum(w * m for w, m in zip(weights, models)) / sum(weights)
    if method == "task_arithmetic":
        return base + 0.7 * sum(w * (m - base) for w, m in zip(weights, models))
    return ties(base, models, weights, 0.3)


def save(config, kind, seed, directory, like=None):
    torch.manual_seed(seed)
    model = kind.from_config(config)
    if like:
        state = near({name: value for name, value in like.items() if name in model.state_dict()}, seed)
        model.load_state_dict(state, strict=False)
    # An adapter is computed beside a base in bfloat16. Reward models stay: argsort keeps any of equal sizes.
    if kind is AutoModelForCausalLM:
        model.to(torch.bfloat16).to(torch.float32)
    model.save_pretrained(directory)
    return load_file(os.path.join(directory, "model.safetensors"))


def scores(directory, state=None):
    model = AutoModelForSequenceClassification.from_pretrained(directory, dtype=torch.float32)
    if state:
        model.load_state_dict(state, strict=False)
    with torch.no_grad():
        return model(torch.arange(2, 26).view(2, 12)).logits.flatten()


def check(rlhfctl, family, config, scratch):
    config.num_labels = 1
    path = lambda name: os.path.join(scratch, f"{family}-{name}")
    base = save(config, AutoModelForSequenceClassification, 1, path("base"))
    models = [save(config, AutoModelForSequenceClassification, seed, path(seed), base) for seed in (2, 3, 4)]
    weights, worst, score = [1.0, 0.5, 0.75], 0, 0
    for method, flags in (("linear", []), ("task_arithmetic", ["--lambda", "0.7", "--base", path("base")]),
                          ("ties", ["--density", "0.3", "--base", path("base")])):
        subprocess.run([rlhfctl, "model", "merge", "--method", method, *flags, "--weights", "1,0.5,0.75", "--dtype", "float32",
                        path(2), path(3), path(4), path(method)], check=True, stdout=subprocess.DEVNULL)
        ours = load_file(os.path.join(path(method), "model.safetensors"))
        wanted = {name: merged(method, base[name], [m[name] for m in models], weights) for name in base}
        assert ours.keys() == wanted.keys(), ours.keys() ^ wanted.keys()
        worst = max(worst, *((ours[name] - wanted[name]).abs().max().item() for name in ours))
        score = max(score, (scores(path(method)) - scores(path(method), wanted)).abs().max().item())
    return worst, score


def check_doge(rlhfctl, family, config, scratch):
    """A language model with more rows than the reward model, and an adapter on it."""
    path = lambda name: os.path.join(scratch, f"{family}-{name}")
    rm = load_file(os.path.join(path(2), "model.safetensors"))
    lm = save(config, AutoModelForCausalLM, 9, path("lm"), rm)
    torch.manual_seed(10)
    targets = ["c_attn", "c_proj"] if family == "gpt2" else "all-linear"
    lora = get_peft_model(AutoModelForCausalLM.from_pretrained(path("lm"), dtype=torch.float32),
                          LoraConfig(r=3, lora_alpha=5, target_modules=targets, init_lora_weights=False))
    lora.base_model.model.config._name_or_path = path("lm")
    for config_of in lora.peft_config.values():
        config_of.base_model_name_or_path = path("lm")
    lora.save_pretrained(path("lora"))
    whole = lora.merge_and_unload().state_dict()
    worst = 0
    for other, state in ((path("lm"), lm), (path("lora"), whole)):
        to = f"{other}-doge"
        subprocess.run([rlhfctl, "model", "merge", "--method", "doge_rm", "--weights", "0.7,0.3", "--dtype", "float32",
                        path(2), other, to], check=True, stdout=subprocess.DEVNULL)
        ours = load_file(os.path.join(to, "model.safetensors"))
        for name, value in ours.items():
            wanted = 0.7 * rm[name] + 0.3 * state[name] if name in state else rm[name]
            worst = max(worst, (value - wanted).abs().max().item())
        scores(to)
    return worst


def main():
    if len(sys.argv) != 2:
        sys.exit(print(__doc__))
    with tempfile.TemporaryDirectory() as scratch:
        for family, config in FAMILIES.items():
            worst, score = check(sys.argv[1], family, config, scratch)
            doge = check_doge(sys.argv[1], family, config, scratch)
            print(f"{family:10} values {worst:.1e}, scores {score:.1e}, doge_rm {doge:.1e}")
            assert worst < 1e-6 and score < 1e-4 and doge < 1e-6


if __name__ == "__main__":
    main()
