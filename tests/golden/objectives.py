#!/usr/bin/env python3
# needs: torch==2.15.0
"""Writes objectives.json: losses and d loss / d logp of policy-gradient objectives and of losses on pairs on four sequences,
and advantages. Policy gradients are plain Python, each slope checked here against central differences before it is written;
pairs are PyTorch in double, with its own gradients."""
import json
import os
import random
from math import exp, inf, sqrt

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))

random.seed(7)
LENGTH = [3, 5, 4, 6]
B, N, L_MAX = len(LENGTH), sum(LENGTH), 8


def near(rows, spread):
    return [[round(x + round(random.uniform(-spread, spread), 3), 3) for x in row] for row in rows]


REFERENCE = [[round(random.uniform(-2.5, -0.3), 3) for _ in range(n)] for n in LENGTH]
BEHAVIOUR = near(REFERENCE, 0.35)
OLD = near(BEHAVIOUR, 0.15)
LOGP = near(OLD, 0.45)
ADVANTAGE = [0.9, -1.1, -0.6, 0.8]


def clip(x, low, high):
    return max(low, min(high, x))


def coefficient(reduce, i):
    return {"token_mean": 1 / N, "seq_mean_token_mean": 1 / (B * LENGTH[i]), "seq_mean_token_sum": 1 / B,
            "const_norm": 1 / (B * L_MAX)}[reduce]


def ppo(low, high, dual=None):
    """max(-A r, -A clip(r)) and its slope in log r."""
    def gate(a, log_ratio):
        r = exp(log_ratio)
        free, held = -a * r, -a * clip(r, 1 - low, 1 + high)
        loss, slope = (free, free) if free >= held else (held, 0.0)
        if dual and a < 0 and loss > -dual * a:
            return -dual * a, 0.0
        return loss, slope
    return gate


def straight_through(i, t, l, l0):
    """k3+: the value of k3, the slope of k2."""
    d, d0 = l - REFERENCE[i][t], l0 - REFERENCE[i][t]
    return kl("k3", d0)[0] + kl("k2", d)[0] - kl("k2", d0)[0], d


def kl(name, d):
    return {"k1": (d, 1.0), "abs": (abs(d), (d > 0) - (d < 0)), "k2": (d * d / 2, d), "k3": (exp(-d) + d - 1, 1 - exp(-d))}[name]


def tokens(core, reduce, weight=lambda i, t: 1.0):
    """core(i, t, logp, logp0) -> (loss, slope); logp0 is where constants are taken."""
    def objective(x, x0):
        total, slopes = 0.0, [[0.0] * n for n in LENGTH]
        for i in range(B):
            for t in range(LENGTH[i]):
                c = coefficient(reduce, i) * weight(i, t)
                loss, slope = core(i, t, x[i][t], x0[i][t])
                total += c * loss
                slopes[i][t] = c * slope
        return total, slopes
    return objective


def sequences(gate, geometric):
    """One ratio for a sequence, mean over sequences."""
    def objective(x, x0):
        total, slopes = 0.0, []
        for i in range(B):
            share = 1 / LENGTH[i] if geometric else 1.0
            loss, slope = gate(ADVANTAGE[i], (sum(x[i]) - sum(OLD[i])) * share)
            total += loss / B
            slopes.append([slope * share / B] * LENGTH[i])
        return total, slopes
    return objective


def sequences_by_length(gate):
    """The same of the product, each sequence weighing as much as its tokens do in const_norm."""
    def objective(x, x0):
        total, slopes = 0.0, []
        for i in range(B):
            c = LENGTH[i] / (B * L_MAX)
            loss, slope = gate(ADVANTAGE[i], sum(x[i]) - sum(OLD[i]))
            total += c * loss
            slopes.append([slope * c] * LENGTH[i])
        return total, slopes
    return objective


