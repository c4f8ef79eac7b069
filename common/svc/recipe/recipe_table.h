/* Every option of the recipe. A row makes the option's field in struct recipe, its parser and
 * checks, and its place in --help and docs/recipe.md.
 *
 *     X(kind, key, default, LIVE or FIXED, limits, help)    an option; default as a recipe has it
 *     C(key, enum, default, LIVE or FIXED, words, help)     one of the words; recipe.h has the enum
 *     G(key, help)                                          a map: struct recipe_KEY, RECIPE_KEY
 *
 *     kind            its field               its value in a recipe
 *     text            char *                  any text
 *     name            char *                  fit for ids and file names
 *     word            char *                  one of WORDS
 *     path            char *                  RUN/x if it is there, else beside the recipe
 *     output          char *                  RUN/x with --run, else beside the recipe
 *     address         char *                  host:port
 *     count           int64_t                 a whole number
 *     count_or_auto   int64_t                 a whole number, or auto (RECIPE_COUNT_AUTO)
 *     number          double                  a number
 *     number_or_default double                a number, or default (RECIPE_NUMBER_DEFAULT)
 *     flag            bool                    true, false
 *     pair            struct recipe_pair      two numbers
 *     texts           struct recipe_texts     a list of texts, or one
 *     stage           struct recipe_stage     a word, or a map with kind
 *     scorers         struct recipe_scorers   a list of maps with kind
 *     files           struct recipe_files     a path, or a list of paths and of maps {path, weight}
 *
 * The recipe reads the keys of a stage's map that more than one program needs. The other keys
 * belong to the rewarder's stages, which check and document them (rlhfd-rewarder --job check, --job
 * document). Objectives have their words in rl/objective_table.h and rl/word_table.h
 * (OBJECTIVE_WORDS, WORD_LIST). A LIVE option may change during the run. To add an option: a row,
 * its use, a test of its effect. */
#pragma once
#include "svc/recipe/recipe_preference_table.h"
#include "svc/recipe/recipe_reward_table.h"
#include "svc/recipe/recipe_rows_table.h"

// clang-format off

#define RECIPE_ROOT(X, C, G) \
    G(run,        "the run as a whole") \
    G(model,      "the model that is trained") \
    G(lora,       "adapters (LoRA): model.path stands still, and two small matrices beside some of its own train") \
    G(data,       "datasets: JSON lines, one object per row") \
    G(generator,  "rlhfd-generator: decodes completions of leased prompts") \
    G(rewarder,   "rlhfd-rewarder: scores completions") \
    G(learner,    "rlhfd-learner: keeps, draws, trains, publishes") \
    G(lag,        "how far generation may run ahead of training, in rounds") \
    G(publish,    "new weights for the generators") \
    G(replay,     "scored groups on the learner's disk") \
    G(checkpoint, "checkpoints, from which a restart begins") \
    G(eval,       "regular evaluation on data.eval") \
    G(sft,        "supervised training: rlhfctl sft") \
    G(train,      "offline training on preferences: rlhfctl train") \
    G(metrics,    "the pages of every daemon") \
    G(log,        "the lines that every daemon logs") \
    G(net,        "the network")

/* Maps within a section, whose rows are below: S(key, RECIPE_KEY). */
#define RECIPE_GROUPS(S) \
    S(optimizer, RECIPE_OPTIMIZER) \
    S(kl, RECIPE_KL) \
    S(correction, RECIPE_CORRECTION) \
    S(mask, RECIPE_MASK) \
    S(select, RECIPE_SELECT) \
    S(nll, RECIPE_NLL) \
    S(ess_step, RECIPE_ESS_STEP) \
    S(sapo, RECIPE_SAPO) \
    S(vespo, RECIPE_VESPO) \
    S(topr, RECIPE_TOPR) \
    S(a_lol, RECIPE_A_LOL) \
    S(dppo, RECIPE_DPPO) \
    S(crpg, RECIPE_CRPG) \
    S(asymre, RECIPE_ASYMRE) \
    S(dpo, RECIPE_DPO) \
    S(kto, RECIPE_KTO) \
    S(listwise, RECIPE_LISTWISE) \
    S(residual, RECIPE_RESIDUAL) \
    S(ppo, RECIPE_PPO) \
    S(reward, RECIPE_REWARD) \
    S(reward_model, RECIPE_REWARD_MODEL) \
    S(preference_model, RECIPE_PREFERENCE_MODEL) \
    S(filter, RECIPE_FILTER) \
    S(critic, RECIPE_CRITIC) \
    S(reference, RECIPE_REFERENCE) \
    S(rows, RECIPE_ROWS) \
    S(tdpo, RECIPE_TDPO) \
    S(contrast, RECIPE_CONTRAST) \
    S(ift, RECIPE_IFT)

#define RECIPE_RUN(X, C, G) \
    X(name,  name,   "run", FIXED, TEXT(1, 64),           "name of the run in status, logs and group ids") \
    X(count, seed,   "1",   FIXED, FROM(0, 0x1p53),       "seed of every random draw; the same seed and settings give the same draws") \
    X(count, rounds, "200", LIVE,  FROM(0, 1e9),          "rounds after which the run ends, unless the data (data.epochs) ends it before; 0: the data alone does") \
    C(on_complete, recipe_on_complete, "exit", FIXED, "exit|stay", \
      "a learner whose run is complete ends with status 0, or stays, ready and for status, until it is drained: where a supervisor would start it again") \
    C(mixed_numerics, recipe_mixed_numerics, "tolerate", FIXED, "tolerate|refuse", \
      "workers whose log-probabilities have other bits than the learner's (another build or architecture): trained with and measured (kl_mismatch), or refused at the start")

