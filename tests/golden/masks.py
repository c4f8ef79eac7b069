#!/usr/bin/env python3
# needs: numpy==2.4.6
"""Writes masks.json: losses and d loss / d logp where completions that were cut off, or single tokens, are masked after the
divisors were counted. Rows are padded and masked as TRL's trainers do it: completion_mask *= ~truncated, while the divisors
keep every token that was trained before (TRL: num_items_in_batch of loss_type dapo, the batch's mean of grpo, B * L of dr_grpo).
Slopes are complex-step derivatives: exact to the last digits, and no formula of a slope is written here."""
import json
import os

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
LENGTH = [3, 5, 4, 6, 2, 5]
B, T, L_MAX, BETA, KL = len(LENGTH), max(LENGTH), 8, 0.1, 0.04
rng = np.random.default_rng(11)
there = np.arange(T) < np.array(LENGTH)[:, None]
REFERENCE = np.round(rng.uniform(-2.5, -0.3, (B, T)), 3)
OLD = np.round(REFERENCE + rng.uniform(-0.35, 0.35, (B, T)), 3)
LOGP = np.round(OLD + rng.uniform(-0.45, 0.45, (B, T)), 3)
ADVANTAGE = np.array([0.9, -1.1, -0.6, 0.8, 1.3, -0.7])

trained = there.copy()  # the second turn of completion 3 is not ours
trained[3, 2:4] = False
truncated = np.array([False, True, False, False, True, False])
stale = np.zeros((B, T), bool)  # prefixes of two, an inside of one, all of another
stale[0, :2] = stale[3, :1] = stale[2, 1:3] = stale[5, :] = True
MASKS = {"truncated": trained & ~truncated[:, None], "stale": trained & ~stale,
         "both": trained & ~truncated[:, None] & ~stale}


def clipped(a, log_ratio):
    """max(-A r, -A clip(r, .8, 1.2)); decided by the real parts."""
    r = np.exp(log_ratio)
    held = np.where(r.real < 0.8, 0.8, np.where(r.real > 1.2, 1.2, r))
    return np.where((-a * r).real >= (-a * held).real, -a * r, -a * held)


def k3(d):
    return np.exp(-d) + d - 1


def reduced(reduce, each, mask):
    """The divisors count `trained`, the sum is of `mask`."""
    each = np.where(mask, each, 0)
    return {"token_mean": lambda: each.sum() / trained.sum(),
            "seq_mean_token_mean": lambda: (each.sum(1) / trained.sum(1)).mean(),
            "seq_mean_token_sum": lambda: each.sum(1).mean(),
            "const_norm": lambda: each.sum() / (B * L_MAX)}[reduce]()


def tokens(reduce, kl=0):
    return lambda x, mask: reduced(reduce, clipped(ADVANTAGE[:, None], x - OLD) + kl * k3(x - REFERENCE), mask)


def sequences(reduce, geometric):
    """One ratio of the tokens left. In const_norm a completion weighs what its tokens left would."""
    def loss(x, mask):
        left = mask.sum(1)
        log_ratio = np.where(mask, x - OLD, 0).sum(1) / (np.maximum(left, 1) if geometric else 1)
        factor = {"seq_mean_token_sum": (left > 0) / B, "const_norm": left / (B * L_MAX)}[reduce]
        return (factor * clipped(ADVANTAGE, log_ratio)).sum()
    return loss


def pairs(x, mask):
    """Neighbours are chosen and rejected: -log sigmoid. A side without a token left leaves its pair no loss, but it is counted."""
    u = np.where(mask, x - REFERENCE, 0).sum(1)
    total = 0
    for i in range(0, B, 2):
        if mask[i].any() and mask[i + 1].any():
            total = total + np.log1p(np.exp(-BETA * (u[i] - u[i + 1]))) / (B / 2)
    return total


def slopes(loss, mask):
    ret, h = np.zeros((B, T)), 1e-30
    for at in np.ndindex(B, T):
        x = LOGP.astype(complex)
        x[at] += 1j * h
        ret[at] = np.imag(loss(x, mask)) / h
    return ret[there].tolist()


CASES = {f"clip {r}": tokens(r) for r in ("token_mean", "seq_mean_token_mean", "seq_mean_token_sum", "const_norm")}
CASES |= {"clip + .04 k3 token_mean": tokens("token_mean", KL), "clip + .04 k3 seq_mean_token_mean": tokens("seq_mean_token_mean", KL),
          "clip sequence": sequences("seq_mean_token_sum", False), "clip sequence const_norm": sequences("const_norm", False),
          "clip geometric": sequences("seq_mean_token_sum", True), "pairs": pairs}

golden = {"inputs": {"length": LENGTH, "logp": LOGP[there].tolist(), "old": OLD[there].tolist(),
                     "reference": REFERENCE[there].tolist(), "advantage": ADVANTAGE.tolist(),
                     "trained": trained[there].astype(int).tolist()},
          "masks": {name: mask[there].astype(int).tolist() for name, mask in MASKS.items()},
          "losses": [{"name": name, "mask": mask, "loss": float(np.real(loss(LOGP.astype(complex), MASKS[mask]))),
                      "slope": slopes(loss, MASKS[mask])} for name, loss in CASES.items() for mask in MASKS]}
with open(os.path.join(HERE, "masks.json"), "w") as out:
    json.dump(golden, out, separators=(",", ":"))
    out.write("\n")
