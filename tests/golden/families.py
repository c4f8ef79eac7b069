#!/usr/bin/env python3
# needs: torch==2.15.0 transformers==5.23.0 safetensors==0.8.0
"""Writes families/NAME/: small models of every family and option, with what PyTorch computes from them.

    /tmp/golden/bin/python tests/golden/families.py [NAME...]     (an environment with the three above)

Each directory is a model as transformers saves it, input.json (sequences, the weight of every next
token's log-probability in the loss, the temperature) and reference.safetensors: logits of all rows,
log-probabilities of the next tokens, and the gradient of loss = sum_i weight[i] * logp[i] for every
parameter, in float32 by transformers with eager attention, one thread. Values of weights are those of
bf16, whatever type the files have.

scores/NAME/ has a reward model of each family, ForSequenceClassification with one label, and in
input.json sequences with pad tokens behind, before, between and alone, and their scores.
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

GOLDEN = os.path.dirname(os.path.abspath(__file__))
HERE = os.path.join(GOLDEN, "families")
LENGTHS = [21, 38, 1]  # over and under 32, the width of the attention kernels' panels
TEMPERATURE = 0.8
SMALL = dict(vocab_size=24, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
             num_key_value_heads=1, max_position_embeddings=64)


def rope(kind, theta=10000.0, **numbers):
    return {"rope_theta": theta, "rope_type": kind, **numbers}


NEOX = dict(vocab_size=24, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
            max_position_embeddings=64)
GPT2 = dict(vocab_size=24, n_embd=16, n_layer=2, n_head=2, n_positions=64, bos_token_id=None)

# A family's name, the settings of its config, how it is saved.
MODELS = {
    "llama_linear": ("llama", dict(SMALL, head_dim=16, rope_parameters=rope("linear", factor=3.0)), {}),
    "llama_dynamic": ("llama", dict(SMALL, rope_parameters=rope("dynamic", factor=4.0)), {}),
    # of eight pairs one keeps its turns, one is between, six are divided
    "llama_llama3": ("llama", dict(SMALL, head_dim=16, rope_parameters=rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)), {}),
    "llama_yarn": ("llama", dict(SMALL, head_dim=16, rope_parameters=rope(
        "yarn", 100.0, factor=4.0, beta_fast=8.0, beta_slow=0.5, original_max_position_embeddings=16)), {}),
    "llama_yarn_mscale": ("llama", dict(SMALL, head_dim=16, rope_parameters=rope(
        "yarn", 100.0, factor=2.0, beta_fast=4.0, mscale=0.7, mscale_all_dim=1.3, truncate=False,
        original_max_position_embeddings=32)), {}),
    "qwen2": ("qwen2", dict(SMALL, tie_word_embeddings=True), {}),
    "qwen2_window": ("qwen2", dict(SMALL, use_sliding_window=True, sliding_window=7, max_window_layers=1),
                     dict(dtype=torch.float32)),
    "qwen3": ("qwen3", dict(SMALL, head_dim=24), dict(max_shard_size="6KB")),
    "mistral": ("mistral", dict(SMALL, sliding_window=9, bos_token_id=None), {}),
    "gpt_neox": ("gpt_neox", dict(NEOX, rope_parameters=dict(rope("default"), partial_rotary_factor=0.25)), {}),
    "gpt_neox_sequential": ("gpt_neox", dict(NEOX, use_parallel_residual=False, hidden_act="gelu_fast",
                                             rope_parameters=dict(rope("default"), partial_rotary_factor=1.0)), {}),
    "gpt2": ("gpt2", dict(GPT2), dict(dtype=torch.float16)),
    "gpt2_untied": ("gpt2", dict(GPT2, n_inner=40, tie_word_embeddings=False, activation_function="gelu"), {}),
}


def fill(model, dtype):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("bias"):
                p.copy_(0.2 * torch.randn_like(p))
            elif p.dim() == 1:
                p.copy_(1 + 0.2 * torch.randn_like(p))
            else:  # large enough that attention is far from uniform
                p.copy_(torch.randn_like(p) * (0.5 if "emb" in name or ".wt" in name or ".wp" in name
                                               else 1.5 / min(p.shape) ** 0.5))
            p.copy_(p.to(torch.bfloat16).to(dtype).float())


def name_in_files(kind, name):
    return name.replace("lm_head.", "embed_out.") if kind == "gpt_neox" else name


def make(name, seed):
    kind, settings, saving = MODELS[name]
    path = os.path.join(HERE, name)
    dtype = saving.pop("dtype", torch.bfloat16)
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, pad_token_id=0, eos_token_id=1, attn_implementation="eager", **settings)
    model = AutoModelForCausalLM.from_config(config).float().eval()
    fill(model, dtype)
    sequences = [torch.randint(3, config.vocab_size, (n,)).tolist() for n in LENGTHS]
    weights = [[round(x, 3) for x in torch.randn(n - 1).tolist()] for n in LENGTHS]
    logits, logps, loss = [], [], 0
    for tokens, weight in zip(sequences, weights):
        rows = model(torch.tensor([tokens])).logits[0]
        logits.append(rows.detach())
        logp = torch.log_softmax(rows / TEMPERATURE, -1)
        for i, w in enumerate(weight):
            logps.append(logp[i, tokens[i + 1]].detach())
            loss = loss + w * logp[i, tokens[i + 1]]
    loss.backward()
    out = {"grad." + name_in_files(kind, n): p.grad.contiguous() for n, p in model.named_parameters()}
    out["logits"] = torch.cat(logits)
    out["logp"] = torch.stack(logps)
    os.makedirs(path, exist_ok=True)
    save_file(out, os.path.join(path, "reference.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(path, "input.json"), "w") as f:
        json.dump({"temperature": TEMPERATURE, "loss": loss.item(), "tokens": sequences, "weights": weights}, f)
        f.write("\n")
    model.to(dtype).save_pretrained(path, **saving)


def make_score(name, seed):
    kind, settings, _ = MODELS[name]
    path = os.path.join(GOLDEN, "scores", kind)
    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, pad_token_id=0, eos_token_id=1, num_labels=1, attn_implementation="eager",
                                  **dict(settings, tie_word_embeddings=False))
    model = AutoModelForSequenceClassification.from_config(config).float().eval()
    fill(model, torch.bfloat16)
    text = torch.randint(3, config.vocab_size, (12,)).tolist()
    tokens = [text, text[:7] + [0, 0, 0], [0, 0] + text, text[:4] + [0] + text[4:] + [0], [0, 0, 0], text[:1]]
    with torch.no_grad():
        scores = [model(torch.tensor([t])).logits.item() for t in tokens]
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, "input.json"), "w") as f:
        json.dump({"tokens": tokens, "scores": scores}, f)
        f.write("\n")
    model.to(torch.bfloat16).save_pretrained(path)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for i, each in enumerate(MODELS):
        if len(sys.argv) == 1 or each in sys.argv[1:]:
            make(each, i + 1)
    for i, each in enumerate(["llama_llama3", "qwen2", "qwen3", "mistral", "gpt_neox", "gpt2"]):
        if len(sys.argv) == 1 or "scores" in sys.argv[1:]:
            make_score(each, i + 100)