#define RECIPE_MODEL(X, C, G) \
    X(path, path, "", FIXED, ANY, "Hugging Face directory of the model that training starts from") \
    C(kv, recipe_kv, "bf16", FIXED, "fp32|bf16", \
      "format of cached keys and values, in generation and training alike; fp32 does not round, doubles the cache and is the CPU's alone") \
    C(head, recipe_head, "float32", FIXED, "bf16|float32", \
      "products by the vocabulary head, on a GPU: of values rounded to bf16, which is faster, or of float32; the CPU never rounds")

#define RECIPE_LORA(X, C, G) \
    X(count,  r,              "0",     FIXED, FROM(0, 1024),     "rank; 0: no adapter, all weights train (unless path is set)") \
    X(number, alpha,          "16.0",  FIXED, ABOVE(0, 1e6),     "of the scale alpha / r") \
    X(texts,  target_modules, "[]",    FIXED, TEXT(1, 256),      "modules that get one, by PEFT's names (q_proj, c_attn, query_key_value), or all-linear; none: those that PEFT takes for the family") \
    X(flag,   use_rslora,     "false", FIXED, ANY,               "scale by alpha / sqrt(r) instead") \
    X(number, dropout,        "0.0",   FIXED, FROM(0, 1),        "must be 0: generator and learner compute the same log-probabilities to the bit") \
    C(init,   recipe_lora_init, "kaiming", FIXED, "kaiming|gaussian", \
      "how A begins, drawn from run.seed, while B begins at 0: uniform within 1 / sqrt(columns), or normal with deviation 1 / r") \
    X(path,   path,           "",      FIXED, ANY,               "PEFT's directory of an adapter to go on from, which says rank, scale and modules itself")

#define RECIPE_DATA(X, C, G) \
    X(files, train,             "",           FIXED, ANY,             "rows to train on (docs/datasets.md); several files are mixed by their weights") \
    X(path,  eval,              "",           FIXED, ANY,             "prompts for evaluation; not set: no evaluation") \
    X(count, epochs,            "0",          FIXED, FROM(0, 1e9),    "passes over the data, unless run.rounds end the run before; 0: as many as they take") \
    X(flag,  shuffle,           "true",       FIXED, ANY,             "whether each epoch has another order, drawn from run.seed") \
    X(text,  prompt_column,     "prompt",     FIXED, TEXT(1, 256),    "column of a row that holds the prompt: text, or a list of messages") \
    X(text,  completion_column, "completion", FIXED, TEXT(1, 256),    "column of a row that holds the demonstrated answer (sft), of the prompt's kind") \
    X(text,  text_column,       "text",       FIXED, TEXT(1, 256),    "column of a row that is one text without a prompt (sft)") \
    C(boundary, recipe_boundary, "tokens", FIXED, "tokens|text", \
      "tokens: an answer follows the tokens that its prompt has alone, as in generation; text: both are one text, as in TRL, where a token may lie across them (sft)") \
    X(flag,  add_special_tokens, "false",     FIXED, ANY,             "whether a row of text gets what tokenizer.json's post_processor puts around one, as <s> before it") \
    X(count, now,               "1767225600", FIXED, FROM(0, 0x1p40), "the time that chat templates see, in seconds since 1970 (UTC); the same in every process") \
    C(special_tokens, recipe_special_tokens, "text", FIXED, "text|tokens", \
      "special tokens that a prompt or an answer spells (as <eos>) stay text, or become tokens, as in rows that a chat template has made") \
    X(count, max_prompt_tokens, "512",        FIXED, FROM(1, 1048576), "longest prompt in tokens; longer ones are skipped and counted")

/* One entry of a list of files. */
#define RECIPE_FILE(X, C, G) \
    X(path,   path,   "",    FIXED, ANY,            "JSON lines, or such a file compressed by zstd; required") \
    X(number, weight, "1.0", FIXED, ABOVE(0, 1000), "how often an epoch passes over its rows: 2: each twice, 0.5: half of them, the other half in the next epoch")

