/* One chunk of a delta, as bytes: a format, held by tests/golden/delta_v1.bin. delta.h makes them,
 * staging.h reads them.
 *
 *     "RLWD", version 1, then varints (LEB128, shortest form): sections, where_raw, where_stored, what_raw, what_stored;
 *     where_stored bytes, what_stored bytes. stored == raw: as they are; less: one zstd frame of raw bytes.
 *     where, for each section: varint tensor << 1 | dense, varint first element within the tensor, varint count >= 1, then,
 *         unless dense, count - 1 times varint (elements skipped since the change before)
 *     what, for each section: count steps. Sparse: varint zig-zag(step), never 0; dense: two bytes each, little-endian
 *
 * A step is the new value's bits minus the old one's, modulo 2^16; a sparse section's first change
 * is its first element. Sections ascend and do not overlap, over all chunks of a delta. Any
 * thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "tensor/layout.h"

enum {
    DELTACHUNK_RAW_MAX = 1 << 20, // bytes of where and what together, unpacked
    DELTACHUNK_SPAN = 1 << 18,    // elements that one section of ours covers at most
};

struct deltachunk_section {
    uint32_t tensor, count;
    bool dense;
    uint64_t first; // within the tensor
};

/* Writing: sections gathered in order, then stored as one chunk. Zero-initialised: empty. */
struct deltachunk_writer {
    uint64_t sections;
    struct bytes where, what;
};

/* offset[0] = 0, ascending, relative to section->first; NULL if dense. step[count]. */
void deltachunk_put(struct deltachunk_writer *writer, const struct deltachunk_section *section,
                    const uint32_t *offset, const uint16_t *step);
size_t deltachunk_raw(const struct deltachunk_writer *writer);
void deltachunk_store(const struct deltachunk_writer *writer, struct bytes *ret); // plain; appends
void deltachunk_writer_done(struct deltachunk_writer *writer);

/* The same chunk with both parts as zstd frames (level 1) where that is shorter. chunk is one of
 * ours. */
void deltachunk_compress(const uint8_t *chunk, size_t len, struct bytes *ret);

/* Reading. Borrows the chunk unless it was compressed. */
struct deltachunk {
    uint64_t sections;
    struct reader where, what;
    uint8_t *unpacked;
};

/* INVALID: not a chunk of this version, cut short, too large, damaged. */
err_t deltachunk_open(const uint8_t *data, size_t len, struct deltachunk *ret);
void deltachunk_done(struct deltachunk *chunk);

/* Where the changes read so far end: from chunk to chunk of one delta. {0} at the beginning. */
struct deltachunk_place {
    uint32_t tensor;
    uint64_t end; // first element of it that a section may still have
};

/* The next section's head; chunk->sections counts down to 0, and then nothing may be left (checked
 * with the last steps). INVALID: not after place, no such tensor or element, more steps than
 * bytes. */
err_t deltachunk_next(struct deltachunk *chunk, const struct layout *layout,
                      const struct deltachunk_place *place, struct deltachunk_section *ret);

/* Reads the section's steps, and its offsets unless it is dense: section->count each. Moves place
 * behind it. INVALID: malformed, beyond the tensor, a step of 0 in a sparse section. */
err_t deltachunk_read(struct deltachunk *chunk, const struct layout *layout,
                      const struct deltachunk_section *section, struct deltachunk_place *place,
                      uint32_t *ret_offset, uint16_t *ret_step);
