#!/usr/bin/env python3
# needs: torch==2.15.0 transformers==5.23.0 peft==0.21.2 safetensors==0.8.0
"""Writes reward_adapters/NAME/: LoRA adapters of reward models beside the language models in families/, as PEFT saves them
(task_type SEQ_CLS, the head among modules_to_save), and what PyTorch computes from them.

    /tmp/golden/bin/python tests/golden/reward_adapters.py [NAME...]     (an environment with the four above)

Each directory has PEFT's two files, input.json (sequences, their scores, the weight of each score in the loss) and
reference.safetensors: the gradient of loss = sum_i weight[i] * score[i] for each A and B and for the head, in float32 by
transformers with eager attention, one thread. Values are those of bf16; B is drawn, too.
"""
import json
import os
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForSequenceClassification

HERE = os.path.dirname(os.path.abspath(__file__))
LENGTHS, WEIGHTS = [19, 35, 8], [0.75, -1.25, 0.5]

# The base in families/, and LoraConfig's settings.
ADAPTERS = {
    "llama": ("llama_llama3", dict(r=4, lora_alpha=8, target_modules="all-linear")),
    "gpt_neox": ("gpt_neox", dict(r=3, lora_alpha=6, use_rslora=True)),
    "gpt2": ("gpt2", dict(r=2, lora_alpha=5, target_modules=["c_attn", "c_proj"])),
}


def make(name, seed):
    base, settings = ADAPTERS[name]
    path = os.path.join(HERE, "reward_adapters", name)
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        os.path.join(HERE, "families", base), dtype=torch.float32, attn_implementation="eager", num_labels=1).eval()
    vocabulary = model.config.vocab_size
    model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", lora_dropout=0.0, modules_to_save=["score"], **settings)).eval()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for n, p in trained.items():
            size = 0.12 if ".lora_B." in n else p.shape[1] ** -0.5
            p.copy_((torch.randn_like(p) * size).to(torch.bfloat16).float())
    sequences = [torch.randint(3, vocabulary, (n,)).tolist() for n in LENGTHS]
    scores = [model(input_ids=torch.tensor([tokens])).logits[0, 0] for tokens in sequences]
    sum(weight * score for weight, score in zip(WEIGHTS, scores)).backward()
    out = {"grad." + n.replace(".default", "").replace(".modules_to_save", ""): p.grad.contiguous() for n, p in trained.items()}
    os.makedirs(path, exist_ok=True)
    save_file(out, os.path.join(path, "reference.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(path, "input.json"), "w") as f:
        json.dump({"tokens": sequences, "scores": [s.item() for s in scores], "weights": WEIGHTS}, f)
        f.write("\n")
    model.peft_config["default"].base_model_name_or_path = "../../families/" + base
    model.save_pretrained(path)
    os.remove(os.path.join(path, "README.md"))
    print(name, [s.item() for s in scores], sorted(out)[-1])


if __name__ == "__main__":
    torch.set_num_threads(1)
    for i, each in enumerate(ADAPTERS):
        if len(sys.argv) == 1 or each in sys.argv[1:]:
            make(each, i + 1)
