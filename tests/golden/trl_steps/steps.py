#!/usr/bin/env python3
"""steps.py GROUP: one of trl_steps.sh's files. TRL's trainer takes a step on the model of llama_tied, float32, one thread.

What its loss function is given is written as it is: tokens of each sequence, in the batch's order. So is the loss that it
returns, and of the weights' change the norm of each tensor and every STRIDE-th element. AdamW has an eps that is large beside
most slopes, so the step is nearly linear in the gradient, and shows an error in it. Weights are bfloat16's at the beginning, so
a forward that rounds them has the same. Trainers that draw are told that the model of reference/ drew."""
import json
import os
import sys
import tempfile

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL, REFERENCE, REWARD = (os.path.join(HERE, name) for name in ("../llama_tied", "reference", "../scores/llama"))
PAD, EOS, VOCABULARY, STRIDE = 0, 1, 40, 61
LR, EPS = 0.1, 1.0
torch.set_num_threads(1)


def load(path=MODEL):
    kind = LlamaForSequenceClassification if path == REWARD else LlamaForCausalLM
    return kind.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")


def tokenizer(side="right"):
    words = {"<pad>": PAD, "<eos>": EOS} | {f"w{i}": i for i in range(2, VOCABULARY)}
    made = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", padding_side=side)


def words(ids):
    return " ".join(f"w{i}" for i in ids)


def pairs(prompts=(3, 6, 2, 5)):
    """Rows of several lengths; chosen and rejected are of different ones."""
    torch.manual_seed(5)
    rows = []
    for prompt, chosen, rejected in zip(prompts, (5, 4, 9, 6), (7, 4, 3, 8)):
        draw = [torch.randint(2, VOCABULARY, (n,)).tolist() for n in (prompt, chosen, rejected)]
        rows.append(dict(zip(("prompt", "chosen", "rejected"), [words(draw[0])] + [" " + words(d) + " <eos>" for d in draw[1:]])))
    return Dataset.from_list(rows)


def labelled():
    """Not as many of one label as of the other, and no row's prompt is that of the row before."""
    made = [{"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
            for side in ("chosen", "rejected") for row in pairs()]
    return Dataset.from_list(made[:5] + made[6:])


def arguments(folder, **settings):
    return dict(output_dir=folder, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[], disable_tqdm=True,
                save_strategy="no", learning_rate=LR, lr_scheduler_type="constant", warmup_steps=0, max_grad_norm=0.0,
                adam_epsilon=EPS, optim="adamw_torch", seed=3, logging_steps=1) | settings


def one(tokens, mask, completion):
    """A padded row's tokens: of the prompt, of the completion."""
    kept = [(int(t), bool(c)) for t, m, c in zip(tokens, mask, completion) if m]
    return {"prompt": [t for t, c in kept if not c], "completion": [t for t, c in kept if c]}


def change(model, before):
    found = {}
    for name, value in model.named_parameters():
        moved = (value.detach() - before[name]).flatten().double()
        found[name] = {"norm": float(moved.norm()), "at": [float(f"{x:.9g}") for x in moved[::STRIDE]]}
    return found


def watch(trainer, look, prepare):
    """Calls prepare(inputs) before, and look(inputs, loss) after the trainer's loss."""
    name = "_compute_loss" if hasattr(type(trainer), "_compute_loss") else "compute_loss"
    compute = getattr(trainer, name)

    def watched(model, inputs, *rest, **more):
        prepare(inputs)
        kept = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in inputs.items()}
        loss = compute(model, inputs, *rest, **more)
        look(kept, float(loss[0] if isinstance(loss, tuple) else loss))
        return loss

    setattr(trainer, name, watched)


def run(make, look, prepare=lambda inputs: None, policy=MODEL):
    """A case: what look saw, the loss, the change."""
    seen = {}
    with tempfile.TemporaryDirectory() as folder:
        model = load(policy)
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        trainer = make(model, folder)

        def looked(inputs, loss):
            assert not seen
            seen.update(look(inputs), loss=loss)

        watch(trainer, looked, prepare)
        trainer.train()
        return seen | {"change": change(model, before)}


# ---- trainers of preferences