def capped_sequences(cap, geometric):
    """One truncated weight for a sequence, constant, times its log-probability (geometric: the mean over its tokens)."""
    def objective(x, x0):
        total, slopes = 0.0, []
        for i in range(B):
            share = 1 / LENGTH[i] if geometric else 1.0
            w = min(exp((sum(x0[i]) - sum(OLD[i])) * share), cap)
            total += -w * ADVANTAGE[i] * sum(x[i]) * share / B
            slopes.append([-w * ADVANTAGE[i] * share / B] * LENGTH[i])
        return total, slopes
    return objective


def ratio(gate, base=OLD):
    return lambda i, t, l, l0: gate(ADVANTAGE[i], l - base[i][t])


def grpo(i, t, l, l0):
    loss, slope = ppo(.2, .2)(ADVANTAGE[i], l - OLD[i][t])
    k, dk = kl("k3", l - REFERENCE[i][t])
    return loss + .04 * k, slope + .04 * dk


def capped(cap, base):
    def core(i, t, l, l0):
        w = min(exp(l0 - base[i][t]), cap)
        return -w * ADVANTAGE[i] * l, -w * ADVANTAGE[i]
    return core


def gap(i, t):
    return exp(OLD[i][t] - BEHAVIOUR[i][t])


def within(w, low, high):
    return w if low <= w <= high else 0.0


OBJECTIVES = {
    "sft token_mean": tokens(lambda i, t, l, l0: (-l, -1.0), "token_mean"),
    "reinforce seq_mean_token_sum": tokens(lambda i, t, l, l0: (-ADVANTAGE[i] * l, -ADVANTAGE[i]), "seq_mean_token_sum"),
    "clip token_mean": tokens(ratio(ppo(.2, .2)), "token_mean"),
    "clip .2 .28 token_mean": tokens(ratio(ppo(.2, .28)), "token_mean"),
    "clip dual 1.3 token_mean": tokens(ratio(ppo(.2, .2, 1.3)), "token_mean"),
    "clip seq_mean_token_mean": tokens(ratio(ppo(.2, .2)), "seq_mean_token_mean"),
    "clip seq_mean_token_sum": tokens(ratio(ppo(.2, .2)), "seq_mean_token_sum"),
    "clip const_norm": tokens(ratio(ppo(.2, .2)), "const_norm"),
    "clip behaviour token_mean": tokens(ratio(ppo(.2, .2), BEHAVIOUR), "token_mean"),
    "clip + .04 k3 seq_mean_token_mean": tokens(grpo, "seq_mean_token_mean"),
    "clip sequence": sequences(ppo(.2, .2), False),
    "clip geometric .05 .06": sequences(ppo(.05, .06), True),
    "clip sequence const_norm": sequences_by_length(ppo(.2, .2)),
    "clip dual 1.1 sequence": sequences(ppo(.2, .2, 1.1), False),
    "cap 1.05 sequence": capped_sequences(1.05, False),
    "cap 1.05 geometric": capped_sequences(1.05, True),
    "cap 1.28 token_mean": tokens(capped(1.28, OLD), "token_mean"),
    "cap 1.1 behaviour token_mean": tokens(capped(1.1, BEHAVIOUR), "token_mean"),
    "tis_token 2 clip token_mean": tokens(ratio(ppo(.2, .2)), "token_mean", lambda i, t: min(gap(i, t), 2.0)),
    "tis_token 1.02 clip token_mean": tokens(ratio(ppo(.2, .2)), "token_mean", lambda i, t: min(gap(i, t), 1.02)),
    "tis_token inf clip token_mean": tokens(ratio(ppo(.2, .2)), "token_mean", lambda i, t: min(gap(i, t), inf)),
    "mis_token .95 1.05 clip token_mean": tokens(ratio(ppo(.2, .2)), "token_mean",
                                                 lambda i, t: within(gap(i, t), .95, 1.05)),
    "tis_seq 1.02 clip token_mean": tokens(ratio(ppo(.2, .2)), "token_mean",
                                           lambda i, t: min(exp(sum(OLD[i]) - sum(BEHAVIOUR[i])), 1.02)),
    "mis_seq .9 1.1 clip token_mean": tokens(ratio(ppo(.2, .2)), "token_mean",
                                             lambda i, t: within(exp(sum(OLD[i]) - sum(BEHAVIOUR[i])), .9, 1.1)),
    "geo_mask .99 1.01 clip token_mean": tokens(
        ratio(ppo(.2, .2)), "token_mean",
        lambda i, t: 1.0 if within(exp((sum(OLD[i]) - sum(BEHAVIOUR[i])) / LENGTH[i]), .99, 1.01) else 0.0),
    "k1 token_mean": tokens(lambda i, t, l, l0: kl("k1", l - REFERENCE[i][t]), "token_mean"),
    "k2 token_mean": tokens(lambda i, t, l, l0: kl("k2", l - REFERENCE[i][t]), "token_mean"),
    "k3 token_mean": tokens(lambda i, t, l, l0: kl("k3", l - REFERENCE[i][t]), "token_mean"),
    "abs token_mean": tokens(lambda i, t, l, l0: kl("abs", l - REFERENCE[i][t]), "token_mean"),
    "k3+ token_mean": tokens(straight_through, "token_mean"),
}


