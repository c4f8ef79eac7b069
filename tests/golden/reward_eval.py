#!/usr/bin/env python3
# needs: scipy==1.17.1 scikit-learn==1.9.1 numpy==2.4.6
"""Writes reward_eval.json: what SciPy, scikit-learn and NumPy make of numbers that unit/ctl/statistics measures as well."""
import itertools
import json
import math
import os

import numpy as np
from scipy import optimize, stats
from sklearn import metrics

HERE = os.path.dirname(os.path.abspath(__file__))
DRAW = np.random.default_rng(1)


def number(x):
    return float(x) if np.isfinite(x) else None


def correlations():
    """Lists with and without ties, some of them constant; counts stand for numbers that are there several times."""
    cases = []
    for n, grid in [(2, 0), (3, 0), (5, 2), (40, 0), (41, 3), (64, 7), (257, 4), (300, 0), (9, 1)]:
        x = DRAW.normal(size=n)
        y = 0.6 * x + DRAW.normal(size=n)
        if grid:
            x, y = np.round(x * grid) / grid, np.round(y)
        cases.append((x, y, np.ones(n, int)))
        counts = DRAW.multinomial(n, np.full(n, 1 / n))
        cases.append((x, y, counts))
    cases.append((np.arange(6.0), np.full(6, 0.1), np.ones(6, int)))
    cases.append((1e9 + np.arange(6.0), -np.arange(6.0), np.ones(6, int)))
    for x, y, counts in cases:
        a, b = np.repeat(x, counts), np.repeat(y, counts)
        label = (b > np.median(b)).astype(int)
        with np.errstate(all="ignore"):
            yield {
                "x": x.tolist(), "y": y.tolist(), "counts": counts.tolist(),
                "label": (y > np.median(b)).astype(int).tolist(),
                "pearson": number(stats.pearsonr(a, b)[0]), "spearman": number(stats.spearmanr(a, b)[0]),
                "kendall": number(stats.kendalltau(a, b)[0]),
                "auc": number(metrics.roc_auc_score(label, a)) if 0 < label.sum() < len(label) else None,
            }


def quantiles():
    for n in (1, 2, 7, 40):
        x = np.sort(DRAW.normal(size=n))
        for q in (0, 0.025, 0.5, 0.975, 1):
            yield {"sorted": x.tolist(), "q": q, "quantile": number(np.quantile(x, q))}


def chances():
    for n in (1, 30, 500):
        margin = DRAW.normal(scale=3, size=n)
        chance = 1 / (1 + np.exp(-margin))
        outcome = (DRAW.uniform(size=n) < chance).astype(float)
        bins = np.minimum((chance * 10).astype(int), 9)
        ece = sum(abs(chance[bins == b].sum() - outcome[bins == b].sum()) for b in range(10)) / n
        yield {"margin": margin.tolist(), "outcome": outcome.tolist(), "ece": number(ece),
               "brier": number(metrics.brier_score_loss(outcome, chance)),
               "log_loss": number(metrics.log_loss(outcome, chance, labels=[0, 1]))}


def picks(score, gold, k):
    """The picked gold over all ways to draw k: mean and lowest of those with the largest score."""
    mean, least = [], []
    for drawn in itertools.combinations(range(len(score)), k):
        top = max(score[i] for i in drawn)
        tied = [gold[i] for i in drawn if score[i] == top]
        mean.append(sum(tied) / len(tied))
        least.append(min(tied))
    return float(np.mean(mean)), float(np.mean(least))


def best_of():
    for n, grid in [(1, 0), (2, 0), (5, 1), (8, 0), (9, 2)]:
        score, gold = DRAW.normal(size=n), np.round(DRAW.normal(size=n) * 4) / 4
        if grid:
            score = np.round(score * grid) / grid
        both = [picks(score, gold, k) for k in range(1, n + 1)]
        yield {"score": score.tolist(), "gold": gold.tolist(), "mean": [m for m, _ in both],
               "pessimistic": [p for _, p in both], "oracle": [picks(gold, gold, k)[0] for k in range(1, n + 1)]}


