"""Whether models that we wrote load in transformers, with the logits of those that we read; adapters in PEFT, and merged ones
in transformers with the same greedy text. By hand, not in the default tests.

    RLHFD_EXPORTS=DIR build/tests/test_unit_model_family_golden     writes DIR/NAME from families/NAME, and DIR/adapters,
                                                                    DIR/merged from adapters/NAME
    python tests/golden/check_exports.py DIR
"""
# needs: torch==2.15.0 transformers==5.23.0 peft==0.21.2 safetensors==0.8.0
import json
import os
import sys

import torch
from peft import PeftModel
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


def load(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager").eval()


def distance(model, directory):
    with open(os.path.join(directory, "input.json"), encoding="utf-8") as f:
        written = json.load(f)
    with torch.no_grad():
        got = torch.cat([model(input_ids=torch.tensor([tokens])).logits[0] for tokens in written["tokens"]])
        text = written["tokens"][0][:6]
        for _ in written["greedy"]:
            text.append(model(input_ids=torch.tensor([text])).logits[0, -1].argmax().item())
    want = load_file(os.path.join(directory, "reference.safetensors"))["logits"]
    if text[6:] != written["greedy"]:
        sys.exit(f"{directory}: greedy {text[6:]}, wanted {written['greedy']}")
    return ((got - want).abs().max() / want.abs().max()).item()


ADAPTERS = os.path.join(os.path.dirname(HERE), "adapters")
names = sorted(os.listdir(ADAPTERS))
for name in names:
    directory, exported = os.path.join(ADAPTERS, name), os.path.join(sys.argv[1], "adapters", name)
    with open(os.path.join(exported, "adapter_config.json"), encoding="utf-8") as f:
        base = json.load(f)["base_model_name_or_path"]
    pair = distance(PeftModel.from_pretrained(load(base), exported), directory)
    merged = distance(load(os.path.join(sys.argv[1], "merged", name)), directory)
    print(f"{name:24} adapter {pair:.1e} merged {merged:.1e}")
    worst = max(worst, pair, merged / 10)  # the sum W + s B A is rounded to float32 once more
print(f"{len(names)} adapters load, and what they are merged to; the same greedy text")
sys.exit(worst > 1e-6)