def checked(name, objective):
    loss, slopes = objective(LOGP, LOGP)
    for i in range(B):
        for t in range(LENGTH[i]):
            at, h = [], 1e-6
            for step in (h, -h):
                x = [row[:] for row in LOGP]
                x[i][t] += step
                at.append(objective(x, LOGP)[0])
            assert abs((at[0] - at[1]) / (2 * h) - slopes[i][t]) < 1e-7, (name, i, t)
    return {"loss": loss, "slope": sum(slopes, [])}


def advantages(groups, eps=1e-4):
    rewards = sum(groups, [])
    mean = sum(rewards) / len(rewards)
    batch_std = sqrt(sum((r - mean) ** 2 for r in rewards) / (len(rewards) - 1))
    out = {"epsilon": eps, "groups": groups, "loo": [], "group_mean": [], "group_z": [], "batch_z": []}
    for group in groups:
        k, mean = len(group), sum(group) / len(group)
        std = sqrt(sum((r - mean) ** 2 for r in group) / (k - 1)) if k > 1 else 0.0
        for r in group:
            flat = len(set(group)) == 1
            out["loo"].append(0.0 if flat else r - (sum(group) - r) / (k - 1))
            out["group_mean"].append(0.0 if flat else r - mean)
            out["group_z"].append(0.0 if flat else (r - mean) / (std + eps))
            out["batch_z"].append(0.0 if flat else (r - mean) / (batch_std + eps))
    return out


ORDER = [0, 1, 3, 2]  # the pairs' places in a batch: (0, 1) and (3, 2), chosen first
MASK = [[1, 0, 1], [1, 1, 0, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1, 1, 0]]


def gated(gate, limit, slope, logp, behaviour, keep):
    """What a token's slope in the pair's loss becomes as the constant advantage, negated, of a policy gradient."""
    ratio = torch.exp(logp - behaviour)
    if gate == "clip":
        each = torch.maximum(slope * ratio, slope * ratio.clamp(1 - limit, 1 + limit))
    else:
        each = slope * ratio.detach().clamp(max=limit) * logp
    return (each * keep).sum()


