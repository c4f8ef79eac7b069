"""The reward of tldr as a function of TRL's, in place of the scorer rouge: run --program."""
import re


def words(text):
    return re.findall(r"[a-z0-9]+", text.lower())


def common(a, b):
    """The length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], before + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


def rouge_l(completions, completion, **columns):
    """ROUGE-L F1 against the maintainer's line, as Google's rouge_score without stemming."""
    scores = []
    for text, line in zip(completions, completion):
        got, wanted = words(text), words(line)
        both = common(got, wanted)
        scores.append(2 * both / (len(got) + len(wanted)) if both else 0.0)
    return scores
