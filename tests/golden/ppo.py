#!/usr/bin/env python3
# needs: torch==2.15.0 trl==1.0.0 transformers==5.23.0
"""Writes ppo.json: whole rounds of PPO. TRL's experimental PPOTrainer runs on tiny models in double; what it computes is read
where it calls backward: rewards of tokens, advantages, returns, and of each update its losses, their shares clipped and their
slopes. All completions are as long as the limit but in the two cases of early ends: TRL has one more step behind such an end,
where it pays the score. The last cases, of tokens that older weights drew, are PyTorch's: V-trace as IMPALA's sum over later
tokens, and each token's loss times min(rho_bar, w)."""
import json
import os
import sys
import tempfile

import numpy
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast
from trl.experimental.ppo import PPOConfig, PPOTrainer

HERE = os.path.dirname(os.path.abspath(__file__))
PAD, EOS, VOCABULARY, TOKENS, SEQUENCES = 126, 127, 128, 6, 8
torch.set_num_threads(1)


def config(**more):
    return LlamaConfig(vocab_size=VOCABULARY, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                       num_attention_heads=2, max_position_embeddings=32, pad_token_id=PAD, bos_token_id=None,
                       eos_token_id=EOS, initializer_range=0.3, **more)


def tokenizer():
    words = {f"w{i}": i for i in range(VOCABULARY)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="w0")),
                                   pad_token=f"w{PAD}", eos_token=f"w{EOS}", padding_side="left")


def numbers(x):
    return [float(v) for v in x.detach().flatten()]


def round_of(frame):
    names = {"behaviour": "logprobs", "reference": "ref_logprobs", "value": "values", "reward": "scores",
             "token_reward": "rewards", "advantage": "advantages", "returns": "returns"}
    found = {ours: numbers(frame[theirs]) for ours, theirs in names.items()}
    if frame["padding_mask"].any():
        found["length"] = [int(i) + 1 for i in frame["sequence_lengths"]]
    return found


def update_of(frame):
    logp, vpred = (torch.autograd.grad(frame["loss"], frame[name], retain_graph=True)[0]
                   for name in ("new_logprobs", "vpred"))
    there, there_p1 = (~frame[name][frame["micro_batch_inds"]] for name in ("padding_mask", "padding_mask_p1"))
    loss, clipped = frame["pg_loss_max"], (frame["pg_losses2"] > frame["pg_losses"])[there]
    held = (frame["vf_losses2"] > frame["vf_losses1"])[there_p1]
    assert loss.shape == (len(frame["micro_batch_inds"]), TOKENS)
    return {"member": [int(i) for i in frame["micro_batch_inds"]], "logp": numbers(frame["new_logprobs"]),
            "vpred": numbers(frame["vpred"]), "policy_loss": float(frame["pg_loss"]),
            "value_loss": float(frame["vf_loss"]), "clip_frac": float(clipped.double().mean()),
            "value_clip_frac": float(held.double().mean()), "logp_slope": numbers(logp), "value_slope": numbers(vpred)}


def trl(seed, minibatches, end=1.0, **settings):
    """end: a factor of the end token's logit."""
    torch.manual_seed(seed)
    numpy.random.seed(seed)  # the order of minibatches
    policy, reference = LlamaForCausalLM(config()).double(), LlamaForCausalLM(config()).double()
    policy.lm_head.weight.data[EOS] *= end
    with torch.no_grad():  # near the policy, but another
        for mine, other in zip(reference.parameters(), policy.parameters()):
            mine.copy_(other + 0.02 * mine)
    value, reward = (LlamaForSequenceClassification(config(num_labels=1)).double() for _ in range(2))
    rows = Dataset.from_list([{"input_ids": [(5 * i + j) % 100 for j in range(4)]} for i in range(SEQUENCES)])
    with tempfile.TemporaryDirectory() as folder:
        args = PPOConfig(output_dir=folder, per_device_train_batch_size=SEQUENCES // minibatches,
                         gradient_accumulation_steps=minibatches, num_mini_batches=minibatches, num_ppo_epochs=2,
                         total_episodes=SEQUENCES, response_length=TOKENS, learning_rate=0.02, seed=seed, bf16=False,
                         use_cpu=True, gradient_checkpointing=False, report_to=[], save_strategy="no",
                         num_sample_generations=0, disable_tqdm=True, **settings)
        trainer = PPOTrainer(args=args, processing_class=tokenizer(), model=policy, ref_model=reference,
                             reward_model=reward, value_model=value, train_dataset=rows, eval_dataset=rows)
        found, backward = {"updates": []}, trainer.accelerator.backward

        def watched(loss, **more):
            frame = sys._getframe(1).f_locals
            if not found["updates"]:
                found.update(round_of(frame))
            found["updates"].append(update_of(frame))
            backward(loss, **more)

        trainer.accelerator.backward = watched
        trainer.train()
    keys = {"gamma": "gamma", "lambda": "lam", "kl": "kl_estimator", "kl_coef": "kl_coef", "cliprange": "cliprange",
            "cliprange_value": "cliprange_value", "vf_coef": "vf_coef", "whiten_rewards": "whiten_rewards"}
    found["settings"] = {ours: getattr(args, theirs) for ours, theirs in keys.items()}
    found["settings"].update(c_bar=1.0, rho_bar=1.0)
    found["proximal"] = found["behaviour"]
    return found