#define RECIPE_GENERATOR(X, C, G) \
    X(address, listen,   "127.0.0.1:7001", FIXED, ANY,           "address of its services") \
    X(text,   admin,    "",               FIXED, TEXT(0, 200),  "address of the admin services; empty: that of listen, the port 10 higher") \
    X(text,   probes,   "",               FIXED, TEXT(0, 200),  "address of /livez and /readyz, one word in plain HTTP; empty: that of listen, the port 100 higher") \
    X(text,   metrics,  "",               FIXED, TEXT(0, 200),  "address of /metrics and the reasons of /readyz; empty: that of listen, the port 200 higher") \
    X(address, rewarder, "127.0.0.1:7002", FIXED, ANY,           "address of the rewarder, which gets finished groups") \
    X(address, learner,  "127.0.0.1:7003", FIXED, ANY,           "address of the learner, which gives prompts and weights") \
    X(text,   address,  "",               FIXED, TEXT(0, 200),  "address for other generators (publish.fanout); empty: listen, unless listen is a wildcard") \
    X(name,   name,     "",               FIXED, TEXT(0, 64),   "name of this generator in status and groups; empty: that of its certificate (net.tls), or host and process") \
    X(count,  count,    "1",              FIXED, FROM(1, 64),   "processes that `rlhfctl up` starts") \
    X(count_or_auto, threads, "auto",   FIXED, FROM(1, 1024), "compute threads; auto: as many as the CPU limit of its control group, rounded up, else 1") \
    X(text,   cpus,     "",               FIXED, TEXT(0, 1024), "cores to which the process is bound, such as 0-3,8; empty: any") \
    C(backend, recipe_backend, "auto", FIXED, "auto|cpu|cuda", \
      "device of the model; auto: a GPU if there is one and a module that runs all of it, else the CPU; cuda: a GPU, or no start") \
    X(text,   device,   "0",              FIXED, TEXT(1, 400),  "number of the GPU that it takes, as CUDA counts them (CUDA_VISIBLE_DEVICES). Of a list, as 0,1, the n-th process that `rlhfctl up` starts takes the n-th, in turn") \
    X(count,  slots,    "256",            FIXED, FROM(1, 65536), "completions decoded at once; memory grows with it") \
    X(count,  kv_bytes, "0",             FIXED, FROM(0, 0x1p50), "memory for keys and values; when it is full the youngest completions wait. 0: enough for the longest completion in every slot") \
    X(count,  step_rows, "512",           FIXED, FROM(1, 65536), "tokens computed in one step, prompts' and new ones together") \
    X(count,  num_generations, "4",       FIXED, FROM(1, 1024), "completions of one prompt: a group, of at most 64 MiB with all that is added on its way") \
    X(flag,   greedy_baseline, "false",   FIXED, ANY, "the last completion of a prompt takes the likeliest tokens: others are compared with it (learner.advantage: greedy), and it is not trained") \
    X(count,  max_tokens, "256",          FIXED, FROM(1, 1048576), "longest completion in tokens; longer ones are cut off") \
    X(number, temperature, "1.0",         FIXED, FROM(0.001, 100), "sampling temperature") \
    X(number, top_p,    "1.0",            FIXED, ABOVE(0, 1),   "sampling takes the likeliest tokens, up to this total probability") \
    X(count,  top_k,    "0",              FIXED, FROM(0, 1e7),  "sampling takes so many of the likeliest tokens; 0: all") \
    X(number, min_p,    "0.0",            FIXED, FROM(0, 1),    "sampling takes tokens of at least this share of the highest probability") \
    X(number, repetition_penalty, "1.0",  FIXED, FROM(0.01, 100), "divisor for logits of tokens that occur already (factor for negative logits); 1: none") \
    X(texts,  stop,     "[]",             FIXED, TEXT(1, 256),  "texts that end a completion; its text ends before them") \
    X(texts,  stop_tokens, "[]",          FIXED, TEXT(1, 256),  "tokens that end a completion, beside the model's end tokens; as tokenizer.json writes them") \
    C(in_flight, recipe_in_flight, "continue", FIXED, "continue|recompute|finish", \
      "effect of new weights on unfinished sequences: continue; recompute their cache and continue; or finish first")

#define RECIPE_REWARDER(X, C, G) \
    X(address, listen,   "127.0.0.1:7002", FIXED, ANY,           "address of its services") \
    X(text,   admin,    "",               FIXED, TEXT(0, 200),  "address of the admin services; empty: that of listen, the port 10 higher") \
    X(text,   probes,   "",               FIXED, TEXT(0, 200),  "address of /livez and /readyz, one word in plain HTTP; empty: that of listen, the port 100 higher") \
    X(text,   metrics,  "",               FIXED, TEXT(0, 200),  "address of /metrics and the reasons of /readyz; empty: that of listen, the port 200 higher") \
    X(address, learner,  "127.0.0.1:7003", FIXED, ANY,           "address of the learner, which gets scored groups") \
    X(name,   name,     "",               FIXED, TEXT(0, 64),   "name of this rewarder, whose keys are below net.tls; empty: rewarder") \
    X(count,  count,    "1",              FIXED, FROM(1, 64),   "processes that `rlhfctl up` starts") \
    X(count_or_auto, threads, "auto",   FIXED, FROM(1, 1024), "scoring threads; the reference has as many of its own; auto: as generator.threads has it") \
    X(text,   cpus,     "",               FIXED, TEXT(0, 1024), "cores to which the process is bound, such as 0-3,8; empty: any") \
    C(backend, recipe_backend, "auto", FIXED, "auto|cpu|cuda", \
      "device of the reference and of reward models, as generator.backend") \
    X(count,  device,   "0",              FIXED, FROM(0, 1023), "number of the GPU that it takes, as CUDA counts them") \
    X(scorers, scorers, "[]",             FIXED, ANY,           "their scores, times their weights, added, are the reward") \
    X(stage,  reference, "none",          FIXED, WORDS("none|frozen"), "a model whose log-probabilities are added to groups; as a map: kind, and the keys of the stage") \
    X(path,   reference_path, "",         FIXED, ANY,           "its Hugging Face directory; empty: model.path")

/* One entry of rewarder.scorers: what the learner and rlhfctl read of it. */
#define RECIPE_SCORER(X, C, G) \
    X(name,   kind,    "",    FIXED, TEXT(0, 64),       "which stage computes it; required") \
    X(name,   name,    "",    FIXED, TEXT(0, 64),       "in metrics; empty: its kind") \
    X(number, weight,  "1.0", FIXED, FROM(-1e6, 1e6),   "of its score in the reward") \
    X(number, success, "1.0", FIXED, FROM(-1e6, 1e6),   "a score from here on counts as success in metrics")

