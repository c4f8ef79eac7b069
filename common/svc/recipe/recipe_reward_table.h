/* Options that shape rewards before objectives see them, in the order in which the learner goes (learner/round/shaping.h). Options of
 * pairwise preference models stand here, too. recipe_table.h includes this part, and has the form of a row. */
#pragma once

// clang-format off
#define RECIPE_REWARD(X, C, G) \
    X(number, bias, "0.0", FIXED, FROM(-1e6, 1e6), "taken off each reward, such as the mean reward of demonstrations (Huang 2024)") \
    C(squash, recipe_squash, "none", FIXED, "none|sigmoid|tanh", \
      "the reward x becomes then: x; 1 / (1 + exp(-x / squash_scale)), which bounds what a reward model can promise (PAR, Fu 2025: bias is its reference reward); tanh(x / squash_scale)") \
    X(number, squash_scale, "1.0", FIXED, ABOVE(0, 1e6), "squash: what it divides by") \
    X(number, length_penalty, "0.0", FIXED, FROM(0, 1e6), "taken off for each token of the completion, its end token too") \
    X(count,  overlong_buffer, "0", FIXED, FROM(0, 1048576), "last tokens before overlong_length in which overlong_penalty grows from 0 in a straight line (DAPO, Yu 2025); 0: there is none") \
    X(number, overlong_penalty, "1.0", FIXED, FROM(0, 1e6), "overlong_buffer: taken off a completion of overlong_length tokens or more") \
    X(count,  overlong_length, "0", FIXED, FROM(0, 1048576), "overlong_buffer: the tokens where it ends; 0: generator.max_tokens") \
    X(count,  repeat_ngram, "0", FIXED, FROM(0, 64), "tokens of the n-grams that repeat_penalty looks for within turns that the policy drew; 0: for none") \
    X(number, repeat_penalty, "1.0", FIXED, FROM(0, 1e6), "repeat_ngram: taken off, times the share of the completion's n-grams that occurred before in it") \
    C(missing_eos, recipe_missing_eos, "keep", FIXED, "keep|subtract|replace", \
      "reward of a completion that was cut off at generator.max_tokens: as it is; less missing_eos_penalty; or minus missing_eos_penalty in its place") \
    X(number, missing_eos_penalty, "1.0", FIXED, FROM(0, 1e6), "missing_eos: how much") \
    C(normalize, recipe_normalize, "none", FIXED, "none|std|mean_std", \
      "by the rewards of the run so far, this round's too: not at all; divided by their standard deviation (PPO-max, Zheng 2023); their mean taken off before") \
    X(number, clip, "0.0", FIXED, FROM(0, 1e6), "rewards are held within minus this and this; 0: they are not")

#define RECIPE_PREFERENCE_MODEL(X, C, G) \
    X(text,  template, "", FIXED, TEXT(0, 65536), "the text as Jinja, with messages, prompt, first, second and labels; empty: that of RLHFlow's models (docs/reward-models.md)") \
    C(format, recipe_comparison, "auto", FIXED, "auto|chat|text", \
      "chat: the text is the user's message of the chat template, before an answer; text: it stands alone; auto: chat where the model has a chat template") \
    X(texts, labels, "[]", FIXED, TEXT(1, 64), "two labels of one token each: of the answer shown first, and of the other; none: A and B") \
    X(flag,  bos, "true", FIXED, ANY, "whether the tokens begin with the one that begins texts, as far as the tokenizer has it; RLHFlow's models have none")
// clang-format on