def concatenated(inputs):
    """Chosen ones, then as many rejected ones."""
    rows = [one(*row) for row in zip(inputs["input_ids"], inputs["attention_mask"], inputs["completion_mask"])]
    half = len(rows) // 2
    return {"rows": [{"prompt": c["prompt"], "chosen": c["completion"], "rejected": r["completion"]}
                     for c, r in zip(rows[:half], rows[half:])]}


def dpo_case(settings):
    from trl import DPOConfig, DPOTrainer
    return run(lambda model, folder: DPOTrainer(
        model=model, ref_model=load(REFERENCE), processing_class=tokenizer(), train_dataset=pairs(),
        args=DPOConfig(**arguments(folder, per_device_train_batch_size=4, max_steps=1, max_length=None, **settings))),
        concatenated)


def dpo():
    smoothed = {"label_smoothing": 0.1}
    plain = {"sigmoid": {}, "hinge": {}, "ipo": {}, "exo_pair": smoothed, "nca_pair": {}, "robust": smoothed, "bco_pair": {},
             "sppo_hard": {}, "aot": smoothed, "aot_unpaired": smoothed, "apo_zero": {}, "apo_down": {}, "discopop": {},
             "sft": {}, "sigmoid_norm": {"beta": 2.0}}
    cases = {}
    for name, more in plain.items():
        cases[name] = {"loss_type": name, "beta": 0.3} | more
    cases["sigmoid, ld_alpha 0.5"] = {"loss_type": "sigmoid", "beta": 0.3, "ld_alpha": 0.5}
    cases["sigmoid, forward_kl"] = {"loss_type": "sigmoid", "beta": 0.3, "f_divergence_type": "forward_kl"}
    cases["sigmoid, js_divergence"] = {"loss_type": "sigmoid", "beta": 0.3, "f_divergence_type": "js_divergence"}
    cases["sigmoid, alpha_divergence 0.5"] = {"loss_type": "sigmoid", "beta": 0.3, "f_divergence_type": "alpha_divergence",
                                              "f_alpha_divergence_coef": 0.5}
    cases["sigmoid + sft"] = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.2], "beta": 0.3}
    cases["sigmoid, use_weighting"] = {"loss_type": "sigmoid", "beta": 0.3, "use_weighting": True}
    return {name: {"settings": s} | dpo_case({k: [v] if k == "loss_type" and isinstance(v, str) else v for k, v in s.items()})
            for name, s in cases.items()}


def labels(inputs):
    rows = [one(*row) for row in zip(inputs["input_ids"], inputs["attention_mask"], inputs["completion_mask"])]
    found = {"rows": [row | {"label": bool(y)} for row, y in zip(rows, inputs["label"])]}
    if "KL_input_ids" in inputs:
        found["mismatched"] = [one(*row) for row in zip(inputs["KL_input_ids"], inputs["KL_attention_mask"],
                                                        inputs["KL_completion_mask"])]
    return found


def kto_case(settings):
    """The two models change places: so the mismatched rows' distance is above 0."""
    from trl import KTOConfig, KTOTrainer
    return {"policy": "reference"} | run(lambda model, folder: KTOTrainer(
        model=model, ref_model=load(), processing_class=tokenizer(), train_dataset=labelled(),
        args=KTOConfig(**arguments(folder, per_device_train_batch_size=7, max_steps=1, max_length=None,
                                   train_sampling_strategy="sequential", **settings))), labels, policy=REFERENCE)


def kto():
    cases = {"kto": {"loss_type": "kto", "beta": 0.3},
             "kto, weights": {"loss_type": "kto", "beta": 0.3, "desirable_weight": 1.33, "undesirable_weight": 0.75},
             "apo_zero_unpaired": {"loss_type": "apo_zero_unpaired", "beta": 0.3}}
    return {name: {"settings": s} | kto_case(s) for name, s in cases.items()}


def two_batches(inputs):
    """Of CPO and ORPO, whose batches have chosen and rejected beside each other."""
    def side(name):
        return [one(t, m, y != -100) for t, m, y in zip(inputs[f"{name}_input_ids"], inputs[f"{name}_attention_mask"],
                                                       inputs[f"{name}_labels"])]
    return {"rows": [{"prompt": c["prompt"], "chosen": c["completion"], "rejected": r["completion"]}
                     for c, r in zip(side("chosen"), side("rejected"))]}


