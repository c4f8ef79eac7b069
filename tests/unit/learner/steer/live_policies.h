/* Rows of live_test.c's table: each LIVE key of policy gradients that goes with an objective, a
 * value, and settings with which the key decides a round. */
#pragma once

#define AS(objective) "learner.objective=" objective
// clang-format off
#define POLICY_KEYS \
    {"learner.advantage_beta", "0.7", "learner.advantage=soft_value", OBJECTIVE}, \
    {"learner.baseline_decay", "0.5", "", RECORD}, \
    {"learner.behaviour_coef", "0.1", "", OBJECTIVE}, \
    {"learner.mask.low", "0.9", AS("grpo learner.mask.kind=geo"), OBJECTIVE}, \
    {"learner.mask.high", "1.2", AS("grpo learner.mask.kind=geo"), OBJECTIVE}, \
    {"learner.select.above", "0.5", AS("grpo learner.select.kind=threshold"), OBJECTIVE}, \
    {"learner.select.power", "3", AS("grpo learner.select.kind=power"), OBJECTIVE}, \
    {"learner.nll.coef", "0.2", AS("grpo"), OBJECTIVE}, \
    {"learner.nll.above", "0.5", AS("grpo learner.nll.coef=0.1"), OBJECTIVE}, \
    {"learner.ess_step.base", "0.5", AS("grpo learner.ess_step.rule=linear"), OBJECTIVE}, \
    {"learner.sapo.temperature_pos", "2", AS("sapo"), OBJECTIVE}, \
    {"learner.sapo.temperature_neg", "2", AS("sapo"), OBJECTIVE}, \
    {"learner.vespo.k_pos", "1", AS("vespo"), OBJECTIVE}, \
    {"learner.vespo.lambda_pos", "1", AS("vespo"), OBJECTIVE}, \
    {"learner.vespo.k_neg", "1", AS("vespo"), OBJECTIVE}, \
    {"learner.vespo.lambda_neg", "1", AS("vespo"), OBJECTIVE}, \
    {"learner.topr.positive", "0.5", AS("topr"), OBJECTIVE}, \
    {"learner.topr.low", "0.1", AS("topr"), OBJECTIVE}, \
    {"learner.topr.high", "2", AS("topr"), OBJECTIVE}, \
    {"learner.a_lol.low", "0.2", AS("a_lol rewarder.reference=frozen"), OBJECTIVE}, \
    {"learner.a_lol.high", "3", AS("a_lol rewarder.reference=frozen"), OBJECTIVE}, \
    {"learner.dppo.delta", "0.1", AS("dppo"), OBJECTIVE}, \
    {"learner.crpg.kl_max", "5", AS("crpg rewarder.reference=frozen"), OBJECTIVE}, \
    {"learner.asymre.delta_v", "-0.2", AS("asymre"), OBJECTIVE}, \
    {"learner.ppo.lambda_alpha", "0.1", AS("vapo"), OBJECTIVE}
// clang-format on