#define RECIPE_LEARNER(X, C, G) \
    X(address, listen,  "127.0.0.1:7003", FIXED, ANY,           "address of its services") \
    X(text,   admin,    "",               FIXED, TEXT(0, 200),  "address of the admin services; empty: that of listen, the port 10 higher") \
    X(text,   probes,   "",               FIXED, TEXT(0, 200),  "address of /livez and /readyz, one word in plain HTTP; empty: that of listen, the port 100 higher") \
    X(text,   metrics,  "",               FIXED, TEXT(0, 200),  "address of /metrics and the reasons of /readyz; empty: that of listen, the port 200 higher") \
    X(count_or_auto, threads, "auto",  FIXED, FROM(1, 1024), "compute threads; auto: as generator.threads has it") \
    X(text,   cpus,    "",               FIXED, TEXT(0, 1024), "cores to which the process is bound, such as 0-3,8; empty: any") \
    C(backend, recipe_backend, "auto", FIXED, "auto|cpu|cuda", \
      "device of training, as generator.backend") \
    X(count,  device,   "0",              FIXED, FROM(0, 1023), "number of the GPU that it takes, as CUDA counts them") \
    X(word,   objective, OBJECTIVE_DEFAULT, FIXED, WORDS(OBJECTIVE_WORDS), "objective of training (see Objectives)") \
    X(count,  groups,  "64",             FIXED, FROM(1, 1048576), "groups trained in one round") \
    X(count,  updates_per_round, "1",    FIXED, FROM(1, 1024), "optimizer steps of one round: epochs times minibatches") \
    X(count,  epochs, "1",               FIXED, FROM(1, 1024), "passes over a round's groups; divides updates_per_round") \
    X(count,  micro_tokens, "4096",      FIXED, FROM(16, 16777216), "tokens computed at once; more take more memory and change no result") \
    X(flag,   gradient_checkpointing, "false", FIXED, ANY, "keep each layer's input alone and compute the rest again: less memory, a third more work, the same bits") \
    X(count,  lease_ms, "600000",        LIVE,  FROM(1000, 86400000), "milliseconds after which a leased group that has not come back is leased again") \
    X(count,  lease_grace_ms, "5000",    LIVE,  FROM(0, 86400000), "milliseconds after which the leases of a generator that has gone are given to the others; not while all have gone, nor in the learner's first 30 s") \
    X(count,  unusable_slots, "64",      LIVE,  FROM(0, 1e9), "slots in a row without a usable group (rows that cannot be used, groups that cannot be scored or trained) which pause generation; 0: never") \
    X(count,  samples, "0",              LIVE,  FROM(0, 1048576), "groups of each round whose completions are written to RUN/samples.jsonl: prompt, text, reward, scores; 0: none") \
    C(last_batch, recipe_last_batch, "short", FIXED, "short|drop", "at the end of the data: a smaller round, or none") \
    X(word,   advantage, "default",      FIXED, WORDS(WORD_LIST_AFTER("default", ADVANTAGES)), \
      "how much better a completion is than the others, from its reward; default: as the objective has it") \
    X(number, advantage_epsilon, "1e-4", LIVE,  FROM(0, 1),    "added to the standard deviation that advantages are divided by (group_z, batch_z)") \
    X(number, baseline_decay, "0.9",     LIVE,  FROM(0, 1),    "of the running mean of rewards that is the baseline, a round (advantage: ema)") \
    X(number, advantage_beta, "0.5",     LIVE,  ABOVE(0, 1e6), "temperature of a group's value (advantage: soft_value)") \
    X(word,   normalize_advantages, "default", FIXED, WORDS("default|true|false"), \
      "whether advantages of completions, and of to_go, are brought to mean 0 and standard deviation 1 over the round's tokens. TRL's rloo takes its completions instead. default: as the objective has it") \
    X(word,   gate, "default",           FIXED, WORDS(WORD_LIST_AFTER("default", GATES)), \
      "how the ratio to older weights limits a step; default: as the objective has it") \
    X(number_or_default, epsilon, "default", LIVE, FROM(0, 1), "ratios are clipped below 1 - epsilon (gate: clip), their logarithms held above -epsilon (geo_clip); default: as the objective has it, mostly 0.2") \
    X(number_or_default, epsilon_high, "default", LIVE, FROM(0, 100), "ratios are clipped above 1 + epsilon_high (gate: clip), their logarithms held below it (geo_clip); default: as epsilon, or as the objective has it") \
    X(number_or_default, delta, "default", LIVE, FROM(0, 1e6), "highest ratio of a completion that is worse than the others, from 1 on (gate: clip; dual clip, Ye 2020). 0: no limit; default: as the objective has it, mostly 0") \
    X(number_or_default, cap, "default", LIVE,  ABOVE(0, 1e6), "highest ratio (gate: cap); default: as the objective has it, mostly 2") \
    X(word,   importance_sampling_level, "default", FIXED, WORDS(WORD_LIST_AFTER("default", RATIOS)), \
      "unit of one ratio; default: as the objective has it") \
    C(ratio_to, recipe_ratio_to, "behaviour", FIXED, "behaviour|proximal", \
      "denominator of ratios: the generator's log-probability, or that of the weights with which the round begins; objectives with a critic always take the latter") \
    X(word,   reduction, "default",      FIXED, WORDS(WORD_LIST_AFTER("default", REDUCTIONS)), \
      "how losses of tokens become one number; default: as the objective has it") \
    X(count,  reduction_length, "0",     LIVE,  FROM(0, 1e9),  "tokens that a completion counts as (reduction: const_norm); 0: generator.max_tokens") \
    X(flag,   mask_truncated_completions, "false", LIVE, ANY, \
      "completions without an end token (cut off at max_tokens) train nothing; their rewards still count in advantages, and losses are divided as if they were there") \
    X(count,  max_token_lag, "0", LIVE,  FROM(0, 1e6), \
      "tokens drawn more than so many versions before the first of the round train nothing, divided likewise; 0: all train") \
    X(number_or_default, behaviour_coef, "default", LIVE, FROM(0, 1e6), \
      "weight of (logp - behaviour logp)^2 of each token, which holds the policy near those that drew it; default: as the objective has it, mostly 0") \
    G(optimizer,  "AdamW") \
    G(mask,       "what is left out for its distance from those who drew it; losses are divided as if it were there") \
    G(select,     "the completions of a group that are trained") \
    G(nll,        "the likelihood of good completions as a further term of the loss (VAPO)") \
    G(ess_step,   "learning rates that shrink with the effective sample size of completions (VCPO)") \
    G(sapo,       "gate: soft") \
    G(vespo,      "gate: bell") \
    G(topr,       "gate: taper") \
    G(a_lol,      "gate: band") \
    G(dppo,       "gate: tv") \
    G(crpg,       "gate: kl_cap") \
    G(asymre,     "advantage: shifted") \
    G(correction, "weights for the gap between generator and the round's first weights; with ratio_to: proximal") \
    G(dpo,        "objectives on pairs: the best and the worst of a group as a pair; default: as the objective has it") \
    G(kto,        "objectives on labels: each completion is desirable or not") \
    G(listwise,   "objectives on lists: all completions of a group in the order of their rewards") \
    G(residual,   "objectives on residuals: squares of what rewards leave unexplained of log-ratios") \
    G(ppo,        "objectives with a critic: advantages of tokens, and the critic's loss") \
    G(reward,     "what becomes of a completion's reward before it is compared, in this order; reports have it as it was scored") \
    G(preference_model, "the objective pairwise_preference: how two answers are shown, each row in both orders") \
    G(filter,     "scored groups that are not worth training: they leave as filtered, and others are drawn in their place") \
    G(critic,     "the critic of objectives that have one") \
    G(reward_model, "objectives that train a reward model (rlhfctl reward train)") \
    G(kl,         "distance from the reference model") \
    G(reference,  "the reference model, where the learner itself keeps it: one that moves, and one whose whole distributions are compared") \
    G(rows,       "terms of whole distributions of the next token, with any objective") \
    G(tdpo,       "the objectives tdpo1 and tdpo2; their beta is learner.dpo.beta") \
    G(contrast,   "the objectives unlikelihood and cringe") \
    G(ift,        "the objective ift")