def cpo_case(settings):
    from trl.experimental.cpo import CPOConfig, CPOTrainer
    return run(lambda model, folder: CPOTrainer(
        model=model, processing_class=tokenizer(), train_dataset=pairs(),
        args=CPOConfig(**arguments(folder, per_device_train_batch_size=4, max_steps=1, max_length=60, **settings))),
        two_batches)


def cpo():
    cases = {"sigmoid": {"loss_type": "sigmoid", "beta": 0.1, "cpo_alpha": 1.0},
             "sigmoid, label_smoothing": {"loss_type": "sigmoid", "beta": 0.1, "cpo_alpha": 0.5, "label_smoothing": 0.1},
             "hinge": {"loss_type": "hinge", "beta": 0.1, "cpo_alpha": 0.0},
             "ipo": {"loss_type": "ipo", "beta": 0.3, "cpo_alpha": 0.0},
             "simpo": {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 0.5, "cpo_alpha": 0.0},
             "simpo + nll": {"loss_type": "simpo", "beta": 2.0, "simpo_gamma": 0.5, "cpo_alpha": 0.3},
             "alphapo": {"loss_type": "simpo", "beta": 2.5, "simpo_gamma": 0.5, "cpo_alpha": 0.0, "alpha": 0.25}}
    return {name: {"settings": s} | cpo_case(s) for name, s in cases.items()}


def orpo():
    """TRL's likelihood is of the prompt's tokens, too, but for the first: so prompts are of one token here."""
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer
    s = {"beta": 0.3}
    return {"orpo": {"settings": s} | run(lambda model, folder: ORPOTrainer(
        model=model, processing_class=tokenizer(), train_dataset=pairs((1, 1, 1, 1)),
        args=ORPOConfig(**arguments(folder, per_device_train_batch_size=4, max_steps=1, max_length=60, **s))), two_batches)}


def bco_rows(inputs):
    rows = [one(t, m, y != -100) for t, m, y in zip(inputs["completion_input_ids"], inputs["completion_attention_mask"],
                                                    inputs["completion_labels"])]
    return {"rows": [row | {"label": bool(y)} for row, y in zip(rows, inputs["label"])]}


def bco():
    from trl.experimental.bco import BCOConfig, BCOTrainer
    s = {"beta": 0.3}
    found = {"settings": s} | run(lambda model, folder: BCOTrainer(
        model=model, ref_model=load(REFERENCE), processing_class=tokenizer(), train_dataset=labelled(),
        args=BCOConfig(**arguments(folder, per_device_train_batch_size=7, max_steps=1, max_length=60, **s))), bco_rows)
    return {"bco": found}


# ---- reward models

def rated():
    """Sequences of several lengths that end; the two of a row begin with its prompt."""
    torch.manual_seed(11)
    rows = []
    for prompt, chosen, rejected, margin in zip((3, 6, 2, 5), (5, 4, 9, 6), (7, 4, 3, 8), (0.5, 0.0, 1.25, -0.25)):
        draw = [torch.randint(2, 24, (n,)).tolist() for n in (prompt, chosen, rejected)]
        rows.append({"chosen_ids": draw[0] + draw[1] + [EOS], "rejected_ids": draw[0] + draw[2] + [EOS], "margin": margin})
    return rows


def compared(inputs):
    """Chosen ones, then as many rejected ones; the prompt is what both begin with."""
    ids = [[int(t) for t, m in zip(*row) if m] for row in zip(inputs["input_ids"], inputs["attention_mask"])]
    half, rows = len(ids) // 2, []
    for i, (a, b) in enumerate(zip(ids[:half], ids[half:])):
        same = next(n for n in range(len(a)) if a[n] != b[n])
        rows.append({"prompt": a[:same], "chosen": a[same:], "rejected": b[same:]} |
                    ({"margin": float(inputs["margin"][i])} if "margin" in inputs else {}))
    return {"rows": rows}


