"""The reward of sort as a function of TRL's, in place of the scorer exact: run --program."""


def sorted_letters(prompts, completions, **columns):
    """1 for the prompt's letters in order, else 0."""
    return [float(text == "".join(sorted(prompt.rstrip(">")))) for prompt, text in zip(prompts, completions)]
