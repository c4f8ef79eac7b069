"""Whether models that we wrote load in transformers, with the logits of those that we read. By hand, not in the default tests.

    RLHFD_EXPORTS=DIR build/tests/test_unit_model_family_golden     writes DIR/NAME from families/NAME
    python tests/golden/check_exports.py DIR
"""
# needs: torch==2.15.0 transformers==5.23.0 safetensors==0.8.0
import json
import os
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

if len(sys.argv) != 2:
    sys.exit(print(__doc__))
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "families")
worst = 0.0
names = sorted(os.listdir(HERE))
for name in names:
    model, loading = AutoModelForCausalLM.from_pretrained(
        os.path.join(sys.argv[1], name), dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    wrong = {k: v for k, v in loading.items() if v}
    if wrong:
        sys.exit(f"{name}: {wrong}")
    with open(os.path.join(HERE, name, "input.json"), encoding="utf-8") as f:
        sequences = json.load(f)["tokens"]
    with torch.no_grad():
        got = torch.cat([model(torch.tensor([tokens])).logits[0] for tokens in sequences])
    want = load_file(os.path.join(HERE, name, "reference.safetensors"))["logits"]
    far = ((got - want).abs().max() / want.abs().max()).item()
    print(f"{name:24} {type(model).__name__:24} {far:.1e}")
    worst = max(worst, far)
print(f"{len(names)} models load; logits at most {worst:.1e} away")
sys.exit(worst > 1e-6)
