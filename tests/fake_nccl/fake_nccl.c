/* A stand-in for NCCL: communicators between processes over sockets of the loopback interface, with
 * the calls' real manners: init and broadcast return at once and go on in the background, one slow
 * rank stalls all, an abort from another thread ends what hangs. A communicator that is used after
 * its abort, or destroyed when broken, ends the process by SIGABRT.
 *
 * FAKE_NCCL="key=value,...", where K counts the broadcasts of a communicator from 1:
 *     version=22809        init_delay_ms=N   init_hang=1   init_error=CODE     init_call_hang=1 (no handle ever)
 *     bcast_delay_ms=N     bcast_hang_at=K   bcast_error_at=K   async_error_at=K   error=CODE (2: system error)
 *     call_hang_at=K (ncclBroadcast itself, until the abort)   in_progress_ms=N (each broadcast is enqueued so late)
 *     signal_in_init=N     signal_at=K       signal=N: the process gets signal N at the K-th broadcast
 *     abort_hang=1         corrupt_at=K (a bit flips)          socket_bytes=N (what a rank may be behind the
 * others) */
#include "fake_nccl/fake.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SUCCESS = 0, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, REMOTE_ERROR = 6, IN_PROGRESS = 7 };
enum {
    MAGIC = 0x66616b65,
    LIVE_MAX = 256,
    PIECE = 64 << 10,
    POLL_MS = 10,
    SOCKET_BYTES = 64 << 10
};

struct unique_id {
    char byte[128];
};
struct address {
    uint32_t magic, port;
    uint64_t nonce;
};
struct greeting {
    uint64_t nonce;
    uint32_t rank;
};

