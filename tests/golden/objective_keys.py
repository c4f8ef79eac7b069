#!/usr/bin/env python3
# needs: torch==2.15.0
"""Writes objective_keys.json, a file for bin/objective-check: losses of sequences by name, with the slopes that PyTorch's own
gradients have in double, losses of rows of the vocabulary likewise, scans and advantages. Constants of a loss are detached."""
import json
import math
import os

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
torch.set_default_dtype(torch.float64)
torch.manual_seed(24)
LENGTH = [4, 2, 6, 3]
B, N = len(LENGTH), sum(LENGTH)
PAIRS, GROUPS = [(2, 1), (0, 3)], [[0, 3], [2, 1]]
R = torch.tensor([0.3, -0.4, 1.2, 0.8])
A = torch.tensor([0.7, -1.3, 0.4, -0.5])


def near(rows, spread):
    return [(row + (2 * torch.rand(len(row)) - 1) * spread).round(decimals=4) for row in rows]


REF = [(-0.3 - 2.2 * torch.rand(n)).round(decimals=4) for n in LENGTH]
BEH = near(REF, 0.3)
OLD = near(BEH, 0.2)
POL = near(OLD, 0.4)
SEQUENCES = range(B)


def total(values):
    return sum(values, torch.zeros(()))


def tokens(loss, weigh=lambda i: 1 / N):
    """loss(i, l): of each token of sequence i."""
    return lambda x: total(weigh(i) * loss(i, x[i]).sum() for i in SEQUENCES)


def seq_mean(i):
    return 1 / (B * LENGTH[i])


def ppo(a, r, low=0.2, high=0.2, dual=None):
    loss = torch.maximum(-a * r, -a * r.clamp(1 - low, 1 + high))
    if dual is not None and a < 0:
        loss = torch.minimum(loss, -dual * a)
    return loss


def ratio(i, l, base=OLD):
    return (l - base[i]).exp()


def weighed(i, l, weight, a=None):
    return -weight.detach() * (A[i] if a is None else a) * l


def tis(low, high, mask=False):
    def weight(i):
        w = (OLD[i] - BEH[i]).exp()
        return w * ((w >= low) & (w <= high)) if mask else w.clamp(max=high)
    return tokens(lambda i, l: weight(i) * ppo(A[i], ratio(i, l)))


def k3(i, l):
    d = REF[i] - l
    return d.exp() - d - 1


def dppo(i, l):
    moved = (l.exp() - BEH[i].exp()).detach()
    stop = moved > 0.05 if A[i] > 0 else moved < -0.05
    return torch.where(stop, 0.0, -A[i] * ratio(i, l, BEH)) + 1e-3 * (l - BEH[i]) ** 2


def sapo(i, l):
    tau = 1.0 if A[i] > 0 else 1.05
    return -A[i] * 4 / tau * torch.sigmoid(tau * (ratio(i, l) - 1))


def unbiased(i, l):
    """Its slope is r d: that of the value with r constant and the slope of k2."""
    r, d = ratio(i, l), l - REF[i]
    return (r * k3(i, l)).detach() + r.detach() * (d ** 2 / 2 - (d ** 2 / 2).detach())


def gmpo(x):
    losses = []
    for i in SEQUENCES:
        d = x[i] - OLD[i]
        d = d.clamp(max=0.1) if A[i] >= 0 else d.clamp(min=-0.1)
        losses.append(-A[i] * d.mean().exp() / B)
    return total(losses)


def asymre(x):
    return total(-(R[i] - (R[group].mean() - 0.1)) * x[i].sum() / B for group in GROUPS for i in group)


def vespo(i, l):
    w = (l.sum() - BEH[i].sum()).exp()
    k, lam = (2, 3) if A[i] >= 0 else (3, 2)
    return weighed(i, l, w ** k * (lam * (1 - w)).exp())


def topr(x):
    return total(weighed(i, x[i].sum(), (x[i].sum() - BEH[i].sum()).exp().clamp(0, 1) if A[i] < 0 else torch.ones(())) / B
                 for i in SEQUENCES)


