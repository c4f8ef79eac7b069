#!/usr/bin/env python3
# needs: torch==2.15.0 transformers==5.23.0 safetensors==0.8.0
"""Writes llama_untied/ and llama_tied/: small Llama models with what PyTorch computes from them.

    /tmp/golden/bin/python tests/golden/llama_reference.py     (an environment with the three above)

Each directory is a model as transformers saves it (bf16), input.json (sequences, the weight of every
next token's log-probability in the loss, the temperature) and reference.safetensors: logits of all
rows and the gradient of loss = sum_i weight[i] * log softmax(logits[i] / temperature)[next token]
for every parameter, in float32 by transformers' LlamaForCausalLM with eager attention, one thread.
"""
import json
import os

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
LENGTHS = [21, 38, 1]  # over and under 32, the width of the attention kernels' panels
TEMPERATURE = 0.8

MODELS = {
    # grouped heads, a head size that is not C / H, another theta and eps
    "llama_untied": dict(vocab_size=48, hidden_size=32, intermediate_size=56, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5,
                         rope_parameters={"rope_theta": 5000.0, "rope_type": "default"},
                         tie_word_embeddings=False, eos_token_id=[1, 2]),
    "llama_tied": dict(vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                       num_attention_heads=2, num_key_value_heads=1, rms_norm_eps=1e-6,
                       rope_parameters={"rope_theta": 10000.0, "rope_type": "default"},
                       tie_word_embeddings=True, eos_token_id=1),
}


def make(path, seed, settings):
    torch.manual_seed(seed)
    config = LlamaConfig(max_position_embeddings=64, bos_token_id=None, pad_token_id=0,
                         attn_implementation="eager", **settings)
    model = LlamaForCausalLM(config).float()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_(1 + 0.2 * torch.randn_like(p))
            else:  # large enough that attention is far from uniform
                p.copy_(torch.randn_like(p) * (0.5 if "embed" in name else 1.5 / p.shape[1] ** 0.5))
            p.copy_(p.to(torch.bfloat16).float())
    sequences = [torch.randint(3, config.vocab_size, (n,)).tolist() for n in LENGTHS]
    weights = [[round(x, 3) for x in torch.randn(n - 1).tolist()] for n in LENGTHS]
    logits, loss = [], 0
    for tokens, weight in zip(sequences, weights):
        rows = model(torch.tensor([tokens])).logits[0]
        logits.append(rows.detach())
        logp = torch.log_softmax(rows / TEMPERATURE, -1)
        for i, w in enumerate(weight):
            loss = loss + w * logp[i, tokens[i + 1]]
    loss.backward()
    out = {"grad." + n: p.grad.contiguous() for n, p in model.named_parameters()}
    out["logits"] = torch.cat(logits)
    os.makedirs(path, exist_ok=True)
    save_file(out, os.path.join(path, "reference.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(path, "input.json"), "w") as f:
        json.dump({"temperature": TEMPERATURE, "loss": loss.item(), "tokens": sequences,
                   "weights": weights}, f)
        f.write("\n")
    model.to(torch.bfloat16).save_pretrained(path)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for seed, (name, settings) in enumerate(MODELS.items()):
        make(os.path.join(HERE, name), seed + 1, settings)