#define RECIPE_OPTIMIZER(X, C, G) \
    X(number, lr,           "3e-4",         LIVE, ABOVE(0, 1),    "learning rate, after warm-up") \
    X(pair,   betas,        "[0.9, 0.999]", FIXED, BELOW(0, 1),   "decay of the two moments") \
    X(number, eps,          "1e-8",         FIXED, ABOVE(0, 1),   "added to the root of the second moment") \
    X(number, weight_decay, "0.0",          LIVE, FROM(0, 1),     "decoupled decay of matrices") \
    X(number, clip_norm,    "1.0",          LIVE, FROM(0, 1e9),   "gradients are scaled down to this norm; 0: never") \
    X(word,   schedule,     "constant",     FIXED, WORDS("constant|linear|cosine"), "course of the learning rate after warm-up, to the last update; where that moves, what is left is spread anew") \
    X(count,  warmup,       "0",            FIXED, FROM(0, 1e9),  "updates over which the learning rate rises") \
    X(number, min_lr_ratio, "0.1",          FIXED, FROM(0, 1),    "the last update's learning rate, as a share of lr") \
    C(states, recipe_states, "device", FIXED, "device|host", \
      "memory of masters and moments, 12 bytes a parameter that trains: the GPU's; or the host's, from where they pass through the GPU in each update (the same bits). No effect on the CPU")

#define RECIPE_CORRECTION(X, C, G) \
    X(word,   kind, "default", FIXED, WORDS(WORD_LIST_AFTER("default", CORRECTIONS)), "how the importance weight is limited; default: as the objective has it, mostly tis_token") \
    X(number_or_default, low,  "default", LIVE, FROM(0, 1e6), "smallest weight that counts (mis, geo_mask); default: 0") \
    X(number_or_default, high, "default", LIVE, FROM(0, 1e6), "largest weight; default: as the objective has it, mostly 2")

#define RECIPE_MASK(X, C, G) \
    X(word,   kind, "default", FIXED, WORDS(WORD_LIST_AFTER("default", MASKS)), "by which distance; default: as the objective has it, mostly none") \
    X(number_or_default, low, "default", LIVE, FROM(0, 1e6), "smallest q that counts (geo, outlier); default: 0.99, 1e-4") \
    X(number_or_default, high, "default", LIVE, FROM(0, 1e6), "largest q, or distance; default: 1.01 (geo), 0.01 (k3), 100 (outlier), 0.5 (opsm), 0.04 (m2)")

#define RECIPE_SELECT(X, C, G) \
    X(word,   kind, "default", FIXED, WORDS(WORD_LIST_AFTER("default", SELECTIONS)), "which; default: as the objective has it, mostly all") \
    X(number, above, "0.0", LIVE, FROM(-1e6, 1e6), "reward above which a completion is trained (threshold)") \
    X(number, power, "2.0", LIVE, FROM(0, 100), "exponent of a reward's size, to which a completion's chance is proportional (power)")

#define RECIPE_NLL(X, C, G) \
    X(number_or_default, coef, "default", LIVE, FROM(0, 1e6), "its weight; default: as the objective has it, mostly 0") \
    X(number, above, "0.0", LIVE, FROM(-1e6, 1e6), "reward above which a completion is good") \
    X(word,   reduction, "default", FIXED, WORDS(WORD_LIST_AFTER("default", REDUCTIONS)), "how it becomes one number, over the good completions alone; default: as the objective has it, mostly token_mean")

#define RECIPE_ESS_STEP(X, C, G) \
    X(word,   rule, "default", FIXED, WORDS(WORD_LIST_AFTER("default", STEP_RULES)), "how; default: as the objective has it, mostly none") \
    X(number, base, "1.0", LIVE, ABOVE(0, 1), "effective sample size, a share of the completions, from which on a step is full")

#define RECIPE_SAPO(X, C, G) \
    X(number, temperature_pos, "1.0",  LIVE, ABOVE(0, 1e6), "tau of tokens with A > 0") \
    X(number, temperature_neg, "1.05", LIVE, ABOVE(0, 1e6), "tau of the others")