struct comm {
    int rank, ranks;
    struct address address;
    int listening; // rank 0: until all are there
    int *fd;       // (ranks) rank 0: to each; others: fd[0] to rank 0
    pthread_t thread;
    atomic_int state, references, aborted, broadcasts;
    _Atomic int64_t enqueued_at_ms; // 0: it is
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct comm *live[LIVE_MAX];
static struct minted {
    uint64_t nonce;
    int listening;
} minted[LIVE_MAX]; // nonce 0: free

static int setting(const char *key, int without)
{
    return fake_setting("FAKE_NCCL", key, without);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void sleep_ms(int64_t ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void wait_aborted(struct comm *comm)
{
    while (!atomic_load(&comm->aborted))
        sleep_ms(POLL_MS);
}

/* ---- which communicators there are */

static void misuse(const char *what)
{
    fprintf(stderr, "fake NCCL: %s\n", what);
    abort();
}

static void add(struct comm *comm)
{
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < LIVE_MAX; i++)
        if (!live[i]) {
            live[i] = comm;
            pthread_mutex_unlock(&mutex);
            return;
        }
    misuse("more communicators than anyone needs");
}

/* A reference of its own; the communicator must be alive. */
static struct comm *take(void *handle, bool remove)
{
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < LIVE_MAX; i++)
        if (handle && live[i] == handle) {
            atomic_fetch_add(&live[i]->references, 1);
            if (remove)
                live[i] = NULL;
            pthread_mutex_unlock(&mutex);
            return handle;
        }
    misuse("a communicator is used that is none any more");
    return NULL;
}

static void drop(struct comm *comm)
{
    if (atomic_fetch_sub(&comm->references, 1) > 1)
        return;
    for (int i = 0; i < comm->ranks; i++)
        if (comm->fd[i] >= 0)
            close(comm->fd[i]);
    if (comm->listening >= 0)
        close(comm->listening);
    free(comm->fd);
    free(comm);
}

/* ---- sockets: never blocking, so that an abort is seen */

static void prepare(int fd)
{
    const int bytes = setting("socket_bytes", SOCKET_BYTES);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* False: the peer is gone, or this is aborted. */
static bool transfer(struct comm *comm, int fd, void *data, size_t len, bool out)
{
    char *at = data;
    while (len) {
        struct pollfd poller = {fd, out ? POLLOUT : POLLIN, 0};
        if (atomic_load(&comm->aborted))
            return false;
        if (poll(&poller, 1, POLL_MS) <= 0)
            continue;
        const ssize_t n = out ? send(fd, at, len, MSG_NOSIGNAL) : recv(fd, at, len, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void set_state(struct comm *comm, int state)
{
    atomic_store(&comm->state, state);
}

/* ---- init */

static int accept_one(struct comm *comm)
{
    struct pollfd poller = {comm->listening, POLLIN, 0};
    while (!atomic_load(&comm->aborted)) {
        if (poll(&poller, 1, POLL_MS) <= 0)
            continue;
        const int fd = accept(comm->listening, NULL, NULL);
        if (fd >= 0)
            return fd;
    }
    return -1;
}

static bool gather(struct comm *comm)
{
    char go = 'g';
    for (int count = 1; count < comm->ranks;) {
        struct greeting greeting = {0};
        const int fd = accept_one(comm);
        if (fd < 0)
            return false;
        prepare(fd);
        if (!transfer(comm, fd, &greeting, sizeof greeting, false) ||
            greeting.nonce != comm->address.nonce || greeting.rank < 1 ||
            greeting.rank >= (uint32_t)comm->ranks || comm->fd[greeting.rank] >= 0) {
            close(fd);
            continue;
        }
        comm->fd[greeting.rank] = fd;
        count++;
    }
    close(comm->listening);
    comm->listening = -1;
    for (int i = 1; i < comm->ranks; i++)
        if (!transfer(comm, comm->fd[i], &go, 1, true))
            return false;
    return true;
}

static bool reach(struct comm *comm)
{
    char go;
    struct greeting greeting = {.nonce = comm->address.nonce, .rank = (uint32_t)comm->rank};
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)comm->address.port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    comm->fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (comm->fd[0] < 0 || connect(comm->fd[0], (const struct sockaddr *)&to, sizeof to) < 0)
        return false;
    prepare(comm->fd[0]);
    return transfer(comm, comm->fd[0], &greeting, sizeof greeting, true) &&
           transfer(comm, comm->fd[0], &go, 1, false);
}

static void *init_main(void *arg)
{
    struct comm *comm = arg;
    const int signal_number = setting("signal_in_init", 0), error = setting("init_error", 0);
    for (int64_t until = now_ms() + setting("init_delay_ms", 0);
         now_ms() < until && !atomic_load(&comm->aborted);)
        sleep_ms(POLL_MS);
    if (signal_number)
        raise(signal_number); // all threads of the process
    if (setting("init_hang", 0))
        wait_aborted(comm);
    if (error)
        set_state(comm, error);
    else
        set_state(comm, (comm->rank ? reach(comm) : gather(comm)) ? SUCCESS : REMOTE_ERROR);
    drop(comm);
    return NULL;
}

int ncclGetVersion(int *version)
{
    *version = setting("version", 22809);
    return SUCCESS;
}

int ncclGetUniqueId(struct unique_id *ret)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct address address = {.magic = MAGIC};
    socklen_t len = sizeof at;
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 || listen(fd, 128) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) < 0 ||
        getrandom(&address.nonce, sizeof address.nonce, 0) != sizeof address.nonce)
        return SYSTEM_ERROR;
    address.nonce |= 1;
    address.port = ntohs(at.sin_port);
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < LIVE_MAX; i++)
        if (!minted[i].nonce) {
            minted[i] = (struct minted){address.nonce, fd};
            break;
        }
    pthread_mutex_unlock(&mutex);
    memset(ret, 0, sizeof *ret);
    memcpy(ret, &address, sizeof address);
    return SUCCESS;
}

/* Rank 0 listens where the id was minted. */
static int listening_of(uint64_t nonce)
{
    int fd = -1;
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < LIVE_MAX; i++)
        if (minted[i].nonce == nonce) {
            fd = minted[i].listening;
            minted[i] = (struct minted){0};
        }
    pthread_mutex_unlock(&mutex);
    return fd;
}

int ncclCommInitRankConfig(void **ret, int ranks, struct unique_id id, int rank, void *config)
{
    struct address address;
    memcpy(&address, &id, sizeof address);
    if (address.magic != MAGIC || rank < 0 || rank >= ranks || !config)
        return INVALID_ARGUMENT;
    while (setting("init_call_hang", 0))
        sleep_ms(POLL_MS);
    struct comm *comm = calloc(1, sizeof *comm);
    *comm = (struct comm){.rank = rank, .ranks = ranks, .address = address, .listening = -1};
    comm->fd = malloc((size_t)ranks * sizeof *comm->fd);
    for (int i = 0; i < ranks; i++)
        comm->fd[i] = -1;
    if (rank == 0)
        comm->listening = listening_of(address.nonce);
    atomic_store(&comm->state, IN_PROGRESS);
    atomic_store(&comm->references, 2); // its owner's and the thread's
    if (pthread_create(&comm->thread, NULL, init_main, comm))
        return SYSTEM_ERROR;
    add(comm);
    *ret = comm;
    return IN_PROGRESS;
}

