#!/usr/bin/env python3
# needs: torch==2.15.0 transformers==5.23.0 safetensors==0.8.0
"""Writes trajectory/: five passes over one batch by RLOO and AdamW, as PyTorch makes them.

    /tmp/golden/bin/python tests/golden/trajectory.py     (an environment with the three above)

The model is llama_untied/, in float32 by transformers' LlamaForCausalLM with eager attention, one thread. input.json has
the batch: prompts, completions, rewards, what their tokens' log-probabilities were, and the settings. masters.safetensors has
the weights after the last update, twice. In `rounded.NAME` each forward and backward took the float32 masters rounded to bf16,
as the learner does; in `exact.NAME` it took the masters themselves, as a loop in float32 does. Between the two lies what the
rounding alone makes of a trajectory. input.json has it after each update, as a share of the whole change, also without the
clip and for other learning rates, and likewise what float64 makes of it.
"""
import json
import os

import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
GROUPS, K, PASSES, TEMPERATURE = 6, 4, 5, 0.8
LR, BETAS, EPS, CLIP_NORM, EPSILON = 1e-3, (0.9, 0.999), 1e-8, 1.0, 0.2


def load(dtype):
    return LlamaForCausalLM.from_pretrained(os.path.join(HERE, "llama_untied"), dtype=torch.float32,
                                            attn_implementation="eager").to(dtype)


def logp_of(model, prompt, completion):
    logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1:-1]
    logp = torch.log_softmax(logits / TEMPERATURE, -1)
    return logp[torch.arange(len(completion)), torch.tensor(completion)]


def batch_of(model):
    torch.manual_seed(11)
    groups = []
    for g in range(GROUPS):
        prompt = torch.randint(3, 48, (3 + 2 * g,)).tolist()
        completions = [torch.randint(3, 48, (int(torch.randint(4, 13, ())),)).tolist() for _ in range(K)]
        rewards = [float(x) for x in torch.randint(0, 3, (K,))] if g != 3 else [1.0] * K  # one without an advantage
        with torch.no_grad():
            logp = [logp_of(model, prompt, c).tolist() for c in completions]
        groups.append({"prompt": prompt, "completions": completions, "rewards": rewards, "logp": logp})
    return groups


def loss_of(model, groups, clip):
    total = 0
    for group in groups:
        for i, completion in enumerate(group["completions"]):
            others = [r for j, r in enumerate(group["rewards"]) if j != i]
            advantage = group["rewards"][i] - sum(others) / len(others)
            logp = logp_of(model, group["prompt"], completion)
            ratio = torch.exp(logp - torch.tensor(group["logp"][i], dtype=logp.dtype))
            held = ratio.clamp(1 - EPSILON, 1 + EPSILON) if clip else ratio
            total = total + torch.maximum(-advantage * ratio, -advantage * held).sum()
    return total / (GROUPS * K)


def train(groups, rounded, dtype=torch.float32, lr=LR, clip=True):
    """The masters after each update."""
    model = load(dtype)
    names, parameters = zip(*model.named_parameters())
    masters = [p.detach().clone() for p in parameters]
    first, second = [torch.zeros_like(m) for m in masters], [torch.zeros_like(m) for m in masters]
    made = [[m.clone() for m in masters]]
    for step in range(1, PASSES + 1):
        with torch.no_grad():
            for p, m in zip(parameters, masters):
                p.copy_(m.to(torch.bfloat16).to(dtype) if rounded else m)
        model.zero_grad()
        loss_of(model, groups, clip).backward()
        norm = torch.sqrt(sum((p.grad.double() ** 2).sum() for p in parameters)).item()
        scale = CLIP_NORM / norm if norm > CLIP_NORM else 1.0
        for m, p, v1, v2 in zip(masters, parameters, first, second):
            grad = p.grad * scale
            v1.mul_(BETAS[0]).add_(grad, alpha=1 - BETAS[0])
            v2.mul_(BETAS[1]).addcmul_(grad, grad, value=1 - BETAS[1])
            m.sub_(lr * (v1 / (1 - BETAS[0] ** step)) / ((v2 / (1 - BETAS[1] ** step)).sqrt() + EPS))
        made.append([m.clone() for m in masters])
    return names, made


def distance(a, b, begin):
    """|a - b| as a share of |b - begin|, over all tensors."""
    apart = sum(((x.double() - y.double()) ** 2).sum() for x, y in zip(a, b))
    change = sum(((x.double() - y.double()) ** 2).sum() for x, y in zip(b, begin))
    return (apart / change).sqrt().item()


def shares(groups, lr, clip=True):
    _, rounded = train(groups, True, lr=lr, clip=clip)
    _, exact = train(groups, False, lr=lr, clip=clip)
    _, double = train(groups, True, torch.float64, lr=lr, clip=clip)
    begin = rounded[0]
    return {"lr": lr, "clip": clip,
            "by_rounding": [distance(e, r, begin) for e, r in zip(exact[1:], rounded[1:])],
            "by_float64": [distance(d, r, begin) for d, r in zip(double[1:], rounded[1:])]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    groups = batch_of(load(torch.float32))
    names, rounded = train(groups, True)
    _, exact = train(groups, False)
    path = os.path.join(HERE, "trajectory")
    os.makedirs(path, exist_ok=True)
    out = {"rounded." + n: m.contiguous() for n, m in zip(names, rounded[-1])}
    out |= {"exact." + n: m.contiguous() for n, m in zip(names, exact[-1])}
    save_file(out, os.path.join(path, "masters.safetensors"), metadata={"format": "pt"})
    settings = {"passes": PASSES, "temperature": TEMPERATURE, "lr": LR, "groups": groups,
                "shares": [shares(groups, LR), shares(groups, LR, clip=False), shares(groups, LR / 10),
                           shares(groups, LR / 100)]}
    with open(os.path.join(path, "input.json"), "w") as f:
        json.dump(settings, f)
        f.write("\n")
    print(json.dumps(settings["shares"], indent=1))
