#include "svc/tokens.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "svc/metrics.h"
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_BYTES_MAX = 1 << 16 };

struct token {
    unsigned role;
    char text[TOKEN_LEN_MAX + 1]; // zeros behind its end
};

struct tokens {
    char *path;
    pthread_mutex_t mutex; // of what follows
    struct stat seen;
    size_t count;
    struct token at[TOKENS_MAX];
};

static const struct {
    const char *name;
    unsigned role;
} roles[] = {{"viewer", CALLER_VIEWER}, {"admin", CALLER_ADMIN}};

static struct metric usable = METRIC_GAUGE(
    "rlhfd_metrics_tokens", "tokens of metrics.tokens that count; 0: its file is faulty");
static struct metric *const rows[] = {&usable};

/* ---- the file */

static err_t wrong(const struct tokens *tokens, int line, const char *what)
{
    return err_new(ERR_INVALID,
                   "%s:%d: %s; allowed: ROLE TOKEN, ROLE is viewer or admin, TOKEN %d to %d "
                   "letters, digits and - . _ ~ + / =",
                   tokens->path, line, what, TOKEN_LEN_MIN, TOKEN_LEN_MAX);
}

/* No message shows a token. */
static err_t read_line(struct tokens *tokens, int number, const char *line, size_t len)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=";
    struct token token = {0};
    const char *blank = memchr(line, ' ', len);
    const size_t name = blank ? (size_t)(blank - line) : len;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strlen(roles[i].name) == name && memcmp(roles[i].name, line, name) == 0)
            token.role = roles[i].role;
    if (!token.role)
        return wrong(tokens, number, "no such role");
    size_t at = name;
    while (at < len && line[at] == ' ')
        at++;
    const size_t rest = len - at;
    if (rest < TOKEN_LEN_MIN || rest > TOKEN_LEN_MAX)
        return wrong(tokens, number, "the token is too short or too long");
    memcpy(token.text, line + at, rest);
    if (strspn(token.text, letters) != rest)
        return wrong(tokens, number, "the token has other characters");
    if (tokens->count == TOKENS_MAX)
        return err_new(ERR_INVALID, "%s:%d: more than %d tokens", tokens->path, number, TOKENS_MAX);
    tokens->at[tokens->count++] = token;
    return OK;
}

static err_t read_lines(struct tokens *tokens, const struct bytes *text)
{
    const char *at = (const char *)text->data, *end = at + text->len;
    for (int number = 1; at < end; number++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((line_end ? line_end : end) - at);
        if (len && at[len - 1] == '\r')
            len--;
        if (len && *at != '#')
            TRY(read_line(tokens, number, at, len));
        at = line_end ? line_end + 1 : end;
    }
    return OK;
}

static err_t read_file(struct tokens *tokens)
{
    SCOPED_VALUE(bytes) text = {0};
    tokens->count = 0;
    if (tokens->seen.st_mode & S_IRWXO)
        return err_new(ERR_DENIED, "'%s' is open to others (mode %03o); allowed: 0600 or 0640",
                       tokens->path, (unsigned)tokens->seen.st_mode & 0777);
    err_t failed = file_read(tokens->path, FILE_BYTES_MAX, &text);
    if (!err_failed(failed))
        failed = read_lines(tokens, &text);
    if (text.data)
        explicit_bzero(text.data, text.len);
    if (err_failed(failed))
        tokens->count = 0;
    metric_set(&usable, (double)tokens->count);
    return failed;
}

/* Looks before the reading, so that a change under the reading is found at the next look. */
static err_t look(struct tokens *tokens, bool *ret_changed)
{
    struct stat now = {0};
    if (stat(tokens->path, &now) != 0)
        now = (struct stat){0};
    *ret_changed = !file_is_unchanged(&now, &tokens->seen);
    if (!*ret_changed)
        return OK;
    tokens->seen = now;
    return read_file(tokens);
}

/* ---- looking up */

/* Takes as long for every text of its length, whatever the token is. */
static bool is_same(const struct token *token, const char shown[TOKEN_LEN_MAX + 1])
{
    volatile unsigned char differs = 0;
    for (size_t i = 0; i <= TOKEN_LEN_MAX; i++)
        differs |= (unsigned char)(token->text[i] ^ shown[i]);
    return !differs;
}

unsigned tokens_role(struct tokens *tokens, const char *token)
{
    char shown[TOKEN_LEN_MAX + 1] = {0};
    const size_t len = strlen(token);
    unsigned role = 0;
    bool changed;
    if (len < TOKEN_LEN_MIN || len > TOKEN_LEN_MAX)
        return 0;
    memcpy(shown, token, len);
    pthread_mutex_lock(&tokens->mutex);
    err_t failed = look(tokens, &changed);
    for (size_t i = 0; i < tokens->count; i++)
        role |= is_same(&tokens->at[i], shown) ? tokens->at[i].role : 0;
    const size_t count = tokens->count;
    pthread_mutex_unlock(&tokens->mutex);
    if (err_failed(failed))
        log_error("no token counts until the file is right", "why=\"%s\"", err_message(failed));
    else if (changed)
        log_info("tokens read again", "file=\"%s\" count=%zu", tokens->path, count);
    err_free(failed);
    return role;
}

err_t tokens_open(const char *path, struct tokens **ret)
{
    metrics_register(rows, 1);
    SCOPED(tokens) tokens = mem_new(sizeof *tokens);
    pthread_mutex_init(&tokens->mutex, NULL);
    tokens->path = mem_string(path);
    bool changed;
    TRY(look(tokens, &changed));
    if (!tokens->seen.st_ino)
        return err_new(ERR_NOT_FOUND, "'%s': no such file", path);
    *ret = STEAL(tokens);
    return OK;
}

void tokens_free(struct tokens *tokens)
{
    if (!tokens)
        return;
    explicit_bzero(tokens->at, sizeof tokens->at);
    pthread_mutex_destroy(&tokens->mutex);
    mem_free(tokens->path);
    mem_free(tokens);
}