def strengths():
    """The least of the same loss, by SciPy's BFGS; the last case is a player who won all games."""
    for n, games in [(2, 10), (5, 200), (12, 60), (3, 0)]:
        skill = DRAW.normal(size=n)
        won = np.zeros((n, n))
        for _ in range(games):
            i, j = DRAW.choice(n, 2, replace=False)
            p = 1 / (1 + math.exp(skill[j] - skill[i]))
            if DRAW.uniform() < 0.1:
                won[i, j] += 0.5
                won[j, i] += 0.5
            elif DRAW.uniform() < p:
                won[i, j] += 1
            else:
                won[j, i] += 1
        if not games:
            won[0, 1], won[0, 2], won[1, 2] = 7, 3, 2

        def loss(s):
            d = s[:, None] - s[None, :]
            return (won * np.logaddexp(0, -d)).sum() + 0.005 * (s * s).sum()

        def slope(s):
            p = 1 / (1 + np.exp(-(s[:, None] - s[None, :])))
            return -(won * (1 - p)).sum(1) + (won * (1 - p)).sum(0) + 0.01 * s

        found = optimize.minimize(loss, np.zeros(n), jac=slope, method="BFGS", options={"gtol": 1e-12, "maxiter": 10000})
        assert np.abs(slope(found.x)).max() < 1e-7, found
        yield {"won": won.tolist(), "strength": found.x.tolist()}


def leagues():
    """Battles, and what NumPy and SciPy say of the two tables of games."""
    for models, games in [(4, 60), (7, 400)]:
        skill = DRAW.normal(size=models)
        battles = []
        people, score = np.zeros((models, models)), np.zeros((models, models))
        for _ in range(games):
            i, j = (int(k) for k in DRAW.choice(models, 2, replace=False))
            p = 1 / (1 + math.exp(skill[j] - skill[i]))
            a, b = float(DRAW.uniform() < p), float(DRAW.uniform() < 0.2 + 0.6 * p)
            battles.append([i, j, a, b])
            for table, won in ((people, a), (score, b)):
                table[i, j] += won
                table[j, i] += 1 - won
        rows = []
        for i in range(models):
            met = [j for j in range(models) if people[i, j] + people[j, i] > 0]
            x = [people[i, j] / (people[i, j] + people[j, i]) for j in met]
            y = [score[i, j] / (score[i, j] + score[j, i]) for j in met]
            if len(met) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0:
                rows.append(stats.pearsonr(x, y)[0])
        yield {"models": models, "battles": battles, "row_pearson": number(np.mean(rows)) if rows else None}


def drifts():
    """Least squares of the two laws; noise of a tenth."""
    for law in ("best_of", "rl"):
        for n in (2, 3, 9):
            kl = np.sort(DRAW.uniform(0.05, 40, size=n))
            d = np.sqrt(kl)
            terms = np.stack([d, -d * d if law == "best_of" else -d * np.log(d)], 1)
            gain = terms @ np.array([1.3, 0.21]) + 0.1 * DRAW.normal(size=n)
            found = np.linalg.lstsq(terms, gain, rcond=None)[0]
            left = ((gain - terms @ found) ** 2).sum()
            yield {"law": law, "kl": kl.tolist(), "gain": gain.tolist(), "a": number(found[0]), "b": number(found[1]),
                   "r2": number(1 - left / (gain**2).sum())}


