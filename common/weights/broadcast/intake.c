#include "weights/broadcast/intake.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "rpc/message.h"
#include "weights/broadcast/nccl_carrier.h"
#include <stdlib.h>

struct intake {
    const struct receiving *receiving;
    struct attend *attend;
    bool lent;       // NCCL writes to the buffer: between buffer and received or ended
    uint8_t *packed; // changes, each after its length, or a list; NULL: all values, in place
    bool list;       // they are a list
    uint64_t bytes, used;
    uint64_t chunk;
};

/* ---- bytes that have come become chunks */

static err_t give_values(struct intake *intake, const struct manifest *coming, uint64_t have)
{
    while (intake->chunk < coming->chunks) {
        const uint64_t first = intake->chunk * WEIGHTS_CHUNK, left = coming->elements - first;
        const uint64_t count = left < WEIGHTS_CHUNK ? left : WEIGHTS_CHUNK;
        if ((first + count) * sizeof(uint16_t) > have)
            break;
        const struct weights_event event = {
            .kind = WEIGHTS_CHUNK_OF_FULL, .first = first, .count = count};
        intake->chunk++;
        TRY(receiver_chunk(intake->receiving->receiver, NULL, &event));
    }
    return OK;
}

static void keep(void *arg)
{
    (void)arg;
}

static err_t give_changes(struct intake *intake, const struct manifest *coming, uint64_t have)
{
    while (intake->chunk < coming->chunks) {
        struct reader in = {intake->packed + intake->used, have - intake->used};
        uint32_t len;
        if (!read_be32(&in, &len) || in.left < len)
            break;
        SCOPED(rpc_message) message = rpc_message_borrow(in.data, len, keep, NULL);
        const struct weights_event event = {
            .kind = WEIGHTS_CHUNK_OF_DELTA, .first = intake->chunk, .count = len};
        intake->used += sizeof len + len;
        intake->chunk++;
        TRY(receiver_chunk(intake->receiving->receiver, message, &event));
    }
    return OK;
}

/* Gives the chunks that are whole among the first `have` bytes. */
static err_t give(struct intake *intake, uint64_t have)
{
    const struct manifest *coming = receiver_coming(intake->receiving->receiver);
    if (!coming)
        return OK; // its stream broke meanwhile
    if (intake->list)
        return have == intake->bytes
                   ? receiver_list(intake->receiving->receiver, intake->packed, have)
                   : OK; // a part is of no use
    return intake->packed ? give_changes(intake, coming, have) : give_values(intake, coming, have);
}

/* NCCL is through with the buffer. */
static void let_go(struct intake *intake)
{
    intake->lent = false;
    free(STEAL(intake->packed));
    receiver_give_back(intake->receiving->receiver);
}

/* ---- what attend asks */

static void on_send(struct rpc_message *message, void *user)
{
    const struct intake *intake = user;
    intake->receiving->send(intake->receiving->arg, message);
}

/* The most bytes that the announced version may have. */
static bool may_have(const struct intake *intake, const struct manifest *coming,
                     const struct session_message *announce)
{
    const uint64_t whole = coming->elements * sizeof(uint16_t);
    if (announce->list)
        return coming->kind != WEIGHTS_FULL &&
               announce->bytes <= receiver_list_max(intake->receiving->receiver);
    return coming->kind == WEIGHTS_FULL ? announce->bytes == whole : announce->bytes <= whole;
}

static uint8_t *on_buffer(const struct session_message *announce, void *user)
{
    struct intake *intake = user;
    const struct manifest *coming = receiver_coming(intake->receiving->receiver);
    if (!coming || coming->first_chunk || coming->lineage != announce->lineage ||
        coming->version != announce->version || !may_have(intake, coming, announce))
        return NULL;
    uint8_t *to = coming->kind == WEIGHTS_FULL
                      ? (uint8_t *)receiver_values(intake->receiving->receiver)
                      : (intake->packed = malloc(announce->bytes));
    intake->list = announce->list;
    intake->lent = to != NULL;
    if (to)
        receiver_lend(intake->receiving->receiver, "NCCL");
    intake->bytes = announce->bytes;
    intake->used = intake->chunk = 0;
    return to;
}

static void *on_device(const struct session_message *announce, void *user)
{
    const struct intake *intake = user;
    return announce->list ? receiver_list_room(intake->receiving->receiver, announce->bytes) : NULL;
}

