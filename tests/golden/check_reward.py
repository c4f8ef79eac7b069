"""Whether reward models that we wrote load in transformers (adapters: in PEFT) and score there as here. By hand, not in the default
tests. Sequences are padded on the right to the longest of a batch, as a user would, with the directory's own tokenizer.

    rlhfctl reward score --model DIR --data ROWS >scored.jsonl       ROWS: text rows with prompt, chosen, rejected
    python tests/golden/check_reward.py DIR scored.jsonl
"""
# needs: torch==2.15.0 transformers==5.23.0 peft==0.21.2
import json
import os
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

if len(sys.argv) != 3:
    sys.exit(print(__doc__))
torch.set_num_threads(1)
directory, scored = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(directory)
adapter = os.path.join(directory, "adapter_config.json")


def load(path, **more):
    model, info = AutoModelForSequenceClassification.from_pretrained(
        path, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, **more)
    return model, {k: sorted(v) for k, v in info.items() if v}


if os.path.exists(adapter):
    with open(adapter, encoding="utf-8") as f:
        base, _ = load(os.path.join(directory, json.load(f)["base_model_name_or_path"]), num_labels=1)
    base.config.pad_token_id = tokenizer.pad_token_id
    model = PeftModel.from_pretrained(base, directory)
else:
    model, wrong = load(directory)
    if wrong:
        sys.exit(f"{directory}: {wrong}")
    assert model.config.pad_token_id == tokenizer.pad_token_id, (model.config.pad_token_id, tokenizer.pad_token)
assert tokenizer.pad_token_id != tokenizer.eos_token_id, tokenizer.pad_token
model.eval()
with open(scored, encoding="utf-8") as f:
    rows = [json.loads(line) for line in f]
texts = [row["prompt"] + row[side] + tokenizer.eos_token for row in rows for side in ("chosen", "rejected")]
want = [row[f"score_{side}"] for row in rows for side in ("chosen", "rejected")]
got = []
with torch.no_grad():
    for at in range(0, len(texts), 8):
        batch = tokenizer(texts[at:at + 8], return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
        got += model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0].tolist()
far = max(abs(a - b) for a, b in zip(got, want))
print(f"{directory}: {type(model).__name__}, {len(got)} scores from {min(got):.4f} to {max(got):.4f}, at most {far:.1e} away")
sys.exit(far > 1e-4)