#define RECIPE_VESPO(X, C, G) \
    X(number, k_pos,      "2.0", LIVE, FROM(0, 100), "exponent k of completions with A >= 0") \
    X(number, lambda_pos, "3.0", LIVE, FROM(0, 100), "lambda of these") \
    X(number, k_neg,      "3.0", LIVE, FROM(0, 100), "exponent k of the others") \
    X(number, lambda_neg, "2.0", LIVE, FROM(0, 100), "lambda of these")

#define RECIPE_TOPR(X, C, G) \
    X(number, positive, "1.0", LIVE, FROM(0, 1e6), "weight of completions with A >= 0") \
    X(number, low,      "0.0", LIVE, FROM(0, 1e6), "smallest weight of the others") \
    X(number, high,     "1.0", LIVE, FROM(0, 1e6), "largest weight of the others")

#define RECIPE_A_LOL(X, C, G) \
    X(number, low,  "0.1", LIVE, FROM(0, 1e6), "smallest weight") \
    X(number, high, "1.9", LIVE, FROM(0, 1e6), "largest weight")

#define RECIPE_DPPO(X, C, G) \
    X(number, delta, "0.2", LIVE, FROM(0, 1), "how far a token's probability may move")

#define RECIPE_CRPG(X, C, G) \
    X(number, kl_max, "10.0", LIVE, ABOVE(0, 1e6), "distance of a completion from the reference, in nats, from which on it weighs 0")

#define RECIPE_ASYMRE(X, C, G) \
    X(number, delta_v, "-0.1", LIVE, FROM(-1e6, 1e6), "added to the mean of the group that is the baseline; below 0 it is safe off policy")

#define RECIPE_FILTER(X, C, G) \
    X(flag,   zero_variance, "false", LIVE, ANY, "groups whose completions all have the same reward leave (dynamic sampling, DAPO)") \
    X(number, truncated, "1.0", LIVE, FROM(0, 1), "groups leave of which more than this share of completions was cut off at generator.max_tokens; 1: none") \
    X(count,  patience, "4096", LIVE, FROM(0, 1e9), "groups filtered in a row which pause generation; 0: never")

#define RECIPE_PPO(X, C, G) \
    X(number, gamma,  "1.0",  LIVE, FROM(0, 1), "discount of rewards, a token") \
    X(number_or_default, lambda, "default", LIVE, FROM(0, 1), "share of what later tokens tell beyond the next value (GAE, Schulman 2016). 1: the rewards that came, 0: the next value alone; default: as the objective has it, mostly 0.95") \
    X(number_or_default, lambda_alpha, "default", LIVE, FROM(0, 1e6), "alpha of a lambda of the advantages alone, 1 - 1/(alpha T) for a completion of T tokens (VAPO); 0: lambda; default: as the objective has it, mostly 0") \
    X(count,  macro, "0", FIXED, FROM(0, 1048576), "tokens that are one action (MA-RLHF); 1: each is one; 0: as the objective has it, mostly 1") \
    X(number, rho_bar, "1.0", LIVE, ABOVE(0, 1e6), "largest importance weight of a token that older weights drew, in its loss and in its target (V-trace)") \
    X(number, c_bar,   "1.0", LIVE, ABOVE(0, 1e6), "the same of what later tokens tell of earlier ones (V-trace)") \
    C(truncated, recipe_truncated, "terminal", FIXED, "terminal|bootstrap", \
      "a completion that was cut off at generator.max_tokens: it ends there, or goes on with the critic's value of its end") \
    X(flag,   whiten_advantages, "true",  FIXED, ANY, "advantages are brought to mean 0 and standard deviation 1 over the round") \
    X(flag,   whiten_rewards,    "false", FIXED, ANY, "rewards of tokens are brought to standard deviation 1 over the round; their mean stays") \
    X(number, cliprange_value, "0.2", LIVE, FROM(0, 1e6), "how far the loss lets a value move from the one that its target was made with; 0: without a limit") \
    X(number, vf_coef, "1.0", LIVE, FROM(0, 1e6), "factor of the critic's loss")

#define RECIPE_CRITIC(X, C, G) \
    C(model, recipe_critic_model, "separate", FIXED, "separate|shared", \
      "a model of its own, or a head on the policy's hidden states, whose slopes then train the policy's trunk, too") \
    X(path,  path, "", FIXED, ANY, "Hugging Face directory that a separate critic starts from: a language model, or a reward model of one label; empty: model.path") \
    C(head, recipe_critic_head, "zero", FIXED, "zero|normal", \
      "where the value's head starts if the directory has none: 0, or N(0, 0.02^2) drawn from run.seed, as transformers and TRL have it") \
    C(values, recipe_critic_values, "round", FIXED, "round|epoch", \
      "weights whose values and targets are trained towards: the round's first, or those with which each pass over the round begins") \
    X(count, warmup_rounds, "0", FIXED, FROM(0, 1e9), "first rounds of the run in which the critic alone is trained (with shared: the head alone); they make versions without a change") \
    G(optimizer, "AdamW of the critic; its schedule counts the critic's own updates")

#define RECIPE_REWARD_MODEL(X, C, G) \
    C(head, recipe_critic_head, "normal", FIXED, "zero|normal", \
      "where the score's head starts if model.path has none: 0, or N(0, 0.02^2) drawn from run.seed, as transformers and TRL have it") \
    X(text,   pad_token, "", FIXED, TEXT(0, 256), "token that pads sequences in the written model's files, which must not end texts; empty: the model's own") \
    X(flag,   standardize, "false", FIXED, ANY, "reward_regression: ratings are trained as their distance from data.train's mean in its standard deviations (RUN/ratings.json has both)") \
    X(number, center_rewards_coefficient, "0.0", FIXED, FROM(0, 1e6), "factor of the squared sum of a pair's scores, which holds their mean near 0 (Eisenstein 2023); 0: none")

