/* Channel arguments: every default of core that has hurt somebody is set here. */
#include "rpc/client.h"
#include "rpc/core.h"
#include <stdint.h>

enum {
    MAX_RECV_BYTES = 4 << 20,
    KEEPALIVE_MS = 20000,
    KEEPALIVE_TIMEOUT_MS = 10000,
    MIN_PING_MS = 1000,
    READ_BYTES = 64 << 10,
    LOOKAHEAD_BYTES = 2 << 20,
    METADATA_BYTES = 8 << 10,
    HANDSHAKE_MS = 5000,
    RECONNECT_MIN_MS = 100,
    RECONNECT_MAX_MS = 5000,
    CONNECT_TIMEOUT_MS = 5000, // of one attempt
    RESOLVE_MS = 1000,         // core's 30 s hide a peer that has come back at another address
    ONLY_IDENTITY = 1,         // bit 0 of the compression algorithms: no compression
};

static void put(struct channel_args *args, const char *key, int value)
{
    args->list[args->count++] =
        (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)key, .value.integer = value};
}

static int or_default(int value, int fallback)
{
    return value ? value : fallback;
}

int recv_limit(size_t bytes)
{
    if (!bytes)
        return MAX_RECV_BYTES;
    return bytes > INT32_MAX ? INT32_MAX : (int)bytes;
}

static void put_common(struct channel_args *args, size_t max_recv_bytes, int keepalive_ms,
                       int timeout_ms)
{
    put(args, GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, recv_limit(max_recv_bytes));
    put(args, GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1); // the receiver decides
    put(args, GRPC_ARG_KEEPALIVE_TIME_MS, or_default(keepalive_ms, KEEPALIVE_MS));
    put(args, GRPC_ARG_KEEPALIVE_TIMEOUT_MS, or_default(timeout_ms, KEEPALIVE_TIMEOUT_MS));
    put(args, GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    put(args, GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0); // any number: quiet streams are normal
    /* The length limit is checked after decompression: 4 KiB could become 4 MiB a thousand times
     * over. */
    put(args, GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, ONLY_IDENTITY);
    put(args, GRPC_ARG_ENABLE_CHANNELZ, 0);
}

void server_args(const struct rpc_server_options *options, struct channel_args *ret)
{
    ret->count = 0;
    put_common(ret, options->max_recv_bytes, options->keepalive_ms, options->keepalive_timeout_ms);
    put(ret, GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
        or_default(options->min_ping_ms, MIN_PING_MS));
    put(ret, GRPC_ARG_MAX_CONCURRENT_STREAMS, or_default(options->max_streams, RPC_MAX_STREAMS));
    put(ret, GRPC_ARG_TCP_MAX_READ_CHUNK_SIZE,
        READ_BYTES); // also what is parsed after a flood was cut
    /* What a stream may send ahead of its messages: fixed, so that the door knows it from what has
     * no end. */
    put(ret, GRPC_ARG_HTTP2_BDP_PROBE, 0);
    put(ret, GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, LOOKAHEAD_BYTES);
    put(ret, GRPC_ARG_MAX_METADATA_SIZE, METADATA_BYTES);
    put(ret, GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, HANDSHAKE_MS);
    put(ret, GRPC_ARG_ALLOW_REUSEPORT, 0); // else two daemons share a port, silently
}

void client_args(const struct rpc_channel_options *options, struct channel_args *ret)
{
    ret->count = 0;
    put_common(ret, options->max_recv_bytes, options->keepalive_ms, options->keepalive_timeout_ms);
    put(ret, GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS,
        or_default(options->reconnect_min_ms, RECONNECT_MIN_MS));
    put(ret, GRPC_ARG_MAX_RECONNECT_BACKOFF_MS,
        or_default(options->reconnect_max_ms, RECONNECT_MAX_MS));
    put(ret, GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
        CONNECT_TIMEOUT_MS); // which is what this name means to core
    put(ret, GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, RESOLVE_MS);
    put(ret, GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, options->own_connection);
    put(ret, GRPC_ARG_ENABLE_RETRIES, 0);    // whoever calls knows what may be repeated
    put(ret, GRPC_ARG_ENABLE_HTTP_PROXY, 0); // http_proxy in the environment is not for us
    put(ret, GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
}
