#include "rpc/credentials.h"
#include "base/mem.h"
#include <grpc/support/alloc.h>
#include <grpc/support/string_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The server that a channel wants. Core frees it by destruct. */
struct expected {
    grpc_tls_certificate_verifier_external verifier;
    struct tls_set *set;
    char *run;
    unsigned servers;
};

static err_t judge(const struct expected *expected, const char *pem)
{
    struct identity who;
    char text[IDENTITY_TEXT], subject[IDENTITY_TEXT + 16], roles[64];
    if (!pem)
        return err_new(ERR_DENIED, "the server has shown no certificate");
    TRY(err_wrap(tls_set_server(expected->set, pem, &who), "the server is refused"));
    identity_print(&who, text);
    snprintf(subject, sizeof subject, "the server is %s,", text);
    TRY(identity_belongs(&who, subject, tls_set_identity(expected->set), expected->run));
    if (expected->servers && !(who.role & expected->servers)) {
        identity_roles_print(expected->servers, roles, sizeof roles);
        return err_new(ERR_DENIED, "the server is %s, not a %s", text, roles);
    }
    return OK;
}

/* On a thread of core's, after the handshake. By that the server has proved to have the key. */
static int verify(void *arg, grpc_tls_custom_verification_check_request *request,
                  grpc_tls_on_custom_verification_check_done_cb, void *, grpc_status_code *status,
                  char **details)
{
    const err_t e = judge(arg, request->peer_info.peer_cert_full_chain);
    *status = err_failed(e) ? GRPC_STATUS_UNAUTHENTICATED : GRPC_STATUS_OK;
    if (err_failed(e))
        *details = gpr_strdup(err_message(e));
    err_free(e);
    return 1;
}

static void cancel(void *, grpc_tls_custom_verification_check_request *)
{
    // verify never waits
}

static void destruct(void *arg)
{
    struct expected *expected = arg;
    tls_set_unref(expected->set);
    free(expected->run);
    free(expected);
}

static grpc_tls_certificate_verifier *verifier_new(struct tls_set *set, const char *run,
                                                   unsigned servers)
{
    struct expected *expected = mem_new(sizeof *expected);
    expected->verifier = (grpc_tls_certificate_verifier_external){
        .user_data = expected, .verify = verify, .cancel = cancel, .destruct = destruct};
    expected->set = tls_set_ref(set);
    expected->run = mem_string(run);
    expected->servers = servers;
    return grpc_tls_certificate_verifier_external_create(&expected->verifier);
}

static grpc_tls_certificate_provider *provider_new(const struct tls_set *set)
{
    const struct tls_pem pem = tls_set_pem(set);
    grpc_tls_identity_pairs *pairs = grpc_tls_identity_pairs_create();
    grpc_tls_identity_pairs_add_pair(pairs, pem.key, pem.certificates);
    return grpc_tls_certificate_provider_static_data_create(pem.roots, pairs); // takes pairs
}

grpc_channel_credentials *credentials_new(struct tls_set *set, const char *run, unsigned servers)
{
    if (!set)
        return grpc_insecure_credentials_create();
    grpc_tls_certificate_verifier *verifier = verifier_new(set, run, servers);
    grpc_tls_certificate_provider *provider = provider_new(set);
    grpc_tls_credentials_options *options = grpc_tls_credentials_options_create();
    grpc_tls_credentials_options_set_certificate_provider(options, provider);
    /* The chain verifies in judge(), whose message says what is wrong: core's says "failed". */
    grpc_tls_credentials_options_set_verify_server_cert(options, 0);
    grpc_tls_credentials_options_watch_identity_key_cert_pairs(options);
    grpc_tls_credentials_options_set_certificate_verifier(options, verifier);
    grpc_tls_credentials_options_set_check_call_host(options, 0);
    grpc_channel_credentials *credentials = grpc_tls_credentials_create(options); // takes options
    grpc_tls_certificate_provider_release(provider);
    grpc_tls_certificate_verifier_release(verifier);
    return credentials;
}