def u(x, i, base=REF):
    return (x[i] - base[i]).sum()


def tba(x):
    def part(i):
        return u(x, i) - R[i] / 0.1
    return total((part(i) - total(part(j) for j in group).detach() / len(group)) ** 2 / B for group in GROUPS for i in group)


def oapl(x):
    def value(group):
        return 0.5 * ((R[group] / 0.5).exp().mean()).log()
    return total((0.01 * u(x, i, BEH) - (R[i] - value(group))) ** 2 / B for group in GROUPS for i in group)


def pairs(loss):
    return lambda x: total(loss(x, w, l) for w, l in PAIRS) / len(PAIRS)


def linked(link, beta=0.1):
    return pairs(lambda x, w, l: link(beta * (u(x, w) - u(x, l))))


def log_sigmoid(z):
    return F.logsigmoid(z)


def winners_nll(x):
    return -total(x[w].sum() for w, _ in PAIRS) / sum(LENGTH[w] for w, _ in PAIRS)


def dpop(x, w, l):
    return -log_sigmoid(0.3 * (u(x, w) - u(x, l) - 50 * (-u(x, w)).clamp(min=0)))


def odds(x, i):
    mean = x[i].mean()
    return mean - torch.log(-torch.expm1(mean))


def exo_pair(z):
    q, p = torch.sigmoid(z), torch.tensor(1 - 1e-3)
    return q * (log_sigmoid(z) - p.log()) + (1 - q) * (log_sigmoid(-z) - torch.log1p(-p))


def discopop(z):
    m = torch.sigmoid(z / 0.05)
    return (1 - m) * -log_sigmoid(z) + m * (-z).exp()


def beta_dpo(x):
    gap = total(0.1 * (u(x, w) - u(x, l)) for w, l in PAIRS).detach() / len(PAIRS)
    return linked(lambda z: -log_sigmoid(z), max(1e-3, 0.1 * (1 + 0.6 * (gap - 0.3))))(x)


def f_dpo(score):
    return pairs(lambda x, w, l: -log_sigmoid(0.1 * (score(u(x, w)) - score(u(x, l)))))


def ld_dpo(x, w, l):
    shared = min(LENGTH[w], LENGTH[l])

    def score(i):
        d = x[i] - REF[i]
        return d[:shared].sum() + 0.5 * d[shared:].sum()
    return -log_sigmoid(0.1 * (score(w) - score(l)))


def alphapo(x, w, l):
    return -log_sigmoid(2 * ((1 - (-0.25 * x[w].mean()).exp()) - (1 - (-0.25 * x[l].mean()).exp())) / 0.25 - 0.5)


def kto(x):
    return total(1 - torch.sigmoid(0.1 * (u(x, i) - 0.05) * (1 if i in (0, 3) else -1)) for i in SEQUENCES) / B


def bco(x):
    return total(-log_sigmoid((0.1 * u(x, i) - 0.02) * (1 if i in (0, 3) else -1)) for i in SEQUENCES) / B


def rrhf(x):
    ranks = total((x[i].mean() - x[j].mean()).clamp(min=0) for i in SEQUENCES for j in SEQUENCES if R[i] < R[j])
    return ranks - x[int(R.argmax())].sum()


def pro(x):
    order = sorted(SEQUENCES, key=lambda i: -R[i])
    loss = -0.05 * (B - 1) ** 2 * x[order[0]].sum()
    for k in range(B - 1):
        best, rest = order[k], order[k + 1:]
        gaps = [R[best] - R[j] for j in rest]
        scores = torch.stack([max(gaps) * x[best].mean()] + [t * x[j].mean() for t, j in zip(gaps, rest)])
        loss = loss - F.log_softmax(scores, 0)[0]
    return loss


def lipo(x):
    psi, score = [4, 1, 2, 3], [0.5 * u(x, i) for i in SEQUENCES]
    rank = {i: k + 1 for k, i in enumerate(sorted(SEQUENCES, key=lambda i: -score[i]))}
    return total(abs(2 ** psi[i] - 2 ** psi[j]) * abs(1 / math.log(1 + rank[i]) - 1 / math.log(1 + rank[j]))
                 * -log_sigmoid(score[i] - score[j]) for i in SEQUENCES for j in SEQUENCES if psi[i] > psi[j])