#define RECIPE_KL(X, C, G) \
    X(number, coef,      "0.0",  LIVE,  FROM(0, 1e6), "weight of the distance; 0: none, and no reference is needed") \
    C(place, recipe_kl_place, "loss", FIXED, "loss|reward", "place of the distance: a term of the loss, or taken off the reward") \
    C(logp, recipe_kl_logp, "behaviour", FIXED, "behaviour|proximal", \
      "place: reward: distance of the generator's log-probability, or of that of the weights with which the round begins") \
    X(word,   estimator, "default", FIXED, WORDS(WORD_LIST_AFTER("default", KLS)), \
      "estimator of the distance from sampled tokens (Schulman 2020); default: k3 in the loss, k1 in the reward") \
    X(number, target,  "0.0",    LIVE,  FROM(0, 1e6), "distance per completion, in nats, to which coef is steered (Ziegler 2019); 0: coef stays") \
    X(count,  horizon, "10000",  LIVE,  FROM(1, 1e9), "completions over which coef is steered")

#define RECIPE_LAG(X, C, G) \
    X(count_or_auto, max, "1",  LIVE, FROM(0, 1000), "rounds that a trained group may be behind; 0: strictly in turn; auto: as many as keep the learner busy") \
    C(straggler, recipe_straggler, "wait", LIVE, "wait|drop", "treatment of a group that holds up a round: wait for it, or drop it") \
    C(on_stale, recipe_on_stale, "drop", LIVE, "drop|keep", \
      "treatment of a group over lag.max: drop it, or keep it; with keep, pacing aims at max, and hard_max is the promise") \
    X(count, hard_max,  "16",   LIVE, FROM(0, 1000), "on_stale: keep: most rounds that a trained group may be behind") \
    X(count, auto_at,   "1",    LIVE, FROM(0, 1000), "max: auto: limit at the start, then the present one; kept within auto_min and auto_max") \
    X(count, auto_min,  "0",    LIVE, FROM(0, 1000), "max: auto: lowest limit") \
    X(count, auto_max,  "8",    LIVE, FROM(0, 1000), "max: auto: highest limit") \
    X(pair,  auto_idle, "[0.03, 0.1]", LIVE, FROM(0, 1), \
      "max: auto: idle shares of generators and learner; the limit rises while both are over theirs") \
    X(pair,  auto_ess,  "[0.8, 0.9]", LIVE, FROM(0, 1), \
      "max: auto: effective sample size as a share of the tokens; the limit falls below the first, and rises only above the second") \
    X(pair,  auto_kl,   "[0.01, 0.03]", LIVE, FROM(0, 1e6), \
      "max: auto: distance from behaviour to the trained weights (k3, nats per token); the limit falls above the second, and rises only below the first") \
    X(count, auto_rounds, "8",  LIVE, FROM(1, 1e6), "max: auto: rounds between two changes of the limit")

#define RECIPE_PUBLISH(X, C, G) \
    X(count, every, "1", LIVE, FROM(1, 1001), "rounds between versions that generators get; up to lag.max + 1 (lag.auto_min + 1)") \
    X(flag,  delta, "true", FIXED, ANY, "send the changes since the version that a generator has; false: always all values") \
    C(compress, recipe_compress, "auto", FIXED, "auto|none|zstd", "compression of changes; auto: zstd except on loopback") \
    X(count, anchor_every, "64", FIXED, FROM(0, 1e9), "versions between those that generators verify in full, in the background; 0: none") \
    X(count, full_at_once, "2", FIXED, FROM(1, 65536), "generators that are sent all values at the same time; others wait their turn") \
    X(count, fanout, "0", FIXED, FROM(0, 4096), "generators to which the learner, and each generator in turn, sends weights; 0: the learner sends to all") \
    X(count, relay_ms, "10000", FIXED, FROM(100, 3600000), "milliseconds without a sign of life from a relaying generator, after which weights come from the learner again") \
    C(transport, recipe_transport, "grpc", FIXED, "grpc|nccl|auto", "transport of versions; nccl: broadcast between GPUs, gRPC beside it; auto: nccl where its library and a GPU are there") \
    X(flag,  nccl_plaintext, "false",        FIXED, ANY, "with net.tls: broadcast by NCCL all the same, though its connections are neither encrypted nor authenticated") \
    X(text,  nccl_library,   "libnccl.so.2", FIXED, TEXT(1, 4096), "NCCL's library, opened at run time: a name that the system finds, or a path") \
    X(text,  cudart_library, "",             FIXED, TEXT(0, 4096), "library of CUDA's runtime, likewise; empty: libcudart.so of a known version") \
    X(count, bucket_bytes, "33554432", FIXED, FROM(1, 0x1p30), "bytes of one NCCL broadcast; twice as many of the GPU's memory are kept for it") \
    X(count, settle_ms,  "500",   FIXED, FROM(1, 3600000), "NCCL: wait for more generators after one has come, before the group is made anew") \
    X(count, gather_ms,  "2000",  FIXED, FROM(1, 3600000), "NCCL: time limit for answers to an invitation") \
    X(count, connect_ms, "30000", FIXED, FROM(1, 3600000), "NCCL: time limit for all to connect") \
    X(count, carry_ms,   "10000", FIXED, FROM(1, 3600000), "NCCL: time limit for a version; then its rest goes over gRPC, and the generator that held it up stays out for a while") \
    X(count, end_ms,     "2000",  FIXED, FROM(1, 3600000), "NCCL: time limit for all to leave a group") \
    X(count, retry_ms,   "5000",  FIXED, FROM(1, 3600000), "NCCL: pause before the next attempt with a generator that failed; doubles up to 64 times")