/* The last chunk waits: it ends the version, and NCCL still has the buffer. */
static void on_arrived(uint64_t have, void *user)
{
    struct intake *intake = user;
    if (have == intake->bytes)
        return;
    err_t e = give(intake, have);
    if (err_failed(e))
        intake->receiving->cut(intake->receiving->arg, e);
}

/* A list that came wrong changed nothing: the version comes again, over gRPC. */
static bool refuse_list(struct intake *intake, err_t why)
{
    intake->receiving->note(intake->receiving->arg, err_message(why));
    err_free(why);
    let_go(intake);
    return false;
}

/* All values that came wrong are sent again. Changes that came wrong have poisoned everything. */
static bool on_received(const struct session_message *announce, void *user)
{
    struct intake *intake = user;
    const bool whole = !intake->packed;
    (void)announce;
    err_t e = give(intake, intake->bytes);
    if (!err_failed(e) && receiver_coming(intake->receiving->receiver))
        e = err_new(ERR_INVALID, "weights: a broadcast of fewer chunks than the manifest says");
    if (err_code(e) == ERR_DATA_LOSS && whole) {
        err_free(e);
        receiver_again(intake->receiving->receiver);
        let_go(intake);
        return false;
    }
    const bool right = !err_failed(e);
    if (!right && intake->list)
        return refuse_list(intake, e);
    receiver_stats(intake->receiving->receiver)->by_nccl += right;
    if (!right)
        intake->receiving->cut(intake->receiving->arg, e);
    let_go(intake);
    return right;
}

static void on_ended(uint64_t have, void *user)
{
    struct intake *intake = user;
    err_t e = give(intake, have);
    if (err_failed(e))
        intake->receiving->cut(intake->receiving->arg, e);
    let_go(intake);
}

static void on_note(const char *text, void *user)
{
    const struct intake *intake = user;
    intake->receiving->note(intake->receiving->arg, text);
}

static void on_entered(enum member_state state, void *user)
{
    const struct intake *intake = user;
    if (state == MEMBER_BROKEN && intake->lent)
        intake->receiving->stuck(intake->receiving->arg);
}

/* ---- the carrier's calls */

static err_t open_intake(const struct receiving *receiving, void *means, void **ret)
{
    const struct nccl_means *nccl = means;
    if (!nccl)
        return OK;
    struct intake *intake = mem_new(sizeof *intake);
    const struct attend_options attend = {.loop = receiving->loop,
                                          .nccl = nccl->nccl,
                                          .device = nccl->device,
                                          .limits = nccl->member_limits,
                                          .send = on_send,
                                          .buffer = on_buffer,
                                          .on_device = on_device,
                                          .lists = receiver_has_device(receiving->receiver)
                                                       ? SESSION_LISTS_DEVICE
                                                       : SESSION_LISTS_READ,
                                          .arrived = on_arrived,
                                          .received = on_received,
                                          .ended = on_ended,
                                          .note = on_note,
                                          .entered = on_entered,
                                          .user = intake};
    intake->receiving = receiving;
    err_t e = attend_new(&attend, &intake->attend);
    if (err_failed(e)) {
        free(intake);
        return e;
    }
    *ret = intake;
    return OK;
}

static void up(void *state)
{
    const struct intake *intake = state;
    attend_up(intake->attend);
}

static void down(void *state, err_t *why)
{
    const struct intake *intake = state;
    (void)why;
    attend_lost(intake->attend);
}

static err_t hear(void *state, struct rpc_message *message, bool *ret_taken)
{
    const struct intake *intake = state;
    struct session_message session;
    if (rpc_message_len(message) > SESSION_MESSAGE_MAX) // chunks stay in their pieces
        return OK;
    err_t e =
        session_message_decode_down(rpc_message_data(message), rpc_message_len(message), &session);
    *ret_taken = err_code(e) != ERR_NOT_FOUND;
    if (!*ret_taken) {
        err_free(e);
        return OK;
    }
    TRY(e);
    attend_hear(intake->attend, &session);
    return OK;
}

static void close_intake(void *state)
{
    struct intake *intake = state;
    if (attend_free(intake->attend))
        free(intake->packed);
    else // a call into NCCL never returned: the memory that it writes to stays
        receiver_abandon(intake->receiving->receiver);
    free(intake);
}

const struct carrier_receive nccl_receive = {
    .open = open_intake, .up = up, .hear = hear, .down = down, .close = close_intake};
