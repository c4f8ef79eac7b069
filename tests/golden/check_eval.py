"""Whether PyTorch finds the KL and the log-likelihood that `rlhfctl eval` reports. By hand, not in the default tests.

run: python tests/golden/check_eval.py EVAL.json EVAL.jsonl
EVAL.json is the output of `rlhfctl eval ... --json --out EVAL.jsonl`; the model and reference directories are those it names.
Both are run in float32 over the same tokens, so only the order of additions differs: every text's sum must be within 5e-5
nats a token, and the reported means within 5e-6 of those computed here from the texts.
"""
# needs: torch==2.15.0 transformers==5.23.0
import json
import math
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PER_TOKEN, OF_MEANS = 5e-5, 5e-6


def load(directory):
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()


def logp(model, prompt, completion, temperature):
    """Of each token of completion after prompt, in float64 from float32 logits."""
    with torch.no_grad():
        rows = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1:-1].double()
    return torch.log_softmax(rows / temperature, -1).gather(1, torch.tensor(completion)[:, None])[:, 0]


def compare(what, ours, theirs, tolerance):
    wrong = not math.isclose(ours, theirs, abs_tol=tolerance)
    print(f"{what}: rlhfctl {ours:.7f}, PyTorch {theirs:.7f}, difference {abs(ours - theirs):.1e}"
          f"{'  WRONG' if wrong else ''}")
    return wrong


def main():
    report = json.load(open(sys.argv[1], encoding="utf-8"))
    rows = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
    kl, likelihood = report["kl"], report["log_likelihood"]
    policy, reference = load(report["model"]), load(kl["reference"]) if kl else None
    tokenizer = AutoTokenizer.from_pretrained(report["model"])
    encode = lambda text: tokenizer(text, add_special_tokens=False).input_ids
    eos = policy.config.eos_token_id
    eos = eos[0] if isinstance(eos, list) else eos
    k1 = k3 = tokens = answers = answer_tokens = largest = 0
    for row in rows:
        prompt = encode(row["row"]["prompt"])
        if kl:
            d = logp(policy, prompt, row["ids"], kl["temperature"]) - logp(reference, prompt, row["ids"],
                                                                           kl["temperature"])
            k1 += d.sum().item() / len(rows)
            k3 += (torch.exp(-d) - 1 + d).sum().item()
            tokens += len(row["ids"])
            largest = max(largest, abs(d.sum().item() - row["kl"]) / len(row["ids"]))
        if likelihood:
            answer = encode(row["row"][likelihood["column"]]) + ([eos] if eos is not None else [])
            sum_logp = logp(policy, prompt, answer, 1).sum().item()
            answers += sum_logp
            answer_tokens += len(answer)
            largest = max(largest, abs(sum_logp - row["demonstration_logp"]) / len(answer))
    wrong = largest > PER_TOKEN
    print(f"{len(rows)} texts; largest difference of one, a token: {largest:.1e}{'  WRONG' if wrong else ''}")
    if kl:
        wrong |= tokens != kl["tokens"]
        wrong |= compare("KL k1 a completion", kl["k1_per_completion"], k1, OF_MEANS * tokens / len(rows))
        wrong |= compare("KL k3 a token", kl["k3_per_token"], k3 / tokens, OF_MEANS)
    if likelihood:
        wrong |= answer_tokens != likelihood["tokens"]
        wrong |= compare("log-likelihood a token", likelihood["nats_per_token"], answers / answer_tokens, OF_MEANS)
    return wrong


if __name__ == "__main__":
    sys.exit(main() if len(sys.argv) > 2 else print(__doc__))