#define RECIPE_REPLAY(X, C, G) \
    C(policy, recipe_policy, "fifo", FIXED, "fifo|uniform|priority", \
      "choice of stored groups for a round: the oldest; any, drawn from run.seed; or rather groups whose rewards differ more") \
    X(number, priority_exponent, "1.0",   FIXED, FROM(0, 10),  "exponent of the mean distance from a group's mean reward, to which its chance is proportional (priority); 0: all alike") \
    X(count, max_uses,       "1",         FIXED, FROM(1, 1000), "rounds that may train a group, each once; at most lag.max + 1. A group counts as waiting as often as it may still be used") \
    X(count, max_groups,     "4096",      FIXED, FROM(1, 1e8), "groups kept for training; at least (lag.max or lag.auto_max, + 1) * learner.groups") \
    X(count, min_free_bytes, "268435456", LIVE,  FROM(0, 0x1p50), "free bytes of the disk below which no new leases are given")

#define RECIPE_CHECKPOINT(X, C, G) \
    X(count, every, "50", LIVE, FROM(1, 1e9),  "rounds between checkpoints") \
    X(count, keep,  "3",  LIVE, FROM(1, 1000), "newest checkpoints that stay on disk")

#define RECIPE_EVAL(X, C, G) \
    X(count,  every,       "0",   FIXED, FROM(0, 1e9),  "rounds between evaluations, of the first and the last version too; 0: none") \
    X(count,  prompts,     "512", FIXED, FROM(1, 1e7),  "rows of data.eval, from its beginning") \
    X(number, temperature, "0.0", FIXED, FROM(0, 100),  "sampling temperature, from 0.001 on; 0: the likeliest token")

#define RECIPE_SFT(X, C, G) \
    X(path,   model,  "",    FIXED, ANY,                 "Hugging Face directory to start from") \
    X(files,  data,   "",    FIXED, ANY,                 "demonstrations: rows of text, of prompt and completion, or of messages (docs/datasets.md)") \
    X(output, output, "",    FIXED, ANY,                 "directory to write; empty: model.path") \
    X(word,   objective, "sft", FIXED, WORDS(OBJECTIVE_WORDS), "one of the objectives on demonstrations (rlhfctl objectives list); its keys are the learner's") \
    X(count,  steps,  "600", FIXED, FROM(0, 1e9),        "updates, unless the data (epochs) ends before; 0: the data alone ends it") \
    X(count,  epochs, "0",   FIXED, FROM(0, 1e6),        "passes over the data, unless steps end before; 0: as many as they take") \
    X(count,  batch,  "256", FIXED, FROM(1, 1048576),    "rows in one update") \
    X(count,  seed,   "1",   FIXED, FROM(0, 0x1p53),     "seed of the order of rows and of new weights") \
    X(number, prompt_weight, "0.0", FIXED, FROM(0, 1),   "weight of the loss on prompt tokens; completions have 1") \
    X(flag,   completion_only_loss, "true", FIXED, ANY,  "rows with a prompt: their loss is on the completion alone; false: on all of their tokens") \
    X(flag,   assistant_only_loss, "false", FIXED, ANY,  "rows of messages: their loss is on the assistant's text alone, which the chat template marks by {% generation %}") \
    X(count,  max_tokens, "512", FIXED, FROM(2, 1048576), "longest row in tokens; longer ones are skipped and counted") \
    X(count_or_auto, threads, "auto", FIXED, FROM(1, 1024), "compute threads; auto: as generator.threads has it") \
    X(flag,   lora,   "false", FIXED, ANY,               "train an adapter beside sft.model, as the section lora says, and write that alone") \
    G(optimizer, "AdamW")

#define RECIPE_TRAIN(X, C, G) \
    X(count,  chunks, "1", FIXED, FROM(0, 1024), \
      "parts of the rows of data.train, one trained after another, data.epochs passes over each. With each the reference becomes the model as it is, and the optimizer begins anew (sDPO, Kim 2024; iterative DPO). 1: all rows at once; 0: each file is one") \
    X(flag,   precompute_ref_log_probs, "false", FIXED, ANY, \
      "the reference's log-probabilities of all rows are computed before the first round, and its memory is given back; false: of each row when it first comes")

#define RECIPE_METRICS(X, C, G) \
    X(path, tokens, "", FIXED, ANY, "file of bearer tokens, each line ROLE TOKEN with the role viewer or admin: who reads metrics shows one, or a certificate; 0600") \
    X(count, stuck_s, "600", FIXED, FROM(0, 86400), "seconds without a step of a thread (a message, an op of the model, a write) after which /livez answers 503, so that the process is started again; 0: never")

#define RECIPE_LOG(X, C, G) \
    C(format, recipe_log_format, "default", FIXED, "default|text|json", \
      "form of a line: key=value words, or a JSON object; default: as the variable RLHFD_LOG has it (RLHFD_LOG=info,json,stdout), else text") \
    C(stream, recipe_log_stream, "default", FIXED, "default|stdout", "where lines go; default: standard error, unless RLHFD_LOG has stdout")

#define RECIPE_NET(X, C, G) \
    X(count, join_timeout_s, "60", FIXED, FROM(1, 86400), "a daemon that its peer has not accepted by then ends with an error") \
    X(path, tls, "", FIXED, ANY, "directory of keys, with which all gRPC speaks TLS: NAME/tls.crt, NAME/tls.key and NAME/ca.crt for the daemon NAME, else these files without NAME/; empty: plaintext") \
    X(flag, insecure, "false", FIXED, ANY, "allow addresses beyond this machine without TLS: only in a network you trust; no effect with net.tls")
