#!/usr/bin/env python3
# needs: torch==2.15.0 transformers==5.23.0 peft==0.21.2 safetensors==0.8.0
"""Writes adapters/NAME/: LoRA adapters of the models in families/, as PEFT saves them, and what PyTorch computes from them.

    /tmp/golden/bin/python tests/golden/adapters.py [NAME...]     (an environment with the four above)

Each directory has PEFT's adapter_config.json and adapter_model.safetensors, input.json (sequences, the weight of every next
token's log-probability in the loss, the temperature, and the tokens that greedy decoding adds to the first sequence's
beginning) and reference.safetensors: logits of all rows and the gradient of loss = sum_i weight[i] * logp[i] for each A and B,
in float32 by transformers with eager attention, one thread. Values are those of bf16; B is drawn, too.
"""
import json
import os
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
LENGTHS = [19, 35]
TEMPERATURE = 0.8
GREEDY_FROM, GREEDY = 6, 12

# The base in families/, and LoraConfig's settings.
ADAPTERS = {
    "llama": ("llama_llama3", dict(r=4, lora_alpha=8)),
    "llama_yarn": ("llama_yarn_mscale", dict(r=1, lora_alpha=3, target_modules=["down_proj", "k_proj"])),
    "qwen2": ("qwen2", dict(r=3, lora_alpha=5, use_rslora=True, target_modules="all-linear")),
    "qwen3": ("qwen3", dict(r=2, lora_alpha=7, target_modules=["q_proj", "k_proj", "o_proj", "gate_proj"])),
    "mistral": ("mistral", dict(r=8, lora_alpha=4, target_modules=["mlp.up_proj", "v_proj"])),
    "gpt_neox": ("gpt_neox", dict(r=5, lora_alpha=6, use_rslora=True, target_modules="all-linear")),
    "gpt_neox_sequential": ("gpt_neox_sequential", dict(r=4, lora_alpha=3)),
    "gpt2": ("gpt2", dict(r=4, lora_alpha=8, target_modules=["c_attn", "c_proj"])),
    "gpt2_untied": ("gpt2_untied", dict(r=2, lora_alpha=2)),
}


def make(name, seed):
    base, settings = ADAPTERS[name]
    path = os.path.join(HERE, "adapters", name)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(os.path.join(HERE, "families", base), dtype=torch.float32,
                                                 attn_implementation="eager").eval()
    vocabulary = model.config.vocab_size
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **settings)).eval()
    low = {n: p for n, p in model.named_parameters() if ".lora_" in n}
    with torch.no_grad():
        for n, p in low.items():
            size = p.shape[1] ** -0.5 if ".lora_A." in n else 0.12  # scores stay such that float32 tells them apart
            p.copy_((torch.randn_like(p) * size).to(torch.bfloat16).float())
    sequences = [torch.randint(3, vocabulary, (n,)).tolist() for n in LENGTHS]
    weights = [[round(x, 3) for x in torch.randn(n - 1).tolist()] for n in LENGTHS]
    logits, loss = [], 0
    for tokens, weight in zip(sequences, weights):
        rows = model(input_ids=torch.tensor([tokens])).logits[0]
        logits.append(rows.detach())
        logp = torch.log_softmax(rows / TEMPERATURE, -1)
        for i, w in enumerate(weight):
            loss = loss + w * logp[i, tokens[i + 1]]
    loss.backward()
    greedy = sequences[0][:GREEDY_FROM]
    for _ in range(GREEDY):
        with torch.no_grad():
            greedy.append(model(input_ids=torch.tensor([greedy])).logits[0, -1].argmax().item())
    out = {"grad." + n.replace(".default", ""): p.grad.contiguous() for n, p in low.items()}
    out["logits"] = torch.cat(logits)
    os.makedirs(path, exist_ok=True)
    save_file(out, os.path.join(path, "reference.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(path, "input.json"), "w") as f:
        json.dump({"temperature": TEMPERATURE, "loss": loss.item(), "tokens": sequences, "weights": weights,
                   "greedy": greedy[GREEDY_FROM:]}, f)
        f.write("\n")
    model.peft_config["default"].base_model_name_or_path = "../../families/" + base
    model.save_pretrained(path)
    os.remove(os.path.join(path, "README.md"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for i, each in enumerate(ADAPTERS):
        if len(sys.argv) == 1 or each in sys.argv[1:]:
            make(each, i + 1)