def pairs(loss, beta, smoothing=0.0, mask=None, kl_coef=0.0, gate="none", limit=0.0):
    """The losses of TRL's DPO trainer, by torch: IPO on means of tokens, rewards as beta * sum. The KL term is k3, summed over
    a sequence, mean over sequences. With a gate the slopes are those of what it makes of the pairs' part."""
    logp = [torch.tensor(LOGP[i], dtype=torch.float64, requires_grad=True) for i in ORDER]
    reference = [torch.tensor(REFERENCE[i], dtype=torch.float64) for i in ORDER]
    keep = [torch.tensor((mask or [[1] * n for n in LENGTH])[i], dtype=torch.float64) for i in ORDER]
    u = torch.stack([((x - y) * k).sum() for x, y, k in zip(logp, reference, keep)])
    mean = u / torch.stack([k.sum() for k in keep])
    z = beta * (u[0::2] - u[1::2])
    each = {"sigmoid": -F.logsigmoid(z) * (1 - smoothing) - F.logsigmoid(-z) * smoothing,
            "hinge": torch.relu(1 - z),
            "ipo": (mean[0::2] - mean[1::2] - 1 / (2 * beta)) ** 2,
            "sft": -mean[0::2]}[loss]
    k3 = sum(((torch.exp(y - x) - (y - x) - 1) * k).sum() for x, y, k in zip(logp, reference, keep)) / B
    total = each.mean() + kl_coef * k3
    if gate == "none":
        total.backward()
    else:
        slopes = torch.autograd.grad(each.mean(), u, retain_graph=True)[0]
        behaviour = [torch.tensor(BEHAVIOUR[i], dtype=torch.float64) for i in ORDER]
        (sum(gated(gate, limit, *side) for side in zip(slopes, logp, behaviour, keep)) + kl_coef * k3).backward()
    reward = (beta * u).detach()
    return {"pair_loss": loss, "beta": beta, "label_smoothing": smoothing, "kl_coef": kl_coef,
            "gate": gate, "limit": limit,
            "weight": [float(x) for k in keep for x in k], "loss": total.item(),
            "slope": [x for l in logp for x in l.grad.tolist()],
            "rewards_chosen": reward[0::2].mean().item(), "rewards_rejected": reward[1::2].mean().item(),
            "rewards_margin": (reward[0::2] - reward[1::2]).mean().item(),
            "rewards_accuracy": (reward[0::2] > reward[1::2]).double().mean().item()}


PAIRS = [pairs("sigmoid", .1), pairs("sigmoid", .1, .1), pairs("sigmoid", 2.5, .3), pairs("sigmoid", 700., .1),
         pairs("sigmoid", 700.), pairs("hinge", .1), pairs("hinge", 1.), pairs("hinge", 4.), pairs("ipo", .1),
         pairs("ipo", 1.5), pairs("sigmoid", .1, .1, MASK), pairs("hinge", .5, 0., MASK), pairs("ipo", .1, 0., MASK),
         pairs("sigmoid", .1, 0., None, .05), pairs("ipo", .3, 0., MASK, .2),
         pairs("sft", .1), pairs("sft", .1, 0., MASK, .2),
         pairs("sigmoid", .1, gate="clip", limit=.2), pairs("sigmoid", 2.5, .3, MASK, .05, "clip", .1),
         pairs("hinge", 1., gate="clip", limit=.2), pairs("ipo", .3, 0., MASK, .2, "clip", .05),
         pairs("sigmoid", .1, gate="cap", limit=1.), pairs("ipo", .1, 0., MASK, 0., "cap", 1.2)]


def main():
    result = {
        "inputs": {"length": LENGTH, "logp": sum(LOGP, []), "old": sum(OLD, []), "behaviour": sum(BEHAVIOUR, []),
                   "reference": sum(REFERENCE, []), "advantage": ADVANTAGE, "reduce_length": L_MAX},
        "objectives": {name: checked(name, objective) for name, objective in OBJECTIVES.items()},
        "pairs": {"order": ORDER, "vectors": PAIRS},
        "advantages": [advantages([[1.0, 0.0, 0.0, 0.5]]),
                       advantages([[1.0, -0.5], [0.2, 0.7, 0.1], [0.1, 0.1, 0.1], [3.0], [1.0, 0.0, 0.0, 0.5]]),
                       advantages([[1.0, -0.5], [0.2, 0.7, 0.1]], .5)],
    }
    with open(os.path.join(HERE, "objectives.json"), "w") as out:
        json.dump(result, out, indent=1)
        out.write("\n")


main()
