"""Whether a checkpoint loads in transformers and writes the same greedy text as we do. By hand, not in the default tests.

run: python tests/golden/check_transformers.py RUN/checkpoints/latest EVAL.jsonl [PROMPTS]
EVAL.jsonl is what `rlhfctl eval --set eval.temperature=0 --out EVAL.jsonl` wrote with that checkpoint.
"""
# needs: torch==2.15.0 transformers==5.23.0
import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

if len(sys.argv) < 3:
    sys.exit(print(__doc__))
directory, path = sys.argv[1], sys.argv[2]
count = int(sys.argv[3]) if len(sys.argv) > 3 else 50
tokenizer = AutoTokenizer.from_pretrained(directory)
model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
same = total = 0
for line in open(path, encoding="utf-8"):
    row = json.loads(line)
    ids = tokenizer(row["row"]["prompt"], add_special_tokens=False, return_tensors="pt").input_ids
    with torch.no_grad():
        out = model.generate(ids, max_new_tokens=row["tokens"], do_sample=False)
    text = tokenizer.decode(out[0][ids.shape[1]:], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    total += 1
    same += text == row["text"]
    if text != row["text"]:
        print(repr(row["row"]["prompt"]), "ours", repr(row["text"]), "transformers", repr(text))
    if total == count:
        break
print(f"{same} of {total} greedy texts are the same ({type(model).__name__}, float32)")
sys.exit(same != total)