def listed(x, beta):
    return torch.stack([beta * u(x, i) for i in SEQUENCES])


def exo(x):
    log_p, log_q = F.log_softmax(listed(x, 0.5), 0), F.log_softmax(R / 0.5, 0)
    return (log_p.exp() * (log_p - log_q)).sum()


def pl_dpo(x):
    order, score = sorted(SEQUENCES, key=lambda i: -R[i]), listed(x, 0.5)
    return total(-F.log_softmax(score[order[k:]], 0)[0] for k in range(B - 1))


def d2o(x):
    return -log_sigmoid(0.1 / 3 * total(u(x, i, BEH) for i in (0, 2, 3)) - 0.1 * u(x, 1))


def vapo(x):
    good = [i for i in SEQUENCES if R[i] > 0.5]
    return tokens(lambda i, l: ppo(A[i], ratio(i, l)))(x) - 0.1 * total(x[i].sum() for i in good) / sum(LENGTH[i] for i in good)


def macro(i, l):
    a = torch.tensor([0.9 if t // 2 % 2 == 0 else -1.1 for t in range(LENGTH[i])])
    r = ratio(i, l)
    return torch.maximum(-a * r, -a * r.clamp(0.8, 1.2))


def ift(x):
    losses = []
    for i in SEQUENCES:
        a, n = -x[i], LENGTH[i]
        c = torch.stack([total(0.95 ** (s - t) * a[s] / n for s in range(t, n)) for t in range(n)])
        losses.append((a * c).sum() / c.sum() / B)
    return total(losses)


P = [0.8, 0.3, 0.6, 0.45]
OBJECTIVES = {
    "ppo_clip(eps=.2) token-mean": tokens(lambda i, l: ppo(A[i], ratio(i, l))),
    "ppo_dualclip(eps=.2,c=1.3) token-mean": tokens(lambda i, l: ppo(A[i], ratio(i, l), dual=1.3)),
    "dapo_clip(.2,.28) token-mean": tokens(lambda i, l: ppo(A[i], ratio(i, l), 0.2, 0.28)),
    "ppo_clip seq-mean-token-mean (GRPO, no KL)": tokens(lambda i, l: ppo(A[i], ratio(i, l)), seq_mean),
    "ppo_clip const-norm B*L, L=8 (Dr.GRPO)": tokens(lambda i, l: ppo(A[i], ratio(i, l)), lambda i: 1 / (8 * B)),
    "ppo_clip vs behaviour (bypass)": tokens(lambda i, l: ppo(A[i], ratio(i, l, BEH))),
    "reinforce token-mean": tokens(lambda i, l: -A[i] * l),
    "grpo + .04*k3 seq-mean-token-mean": tokens(lambda i, l: ppo(A[i], ratio(i, l)) + 0.04 * k3(i, l), seq_mean),
    "kl k1 token-mean": tokens(lambda i, l: l - REF[i]),
    "kl k2 token-mean": tokens(lambda i, l: (l - REF[i]) ** 2 / 2),
    "kl k3 token-mean": tokens(k3),
    "kl ratio*k3 (unbiased, V3.2) token-mean": tokens(unbiased),
    "cispo (cap 1.28, upper only) token-mean": tokens(lambda i, l: weighed(i, l, ratio(i, l).clamp(max=1.28))),
    "sapo token seq-mean": tokens(sapo, seq_mean),
    "tis C=2 x ppo_clip token-mean": tis(0, 2),
    "tis C=1.02 x ppo_clip token-mean": tis(0, 1.02),
    "mis [.95,1.05] x ppo_clip token-mean": tis(0.95, 1.05, True),
    "decoupled ppo (exp(o-b) x clip) token-mean": tis(0, math.inf),
    "dppo-tv(delta .05)+1e-3*(l-b)^2 token-mean": tokens(dppo),
    "tinker dro beta=.1 token-mean": tokens(lambda i, l: -A[i] * l + 0.05 * (l - BEH[i]) ** 2),
    "aipo delta=1.1 (min(r_b,d) sg) token-mean": tokens(lambda i, l: weighed(i, l, ratio(i, l, BEH).clamp(max=1.1))),
    "rloo proximal seq-ratio clip .2 (mean over seqs)":
        lambda x: total(ppo(A[i], u(x, i, OLD).exp()) / B for i in SEQUENCES),
    "gspo eps .05/.06": lambda x: total(ppo(A[i], (x[i] - OLD[i]).mean().exp(), 0.05, 0.06) / B for i in SEQUENCES),
    "gmpo eps .1 one-sided, log-space": gmpo,
    "topr (a+=1, 0<=rho<=1 for A<0), seq-sum": topr,
    "asymre dV=-.1 (group mean baseline)": asymre,
    "vespo (k,lam)=(2,3)+/(3,2)-": tokens(vespo),
    "a-lol seq ratio clip .9 (ref), A>=0 only":
        lambda x: total(weighed(i, x[i].sum(), u(x, i).exp().clamp(0.1, 1.9), A[i].clamp(min=0)) / B for i in SEQUENCES),
    "crpg (KL cap 10)": lambda x: total(weighed(i, x[i].sum(), (1 - u(x, i) / 10).clamp(min=0)) / B for i in SEQUENCES),
    "tba beta=.1 (VarGrad, sg mean)": tba,
    "oapl beta1=.5 beta2=.01": oapl,
    "copg beta=.1": pairs(lambda x, w, l: ((R[w] - 0.1 * u(x, w)) - (R[l] - 0.1 * u(x, l))) ** 2 / 2),
    "rebel eta=2 vs behaviour": pairs(lambda x, w, l: (u(x, w, BEH) - u(x, l, BEH) - 2 * (R[w] - R[l])) ** 2),
    "rebel 1/eta form: ((dlogratio)/eta-dR)^2, eta=2":
        pairs(lambda x, w, l: ((u(x, w, BEH) - u(x, l, BEH)) / 2 - (R[w] - R[l])) ** 2),
    "nash-md beta=.1 (P=.8,.3,.6,.45)":
        lambda x: total(((0.1 * (x[i] - REF[i]).detach() - (P[i] - 0.5)) * x[i]).sum() / B for i in SEQUENCES),
    "dpo beta=.1": linked(lambda z: -log_sigmoid(z)),
    "cdpo eps=.1": linked(lambda z: -0.9 * log_sigmoid(z) - 0.1 * log_sigmoid(-z)),
    "robust dpo eps=.1": linked(lambda z: (-0.9 * log_sigmoid(z) + 0.1 * log_sigmoid(-z)) / 0.8),
    "hinge (SLiC/RSO-hinge) beta=.1": linked(lambda z: (1 - z).clamp(min=0)),
    "exo_pair eps=1e-3": linked(exo_pair),
    "gpo exponential": linked(lambda z: (-z).exp()),
    "gpo truncated quadratic": linked(lambda z: (1 - z).clamp(min=0) ** 2),
    "gpo savage": linked(lambda z: (1 + z.exp()) ** -2),
    "gpo squared": linked(lambda z: (1 - z) ** 2),
    "discopop tau=.05": linked(discopop),
    "ipo sum-form tau=.1": pairs(lambda x, w, l: (u(x, w) - u(x, l) - 5) ** 2),
    "ipo length-normalised tau=.1": pairs(lambda x, w, l: (u(x, w) / LENGTH[w] - u(x, l) / LENGTH[l] - 5) ** 2),
    "dpop beta=.3 lambda=50": pairs(dpop),
    "r-dpo beta=.1 alpha=.05 (z += alpha*(Tw-Tl))":
        pairs(lambda x, w, l: -log_sigmoid(0.1 * (u(x, w) - u(x, l)) + 0.05 * (LENGTH[w] - LENGTH[l]))),
    "simpo beta=2 gamma=1.1": pairs(lambda x, w, l: -log_sigmoid(2 * (x[w].mean() - x[l].mean()) - 1.1)),
    "cpo beta=.1 alpha=1 (NLL token-mean over winners)":
        lambda x: pairs(lambda x, w, l: -log_sigmoid(0.1 * (x[w].sum() - x[l].sum())))(x) + winners_nll(x),
    "orpo lambda=.1 (NLL token-mean over winners)":
        lambda x: pairs(lambda x, w, l: -0.1 * log_sigmoid(odds(x, w) - odds(x, l)))(x) + winners_nll(x),
    "slic-hf delta=1 lambda=.1 (NLL winner seq-sum)":
        pairs(lambda x, w, l: (1 - x[w].sum() + x[l].sum()).clamp(min=0) - 0.1 * x[w].sum()),
    "sppo-hard beta=.1 (TRL)": pairs(lambda x, w, l: (u(x, w) - 5) ** 2 + (u(x, l) + 5) ** 2),
    "nca_pair beta=.1": pairs(lambda x, w, l: -log_sigmoid(0.1 * u(x, w)) - 0.5 * log_sigmoid(-0.1 * u(x, w))
                              - 0.5 * log_sigmoid(-0.1 * u(x, l))),
    "bco_pair beta=.1": pairs(lambda x, w, l: -log_sigmoid(0.1 * u(x, w)) - log_sigmoid(-0.1 * u(x, l))),
    "apo_zero beta=.1": pairs(lambda x, w, l: 1 - torch.sigmoid(0.1 * u(x, w)) + torch.sigmoid(0.1 * u(x, l))),
    "apo_down beta=.1":
        pairs(lambda x, w, l: torch.sigmoid(0.1 * u(x, w)) + 1 - torch.sigmoid(0.1 * (u(x, w) - u(x, l)))),
    "xpo beta=.1 alpha=.01 (loser = reference sample)":
        pairs(lambda x, w, l: -log_sigmoid(0.1 * (u(x, w) - u(x, l))) + 0.01 * x[l].sum()),
    "dpo + 1.0*NLL winner (RPO/MPO), NLL token-mean": lambda x: linked(lambda z: -log_sigmoid(z))(x) + winners_nll(x),
    "beta-dpo beta_b=.1*(1+.6*(mean gap-.3))": beta_dpo,
    "kto beta=.1 z0=.05 (0,3 desirable; 1,2 undesirable)": kto,
    "bco unpaired beta=.1 delta=.02 (0,3 good)": bco,
    "npo beta=.1 (1,2 forget)": lambda x: total(-20 * log_sigmoid(-0.1 * u(x, i)) for i in (1, 2)) / 2,
    "dro-v tau=1 V=.1": lambda x: total((R[i] - 0.1 - u(x, i)) ** 2 / 2 for i in SEQUENCES) / B,
    "rrhf weight 1 (group of 4, NLL best seq-sum)": rrhf,
    "pro (group of 4, sft .05*(K-1)^2)": pro,
    "lipo-lambda beta=.5 psi=(4,1,2,3)": lipo,
    "exo K-way (group of 4) beta_pi=.5 beta_r=.5": exo,
    "dpo-rw K-way CE (group of 4) beta_pi=.5 beta_r=.5":
        lambda x: -(F.softmax(R / 0.5, 0) * F.log_softmax(listed(x, 0.5), 0)).sum(),
    "d2o (loser=1; self samples 0,2,3) alpha=beta=.1": d2o,
    "pl-dpo (Plackett-Luce, group of 4) beta=.5": pl_dpo,
    "sft token-mean": tokens(lambda i, l: -l),
    "dft token-mean": tokens(lambda i, l: -l.exp().detach() * l),
    "f-dpo forward-kl": f_dpo(lambda d: -(-d).exp()),
    "f-dpo js": f_dpo(log_sigmoid),
    "f-dpo alpha=.5": f_dpo(lambda d: ((-0.5 * d).exp() - 1) / -0.5),
    "ld-dpo beta=.1 ld_alpha=.5": pairs(ld_dpo),
    "alphapo beta=2 gamma=.5 alpha=.25": pairs(alphapo),
    "ppo + .1*NLL on R>0.5 (VAPO positive NLL), token-mean": vapo,
    "ma-rlhf n=2: ppo core, token A = macro A (.9 even, -1.1 odd)": tokens(macro),
    "ift weights (gamma .95, weights NOT detached), seq-mean": ift,
}

Z = torch.tensor([0.4, -0.9, 0.2, 1.1, -0.3, 0.6])
Z_REF = torch.tensor([-0.2, 0.5, 0.1, 0.7, -0.8, 0.3])
Z_LOSER = torch.tensor([0.9, 0.3, -0.4, 0.2, 0.5, -1.0])
LOG_REF = F.log_softmax(Z_REF, 0)


def logp(z):
    return F.log_softmax(z, 0)


def forward_kl(z):
    return (LOG_REF.exp() * (LOG_REF - logp(z))).sum()


def jsd(z):
    p, q = logp(z).exp(), LOG_REF.exp()
    m = (p + q) / 2
    return ((q * (q / m).log()).sum() + (p * (p / m).log()).sum()) / 2


def tdpo(winner, loser, held):
    gap = (logp(winner)[1] - LOG_REF[1]) - (logp(loser)[3] - LOG_REF[3])
    of_winner = forward_kl(winner)
    return -log_sigmoid(0.1 * (gap - 0.5 * (forward_kl(loser) - (of_winner.detach() if held else of_winner))))


ROWS = {
    "logp of token 2": (Z, lambda z: logp(z)[2]),
    "forward KL(ref||pi)": (Z, forward_kl),
    "reverse KL(pi||ref)": (Z, lambda z: (logp(z).exp() * (logp(z) - LOG_REF)).sum()),
    "entropy": (Z, lambda z: -(logp(z).exp() * logp(z)).sum()),
    "logp/temperature .7": (Z, lambda z: logp(z / 0.7)[2]),
    "generalised JSD beta=.5 (GKD)": (Z, jsd),
    "cringe neg=2 pos=0": (Z, lambda z: F.softplus(z[2] - z[0])),
    "tdpo2 d/dz_winner": (Z, lambda z: tdpo(z, Z_LOSER, True)),
    "tdpo2 d/dz_loser": (Z_LOSER, lambda z: tdpo(Z, z, True)),
    "tdpo1(alpha=1->.5 here) d/dz_winner, no sg": (Z, lambda z: tdpo(z, Z_LOSER, False)),
    "unlikelihood -log(1-p2)": (Z, lambda z: -torch.log1p(-logp(z)[2].exp())),
}


def slopes_of(loss):
    x = [row.clone().requires_grad_() for row in POL]
    value = loss(x)
    grads = torch.autograd.grad(value, x, allow_unused=True)
    return {"loss": value.item(), "dloss_dlogp": [(torch.zeros(n) if g is None else g).tolist() for g, n in zip(grads, LENGTH)]}


def row_of(z, value):
    z = z.clone().requires_grad_()
    loss = value(z)
    return {"value": loss.item(), "dz": torch.autograd.grad(loss, z)[0].tolist()}


def main():
    lists = {"f_ref": REF, "b_behaviour": BEH, "o_prox": OLD, "l_policy": POL}
    inputs = {name: [row.tolist() for row in rows] for name, rows in lists.items()}
    inputs |= {"R": R.tolist(), "A": A.tolist(), "pairs_winner_loser": PAIRS, "groups": GROUPS}
    out = {"inputs": inputs, "objectives": {name: slopes_of(loss) for name, loss in OBJECTIVES.items()},
           "vocab_level": {"z": Z.tolist(), "z_ref": Z_REF.tolist(), "z_loser": Z_LOSER.tolist(),
                           "checks": {name: row_of(*row) for name, row in ROWS.items()}}}
    with open(os.path.join(HERE, "objective_keys.json"), "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
