/* gRPC server reflection, v1 and v1alpha, from a FileDescriptorSet: for grpcurl and grpc_cli.
 *
 *     TRY(rpc_reflect_new(descriptors, descriptors_len, &reflect));     -- embedded by the build
 *     struct rpc_service services[] = {..., rpc_reflect_service(reflect)};
 *
 * A client can list the services of the server that it asks, and find every file and symbol of the
 * set. Owner: the loop's thread; the object outlives the server. */
#pragma once
#include "rpc/server.h"

extern const unsigned char descriptors[]; // every file of proto/, from cmake/proto.cmake
extern const size_t descriptors_len;

struct rpc_reflect;
/* data is borrowed while it lives. INVALID: not a FileDescriptorSet. */
err_t rpc_reflect_new(const void *data, size_t len, struct rpc_reflect **ret);
struct rpc_service rpc_reflect_service(struct rpc_reflect *reflect);
void rpc_reflect_free(struct rpc_reflect *reflect);
DEFINE_SCOPED(rpc_reflect)