def reward_case(margin, settings):
    from trl import RewardConfig, RewardTrainer
    rows = [row if margin else {k: v for k, v in row.items() if k != "margin"} for row in rated()]
    return run(lambda model, folder: RewardTrainer(
        model=model, processing_class=tokenizer(), train_dataset=Dataset.from_list(rows),
        args=RewardConfig(**arguments(folder, per_device_train_batch_size=4, max_steps=1, max_length=None, **settings))),
        compared, policy=REWARD)


def stepped(rows, loss_of):
    """What no trainer has: a step of PyTorch's AdamW by transformers' scores of whole sequences, padded."""
    model = load(REWARD)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    ids = [row["prompt"] + completion for row in rows for completion in row["completions"]]
    most = max(map(len, ids))
    batch = torch.tensor([i + [PAD] * (most - len(i)) for i in ids])
    scores = model(input_ids=batch, attention_mask=(batch != PAD).long()).logits.squeeze(-1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, eps=EPS, weight_decay=0)
    loss = loss_of(scores)
    loss.backward()
    optimizer.step()
    return {"rows": rows, "loss": float(loss.detach()), "change": change(model, before)}


def ranked():
    """Three or four completions of a prompt, with equal ratings among them."""
    torch.manual_seed(13)
    return [{"prompt": torch.randint(2, 24, (n,)).tolist(), "scores": scores,
             "completions": [torch.randint(2, 24, (3 + i % 3,)).tolist() + [EOS] for i in range(len(scores))]}
            for n, scores in ((3, [1.0, -0.5, 1.0]), (5, [0.0, 2.0, -1.0, 0.5]), (2, [3.0, 1.0, 2.0]))]


def split(scores, rows):
    return torch.split(scores, [len(row["completions"]) for row in rows])


def all_pairs(scores, rows):
    losses = []
    for part, row in zip(split(scores, rows), rows):
        pairs = [(i, j) for i, a in enumerate(row["scores"]) for j, b in enumerate(row["scores"]) if a > b]
        losses.append(-torch.stack([torch.nn.functional.logsigmoid(part[i] - part[j]) for i, j in pairs]).mean())
    return torch.stack(losses).mean()


def annotated(scores, rows):
    """Each annotator's label is a pair of its own, with the row's margin."""
    losses = []
    for part, row in zip(split(scores, rows), rows):
        z = part[0] - part[1]
        each = [torch.nn.functional.logsigmoid((z if label else -z) - row["margin"]) for label in row["labels"]]
        losses.append(-torch.stack(each).mean())
    return torch.stack(losses).mean()


def reward():
    cases = {"plain": (False, {}), "margin": (True, {}), "center": (False, {"center_rewards_coefficient": 0.003}),
             "margin, center": (True, {"center_rewards_coefficient": 0.003})}
    found = {name: {"settings": s} | reward_case(margin, s) for name, (margin, s) in cases.items()}
    lists = ranked()
    labelled_pairs = [{"prompt": row["prompt"], "completions": row["completions"][:2], "margin": margin, "labels": labels}
                      for row, margin, labels in zip(lists, (0.5, 0.0, -0.25), ([1, 1, 0], [0, 0, 1, 0], [1]))]
    targets = torch.tensor([score for row in lists for score in row["scores"]])
    found["ranked"] = stepped(lists, lambda scores: all_pairs(scores, lists))
    found["labels"] = stepped(labelled_pairs, lambda scores: annotated(scores, labelled_pairs))
    found["regression"] = stepped(lists, lambda scores: torch.nn.functional.mse_loss(scores, targets))
    return {name: {"start": "scores/llama"} | case for name, case in found.items()}


# ---- trainers that draw

def score(ids):
    return (sum(ids) % 7) / 3 + (len(ids) % 3) / 4


@torch.no_grad()
def told(inputs):
    """Log-probabilities of the completions under the reference's model stand for those of who drew, and of a reference."""
    ids, mask = (torch.cat([inputs[f"prompt_{k}"], inputs[f"completion_{k}"]], 1) for k in ("ids", "mask"))
    logits = load(REFERENCE)(input_ids=ids, attention_mask=mask).logits[:, -inputs["completion_ids"].shape[1] - 1:-1]
    logp = torch.log_softmax(logits, -1).gather(-1, inputs["completion_ids"].unsqueeze(-1)).squeeze(-1)
    inputs["old_per_token_logps"] = inputs["ref_per_token_logps"] = logp
    inputs["old_logps"] = (logp * inputs["completion_mask"]).sum(1)


