/* Scores per second of the http scorer through the pipeline, against a server of threads in another
 * process that answers at once: what the rewarder's side can do. bench_http [GROUPS [URL]]: groups
 * of 16 completions of 512 bytes, by shape and requests at a time; URL: a server's, to which the
 * shape is added (testing/reward_server.py: http://127.0.0.1:PORT/mix/100). */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bench/number.h"
#include "rewarder/pipeline.h"
#include "svc/loop.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COMPLETIONS = 16, TEXT = 512, UNDER_WAY = 256, HEAD_MOST = 4096 };

/* ---- the server's process */

static bool read_more(int fd, struct bytes *in)
{
    uint8_t piece[16384];
    const ssize_t got = read(fd, piece, sizeof piece);
    if (got <= 0)
        return false;
    bytes_put(in, piece, (size_t)got);
    return true;
}

/* One request; its id for the answer. */
static bool read_request(int fd, struct bytes *in, char id[64])
{
    bytes_clear(in);
    const char *end = NULL;
    while (!end) {
        if (!read_more(fd, in))
            return false;
        end = strstr((char *)in->data, "\r\n\r\n");
    }
    const char *length = strcasestr((char *)in->data, "content-length:");
    const size_t head = (size_t)(end + 4 - (char *)in->data);
    const size_t len = length ? strtoul(length + 15, NULL, 10) : 0;
    while (in->len < head + len)
        if (!read_more(fd, in))
            return false;
    const char *at = strstr((char *)in->data + head, "\"id\":\"");
    snprintf(id, 64, "%.*s", at ? (int)strcspn(at + 6, "\"") : 0, at ? at + 6 : "");
    return true;
}

static void *serve(void *arg)
{
    const int fd = (int)(intptr_t)arg;
    struct bytes in = {0};
    char id[64];
    while (read_request(fd, &in, id)) {
        char body[512], all[HEAD_MOST];
        size_t len = 0;
        if (*id) {
            len = (size_t)snprintf(body, sizeof body, "{\"id\": \"%s\", \"scores\": [", id);
            for (int i = 0; i < COMPLETIONS; i++)
                len += (size_t)snprintf(body + len, sizeof body - len, "%s%d.5", i ? ", " : "", i);
            len += (size_t)snprintf(body + len, sizeof body - len, "]}");
        } else {
            len = (size_t)snprintf(body, sizeof body, "0.5");
        }
        const int count = snprintf(all, sizeof all,
                                   "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", len, body);
        if (write(fd, all, (size_t)count) != count)
            break;
    }
    bytes_done(&in);
    close(fd);
    return NULL;
}

static int listen_any(int *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 1024) ||
        getsockname(fd, (struct sockaddr *)&at, &len))
        abort();
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static pid_t start_server(int *ret_port)
{
    const int fd = listen_any(ret_port);
    const pid_t pid = fork();
    if (pid) {
        close(fd);
        return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int one = 1;;) {
        const int conn = accept(fd, NULL, NULL);
        pthread_t thread;
        setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)conn))
            abort();
        pthread_detach(thread);
    }
}

/* ---- the scorer's */

struct line {
    struct loop *loop;
    struct pipeline *pipeline;
    int put, left, failed, wanted;
    char *text;
};

static void put(struct line *line)
{
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.slot = (uint64_t)line->put,
                            .row = mem_string("{\"prompt\": \"a prompt\", \"label\": \"x\"}"),
                            .completions = COMPLETIONS,
                            .completion = mem_array(COMPLETIONS, sizeof(struct completion))};
    be64_store(group->id.byte, (uint64_t)line->put++);
    for (int i = 0; i < COMPLETIONS; i++)
        group->completion[i] = (struct completion){
            .tokens = 1, .text = mem_string(line->text), .text_len = TEXT, .finish = FINISH_EOS};
    pipeline_put(line->pipeline, group, NULL);
}

static void on_left(void *arg, const struct group *group, void *tag)
{
    struct line *line = arg;
    (void)tag;
    line->failed += group->failure != NULL;
    if (++line->left == line->wanted)
        loop_stop(line->loop);
    else if (line->put < line->wanted)
        put(line);
}

static err_t measure(const char *shape, int concurrency, const char *url, int groups)
{
    SCOPED(recipe) recipe = NULL;
    SCOPED(loop) loop = NULL;
    struct line line = {.wanted = groups};
    SCOPED_MEM char *text =
        mem_printf("rewarder: {scorers: [{kind: http, shape: %s, concurrency: %d, timeout_ms: 250, "
                   "tries: 8, url: \"%s/%s\"}]}\n",
                   shape, concurrency, url, shape);
    TRY(recipe_parse(text, strlen(text), "ring.yaml", ".", NULL, &recipe));
    TRY(loop_new(&loop));
    struct pipeline_options options = {.loop = loop, .left = on_left, .arg = &line};
    TRY(stage_list_open(&(struct stage_list_options){.recipe = recipe, .loop = loop},
                        &options.list));
    SCOPED(pipeline) pipeline = NULL;
    TRY(pipeline_open(&options, &pipeline));
    line.loop = loop;
    line.pipeline = pipeline;
    line.text = mem_new(TEXT + 1);
    memset(line.text, 'a', TEXT);
    const double begun = clock_s();
    for (int i = 0; i < UNDER_WAY && i < groups; i++)
        put(&line);
    TRY(loop_run(loop));
    const double s = clock_s() - begun;
    printf("{\"bench\": \"http\", \"shape\": \"%s\", \"concurrency\": %d, \"groups\": %d, "
           "\"failed\": %d, \"seconds\": %.3f, \"scores_per_s\": %.0f}\n",
           shape, concurrency, groups, line.failed, s, groups * COMPLETIONS / s);
    fflush(stdout);
    mem_free(line.text);
    return OK;
}

int main(int argc, char **argv)
{
    const int groups = bench_number(argc, argv, 1, 4000);
    static const int concurrency[] = {1, 8, 32};
    int port;
    const pid_t server = start_server(&port);
    SCOPED_MEM char *own = mem_printf("http://127.0.0.1:%d", port);
    const char *url = argc > 2 ? argv[2] : own;
    err_t failed = OK;
    for (size_t i = 0; i < 3 && !err_failed(failed); i++) {
        failed = measure("rlhfd", concurrency[i], url, groups);
        if (!err_failed(failed))
            failed = measure("slime", concurrency[i], url, groups / 4);
    }
    if (err_failed(failed))
        fprintf(stderr, "%s\n", err_message(failed));
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    return err_failed(failed);
}