/* ---- broadcast */

struct broadcast {
    struct comm *comm; // a reference
    const char *from;
    char *to;
    size_t count;
    int number;
};

static bool move(const struct broadcast *op)
{
    struct comm *comm = op->comm;
    char flipped[PIECE];
    for (size_t at = 0; at < op->count; at += PIECE) {
        const size_t len = op->count - at < PIECE ? op->count - at : PIECE;
        if (comm->rank && !transfer(comm, comm->fd[0], op->to + at, len, false))
            return false;
        if (comm->rank)
            continue;
        memcpy(flipped, op->from + at, len);
        if (at == 0 && op->number == setting("corrupt_at", 0))
            flipped[len / 2] ^= 1;
        for (int i = 1; i < comm->ranks; i++)
            if (!transfer(comm, comm->fd[i], flipped, len, true))
                return false;
    }
    return true;
}

static void run(void *arg)
{
    struct broadcast *op = arg;
    struct comm *comm = op->comm;
    for (int64_t until = now_ms() + setting("bcast_delay_ms", 0);
         now_ms() < until && !atomic_load(&comm->aborted);)
        sleep_ms(POLL_MS);
    if (op->number == setting("signal_at", 0))
        raise(setting("signal", SIGKILL));
    if (op->number == setting("bcast_hang_at", 0))
        wait_aborted(comm);
    if (op->number == setting("async_error_at", 0))
        set_state(comm, setting("error", SYSTEM_ERROR));
    else if (!atomic_load(&comm->aborted) && !move(op) && !atomic_load(&comm->aborted))
        set_state(comm, REMOTE_ERROR);
    drop(comm);
    free(op);
}

int ncclBroadcast(const void *from, void *to, size_t count, int type, int root, void *handle,
                  void *stream)
{
    struct comm *comm = take(handle, false);
    const int number = atomic_fetch_add(&comm->broadcasts, 1) + 1;
    const int state = atomic_load(&comm->state);
    if (state != SUCCESS || root != 0 || type != 1) {
        drop(comm);
        return state != SUCCESS && state != IN_PROGRESS ? state : INVALID_ARGUMENT;
    }
    if (number == setting("call_hang_at", 0))
        wait_aborted(comm);
    if (number == setting("bcast_error_at", 0) || atomic_load(&comm->aborted)) {
        drop(comm);
        return setting("error", SYSTEM_ERROR);
    }
    struct broadcast *op = malloc(sizeof *op);
    *op = (struct broadcast){comm, from, to, count, number};
    fake_stream_push(stream, run, op, comm->rank ? to : NULL, count);
    const int late_ms = setting("in_progress_ms", 0);
    if (!late_ms)
        return SUCCESS;
    atomic_store(&comm->enqueued_at_ms, now_ms() + late_ms);
    return IN_PROGRESS;
}

/* ---- the rest */

int ncclCommGetAsyncError(void *handle, int *ret)
{
    struct comm *comm = take(handle, false);
    *ret = atomic_load(&comm->state);
    if (*ret == SUCCESS && now_ms() < atomic_load(&comm->enqueued_at_ms))
        *ret = IN_PROGRESS;
    drop(comm);
    return SUCCESS;
}

int ncclCommAbort(void *handle)
{
    while (setting("abort_hang", 0))
        sleep_ms(POLL_MS);
    struct comm *comm = take(handle, true);
    atomic_store(&comm->aborted, 1);
    pthread_join(comm->thread, NULL);
    drop(comm); // the owner's
    drop(comm);
    return SUCCESS;
}

int ncclCommFinalize(void *handle)
{
    drop(take(handle, false));
    return SUCCESS;
}

int ncclCommDestroy(void *handle)
{
    struct comm *comm = take(handle, false);
    if (atomic_load(&comm->state) != SUCCESS)
        misuse("a communicator that is not whole is destroyed");
    drop(comm);
    return ncclCommAbort(handle);
}

const char *ncclGetErrorString(int error)
{
    static const char *const texts[] = {"no error",
                                        "unhandled cuda error",
                                        "unhandled system error",
                                        "internal error",
                                        "invalid argument",
                                        "invalid usage",
                                        "remote process exited or there was a network error",
                                        "NCCL operation in progress"};
    return error >= 0 && error <= IN_PROGRESS ? texts[error] : "unknown result code";
}

const char *ncclGetLastError(void *handle)
{
    (void)handle;
    return "";
}