def drawn(inputs):
    rows = []
    for i in range(len(inputs["prompt_ids"])):
        prompt = [int(t) for t, m in zip(inputs["prompt_ids"][i], inputs["prompt_mask"][i]) if m]
        completion = [int(t) for t, m in zip(inputs["completion_ids"][i], inputs["completion_mask"][i]) if m]
        logp = [float(x) for x, m in zip(inputs["old_per_token_logps"][i], inputs["completion_mask"][i]) if m]
        rows.append({"prompt": prompt, "completion": completion, "reward": score(completion), "logp": logp,
                     "advantage": float(inputs["advantages"][i])})
    return {"rows": rows}


def drawing(trainer_of, config_of, settings):
    prompts = Dataset.from_list([{"prompt": row["prompt"]} for row in pairs()])

    def rewards(prompts, completions, completion_ids, **_):
        return [score(list(ids)) for ids in completion_ids]

    return {"settings": settings} | run(lambda model, folder: trainer_of(
        model=model, reward_funcs=rewards, processing_class=tokenizer("left"), train_dataset=prompts,
        args=config_of(**arguments(folder, per_device_train_batch_size=16, num_generations=4, max_completion_length=8, max_steps=1,
                                   generation_kwargs={"suppress_tokens": [PAD], "sequence_bias": {(EOS,): 5.0}},
                                   **settings))), drawn, told)


def grpo():
    from trl import GRPOConfig, GRPOTrainer
    cases = {"grpo": {"loss_type": "grpo", "beta": 0.0}, "dapo": {"loss_type": "dapo", "beta": 0.0, "epsilon_high": 0.28},
             "bnpo": {"loss_type": "bnpo", "beta": 0.0}, "dr_grpo": {"loss_type": "dr_grpo", "beta": 0.0, "scale_rewards": "none"},
             "dapo, batch": {"loss_type": "dapo", "beta": 0.0, "scale_rewards": "batch"},
             "grpo, beta": {"loss_type": "grpo", "beta": 0.2, "use_bias_correction_kl": False},
             "grpo, beta, unbiased": {"loss_type": "grpo", "beta": 0.2, "use_bias_correction_kl": True},
             "grpo, delta": {"loss_type": "grpo", "beta": 0.0, "delta": 1.25},
             "cispo": {"loss_type": "cispo", "beta": 0.0, "epsilon_high": 1.2},
             "sapo": {"loss_type": "sapo", "beta": 0.0},
             "gspo": {"loss_type": "grpo", "beta": 0.0, "importance_sampling_level": "sequence", "epsilon": 0.05,
                      "epsilon_high": 0.08},
             "luspo": {"loss_type": "luspo", "beta": 0.0, "importance_sampling_level": "sequence"},
             "vespo": {"loss_type": "vespo", "beta": 0.0}}
    return {name: drawing(GRPOTrainer, GRPOConfig, s) for name, s in cases.items()}


def rloo():
    from trl import RLOOConfig, RLOOTrainer
    cases = {"rloo": {"beta": 0.0}, "rloo, normalized": {"beta": 0.0, "normalize_advantages": True}}
    return {name: drawing(RLOOTrainer, RLOOConfig, s) for name, s in cases.items()}


def reference():
    """Weights near the policy's, in bfloat16."""
    torch.manual_seed(9)
    model = load()
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.05 * value.std() * torch.randn_like(value))
    model.to(torch.bfloat16).save_pretrained(REFERENCE)
    for name in os.listdir(REFERENCE):
        if name not in ("config.json", "generation_config.json", "model.safetensors"):
            os.remove(os.path.join(REFERENCE, name))


def main():
    group = sys.argv[1]
    found = globals()[group]()
    if found:
        with open(os.path.join(HERE, f"{group}.json"), "w") as file:
            json.dump({"lr": LR, "eps": EPS, "stride": STRIDE, "cases": found}, file, separators=(",", ":"))
            file.write("\n")
        for name, case in found.items():
            print(group, name, case["loss"], sum(t["norm"] ** 2 for t in case["change"].values()) ** 0.5)


main()
