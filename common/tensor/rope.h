/* Rotary position embedding: by which angles the pairs of a head's elements turn.
 *
 *     const struct rope rope = {.kind = ROPE_DEFAULT, .R = 64, .theta = 10000};
 *     rope_table(cos, sin, 2048, &rope);                -- of positions 0..2047
 *
 * Kinds and their numbers are those of transformers, which has them as rope_type and rope_scaling.
 * Any thread. */
#pragma once

enum rope_kind {
    ROPE_DEFAULT, // position * theta^(-2i/R)
    /* Every angle divided by the factor. */
    ROPE_LINEAR,
    /* As the default up to the positions that the model was trained on. Beyond them theta would
     * follow the sequence's length, and all keys would have to turn again; such sequences are not
     * computed here. */
    ROPE_DYNAMIC,
    /* A pair is judged by its turns over the original positions. Below `low` turns its angles are
     * divided by the factor, above `high` they are not, and between they pass from one to the
     * other. */
    ROPE_LLAMA3,
    /* As before, but the passage is linear in i, from beta_fast to beta_slow turns; cos and sin are
     * times the attention factor (Peng 2023). */
    ROPE_YARN,
};

struct rope {
    enum rope_kind kind;
    int R; // elements of a head that turn; even
    double theta;
    double factor;               // all but ROPE_DEFAULT
    int original;                // LLAMA3, YARN: positions of the first training
    double low, high;            // LLAMA3
    double beta_fast, beta_slow; // YARN
    /* YARN: what cos and sin are times; 0: 0.1 ln(factor) + 1, or with both mscales not 0 the
     * quotient of 0.1 mscale ln(factor) + 1 by that of mscale_all. */
    double attention, mscale, mscale_all;
    int whole; // YARN: the passage begins and ends at whole i
};

/* cos and sin (positions, R/2), by our own arithmetic: the same bits on every machine. */
void rope_table(float *cos, float *sin, int positions, const struct rope *rope);