def pair_lines():
    """Lines of pairs, and the figures of all of them."""
    lines, right, longer, groups = [], [], [], {}
    chance, target, score, label = [], [], [], []
    for i in range(160):
        labels = [int(v) for v in DRAW.uniform(size=int(DRAW.integers(1, 5))) < 0.7]
        chosen, rejected = (round(float(v), 1) for v in DRAW.normal(size=2))
        group = str(DRAW.choice(["a", "b", "c"]))
        texts = ["x" * int(n) for n in DRAW.integers(1, 9, size=2)]
        lines.append({"prompt": f"p{i % 60}", "chosen": texts[0], "rejected": texts[1], "labels": labels, "kind": group,
                      "score_chosen": chosen, "score_rejected": rejected})
        share = sum(labels) / len(labels)
        chance.append(1 / (1 + math.exp(rejected - chosen)))
        target.append(share)
        score += [chosen, rejected]
        label += [int(share >= 0.5), int(share < 0.5)]
        if share == 0.5:
            continue
        sign = 1 if share > 0.5 else -1
        right.append((np.sign(chosen - rejected) * sign + 1) / 2)
        longer.append((np.sign(len(texts[0]) - len(texts[1])) * sign + 1) / 2)
        groups.setdefault(group, []).append(right[-1])
    chance, target = np.array(chance), np.array(target)
    margin = np.log(chance / (1 - chance))

    def loss(scale):
        return float((target * np.logaddexp(0, -scale * margin) + (1 - target) * np.logaddexp(0, scale * margin)).mean())

    best = optimize.minimize_scalar(loss, bounds=(0, 100), method="bounded", options={"xatol": 1e-10})
    means = [float(np.mean(v)) for v in groups.values()]
    yield {"lines": lines, "accuracy": float(np.mean(right)), "longer": float(np.mean(longer)),
           "brier": float(((chance - target) ** 2).mean()), "log_loss": loss(1), "scale": float(best.x),
           "scaled_log_loss": float(best.fun), "auc": float(metrics.roc_auc_score(label, score)),
           "group_mean": float(np.mean(means)), "group_lowest": min(means)}


def answer_lines():
    """Lists of answers with gold scores, and the figures over all answers and over prompts."""
    for labels in (False, True):
        lines, scores, golds, lengths, prompts = [], [], [], [], {}
        for i in range(30):
            n = int(DRAW.integers(2, 9))
            gold = DRAW.normal(size=n)
            score = np.round(gold + DRAW.normal(size=n), 1)
            gold = [bool(v > 0) for v in gold] if labels else [round(float(v), 1) for v in gold]
            texts = ["y" * int(v) for v in DRAW.integers(1, 30, size=n)]
            lines.append({"prompt": f"p{i}", "completions": texts, "scores": score.tolist(), "golds": gold})
            scores += score.tolist()
            golds += [float(v) for v in gold]
            lengths += [len(t) for t in texts]
            g = np.array(gold, float)
            pairs = [(a, b) for a, b in itertools.combinations(range(n), 2) if g[a] != g[b]]
            with np.errstate(all="ignore"):
                one = {"pearson": stats.pearsonr(score, g)[0], "spearman": stats.spearmanr(score, g)[0],
                       "kendall": stats.kendalltau(score, g)[0],
                       "auc": metrics.roc_auc_score(g, score) if labels and 0 < g.sum() < n else np.nan,
                       "accuracy": np.mean([(np.sign((score[a] - score[b]) * (g[a] - g[b])) + 1) / 2 for a, b in pairs])
                       if pairs else np.nan}
            for key, value in one.items():
                prompts.setdefault("prompt_" + key, []).append(value)
        yield {"lines": lines, "pearson": number(stats.pearsonr(scores, golds)[0]),
               "spearman": number(stats.spearmanr(scores, golds)[0]), "kendall": number(stats.kendalltau(scores, golds)[0]),
               "auc": number(metrics.roc_auc_score(golds, scores)) if labels else None,
               "length_score": number(stats.spearmanr(lengths, scores)[0]),
               "length_gold": number(stats.spearmanr(lengths, golds)[0]),
               **{key: number(np.nanmean(v)) if not np.isnan(v).all() else None for key, v in prompts.items()}}


def main():
    makers = (correlations, quantiles, chances, best_of, strengths, leagues, drifts, pair_lines, answer_lines)
    cases = {make.__name__: list(make()) for make in makers}
    with open(os.path.join(HERE, "reward_eval.json"), "w", encoding="ascii") as out:
        lines = [json.dumps(name) + ": [\n" + ",\n".join(json.dumps(c) for c in all_of) + "\n]"
                 for name, all_of in cases.items()]
        out.write("{\n" + ",\n".join(lines) + "\n}\n")
    print({name: len(all_of) for name, all_of in cases.items()})


if __name__ == "__main__":
    main()
