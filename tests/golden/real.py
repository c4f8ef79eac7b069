#!/usr/bin/env python3
# needs: torch==2.15.0 transformers==5.23.0 safetensors==0.8.0 tokenizers==0.23.3
# run: test -d build/real/smollm2 || { echo 'build/real is absent: ./dev test real makes it'; exit 0; }; python tests/golden/real.py
"""Writes real/smollm2.json: what transformers computes of SmolLM2-135M-Instruct, which tests/real holds our engine against.

    tests/real/prepare build/real && python tests/golden/real.py

The ids of the pairs are real/pairs.json's: six pairs of llamafactory 0.9.5's data/dpo_en_demo.json (rows `index`), by the model's
chat template, the answers with "<|im_end|>\\n" behind. All is computed in float32 on the CPU, with eager attention, twice: `float32`
has the weights as the file has them, `bfloat16` has each rounded to bf16, as our engine keeps them. The file was made with 5.24.0.
"""
import json
import os

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

GOLDEN = os.path.dirname(os.path.abspath(__file__))
REAL = os.path.join(os.path.dirname(os.path.dirname(GOLDEN)), "build", "real")
MODEL = os.path.join(REAL, "smollm2")
PROMPT = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
          "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n")
QUESTIONS = ["What is the capital of France?", "Name the three primary colours.", "Reply in JSON with the keys name and age: Anna is 12."]
TEXTS = os.path.join(REAL, "tokenizers", "gpt2", "vectors.inp")
SEPARATOR = "\n__ggml_vocab_test__\n"
TOP, MOST = 20, 40


def logps(model, prompt, answer):
    """Of each token of the answer."""
    ids = torch.tensor([prompt + answer])
    rows = torch.log_softmax(model(ids).logits[0].double(), -1)
    return [rows[len(prompt) + i - 1, token].item() for i, token in enumerate(answer)]


def greedy(model, prompt, end):
    answer = []
    while len(answer) < MOST and (not answer or answer[-1] != end):
        logits = model(torch.tensor([prompt + answer])).logits[0, -1]
        if not answer:
            values, ids = logits.topk(TOP)
            top = [[int(i), float(v)] for i, v in zip(ids, values)]
        best = logits.topk(2)
        answer.append(int(best.indices[0]))
        gap = float(best.values[0] - best.values[1])
        closest = min(gap, closest) if len(answer) > 1 else gap
    return {"prompt_ids": prompt, "greedy_ids": answer, "closest": closest, "top": top, "logp": logps(model, prompt, answer)}


def gradients(model, prompt, answer):
    """Norms of the gradients of the mean cross-entropy of the answer's tokens."""
    model.zero_grad()
    labels = torch.tensor([[-100] * len(prompt) + answer])
    loss = model(torch.tensor([prompt + answer]), labels=labels).loss
    loss.backward()
    return loss.item(), {name: p.grad.double().norm().item() for name, p in model.named_parameters()}


def figures(tokenizer, pairs, rounded):
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager").eval()
    if rounded:
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(p.to(torch.bfloat16).to(torch.float32))
    with torch.no_grad():
        answers = [greedy(model, tokenizer.encode(PROMPT % q).ids, model.config.eos_token_id) for q in QUESTIONS]
        scored = [{key: logps(model, pair["prompt_ids"], pair[key + "_ids"]) for key in ("chosen", "rejected")} for pair in pairs]
    loss, norms = gradients(model, pairs[0]["prompt_ids"], pairs[0]["chosen_ids"])
    return {"answers": answers, "pairs": scored, "sft_loss": loss, "gradient_norms": norms}


def main():
    torch.set_num_threads(os.cpu_count())
    with open(os.path.join(GOLDEN, "real", "pairs.json"), encoding="utf-8") as file:
        pairs = json.load(file)
    tokenizer = Tokenizer.from_file(os.path.join(MODEL, "tokenizer.json"))
    with open(TEXTS, encoding="utf-8", newline="") as file:
        texts = file.read().split(SEPARATOR)[:-1]
    result = {"questions": [PROMPT % q for q in QUESTIONS],
              "text_ids": [tokenizer.encode(text, add_special_tokens=False).ids for text in texts],
              "float32": figures(tokenizer, pairs, False), "bfloat16": figures(tokenizer, pairs, True)}
    with open(os.path.join(GOLDEN, "real", "smollm2.json"), "w", encoding="utf-8") as out:
        json.dump(result, out, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