def lag(base, c_bar, rho_bar):
    """The round of `base`, drawn by weights somewhat older."""
    s = dict(base["settings"], c_bar=c_bar, rho_bar=rho_bar)
    torch.manual_seed(3)
    rows = {k: torch.tensor(base[k], dtype=torch.double).view(SEQUENCES, TOKENS)
            for k in ("behaviour", "token_reward", "value")}
    old = rows["behaviour"]
    behaviour = (old + 0.4 * torch.randn_like(old)).clamp(max=-1e-3)
    reference = torch.tensor(base["reference"], dtype=torch.double).view(SEQUENCES, TOKENS)
    reward = -s["kl_coef"] * (behaviour - reference)  # k1
    reward[:, -1] += torch.tensor(base["reward"], dtype=torch.double)
    v, w = rows["value"], torch.exp(old - behaviour)
    after = torch.cat((v[:, 1:], torch.zeros(SEQUENCES, 1)), 1)
    difference = reward + s["gamma"] * after - v
    rho, c, decay = w.clamp(max=rho_bar), w.clamp(max=c_bar), s["gamma"] * s["lambda"]
    x = torch.zeros(SEQUENCES, TOKENS + 1, dtype=torch.double)  # v_trace - v
    for t in range(TOKENS):
        for later in range(t, TOKENS):
            x[:, t] += decay ** (later - t) * c[:, t:later].prod(1) * rho[:, later] * difference[:, later]
    advantage = difference + decay * x[:, 1:]
    whitened = (advantage - advantage.mean()) * torch.rsqrt(advantage.var(unbiased=True) + 1e-8)
    returns = v + x[:, :-1]
    updates = []
    for update in base["updates"]:
        i = update["member"]
        logp, vpred = (torch.tensor(update[k], dtype=torch.double).view(len(i), TOKENS).requires_grad_()
                       for k in ("logp", "vpred"))
        ratio = torch.exp(logp - old[i])
        free, held = -whitened[i] * ratio, -whitened[i] * ratio.clamp(1 - s["cliprange"], 1 + s["cliprange"])
        policy = (rho[i] * torch.max(free, held)).mean()
        near = v[i] + (vpred - v[i]).clamp(-s["cliprange_value"], s["cliprange_value"])
        far = [(x - returns[i]) ** 2 for x in (vpred, near)]
        value = 0.5 * torch.max(*far).mean()
        slopes = torch.autograd.grad(policy + s["vf_coef"] * value, (logp, vpred))
        updates.append({"member": i, "logp": numbers(logp), "vpred": numbers(vpred), "policy_loss": float(policy),
                        "value_loss": float(value), "clip_frac": float((held > free).double().mean()),
                        "value_clip_frac": float((far[1] > far[0]).double().mean()), "logp_slope": numbers(slopes[0]),
                        "value_slope": numbers(slopes[1])})
    return {"settings": s, "behaviour": numbers(behaviour), "proximal": numbers(old), "reference": base["reference"],
            "value": base["value"], "reward": base["reward"], "token_reward": numbers(reward),
            "advantage": numbers(whitened), "returns": numbers(returns), "updates": updates}


def main():
    cases = {"trl": trl(11, 2), "trl whitened k3": trl(12, 1, kl_estimator="k3", whiten_rewards=True, gamma=0.97, lam=0.9,
                                                       cliprange_value=0.5, kl_coef=0.3, vf_coef=1.0)}
    early = {"end": 4.0, "stop_token": "eos", "kl_coef": 0.3, "vf_coef": 1.0}
    cases["trl early"] = trl(13, 2, **early, gamma=0.97, lam=0.9)
    cases["trl early, lambda 1"] = trl(13, 2, **early, gamma=1.0, lam=1.0)
    for name in ("trl early", "trl early, lambda 1"):
        lengths = cases[name]["length"]
        assert min(lengths) == 1 and max(lengths) == TOKENS, lengths
    cases["lag"] = lag(cases["trl"], 1.0, 1.0)
    cases["lag, two limits"] = lag(cases["trl"], 0.9, 1.3)
    for case in cases.values():
        assert any(u["clip_frac"] > 0 for u in case["updates"]) and any(u["value_clip_frac"] > 0 for u in case["updates"])
    with open(os.path.join(HERE, "ppo.json"), "w") as file:
        json.dump({"tokens": TOKENS, "sequences": SEQUENCES, "cases": cases}, file, indent=None, separators=(",", ":"))
        file.write("\n")


main()
