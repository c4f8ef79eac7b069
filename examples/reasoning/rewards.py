"""The scorers of reasoning-gym as a function of TRL's: the library's own score of an answer, task by task."""
from functools import lru_cache

import reasoning_gym


@lru_cache(None)
def scorer(task):
    return reasoning_gym.get_score_answer_fn(task)


def score_answer(completions, entry, **columns):
    return [scorer(row["metadata"]["source_dataset"])(text.strip(), row) for text, row in zip(completions, entry)]
