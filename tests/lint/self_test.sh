#!/usr/bin/env bash
# The lint scripts find what they are for: each case is a tree of one file, and what must be said about it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0 cases=0

# expect SCRIPT PATH WANT <<< TEXT: WANT is a part of what it says, or "clean".
expect()
{
    local script=$1 path=$2 want=$3 said status=0
    cases=$((cases + 1))
    rm -rf "$tree" && mkdir -p "$tree/$(dirname "$path")" && cat >"$tree/$path"
    said=$("$here/$script.sh" "$tree" 2>&1) || status=$?
    if [[ $want == clean ]]; then
        [[ $status == 0 && -z $said ]] && return
    else
        [[ $status == 1 && $said == *"$path"*"$want"* ]] && return
    fi
    echo "$script on $path: wanted '$want', got status $status: $said"
    failed=1
}

expect layers common/base/a.c clean <<<'#include "base/err.h"
#include <jansson.h>
#include <sys/stat.h>'
expect layers common/base/a.c 'base may not include svc' <<<'#include "svc/loop.h"'
expect layers common/svc/a.c 'svc may not include wire' <<<'#include "wire/rollout.h"'
expect layers common/wire/a.c 'wire may not include svc' <<<'  #  include "svc/loop.h"'
expect layers common/tensor/a.h 'tensor may not include model' <<<'#include "model/files/params.h"'
expect layers common/model/a.c 'model may not include rl' <<<'#include "rl/objective.h"'
expect layers common/rl/a.c 'rl may not include tensor' <<<'#include "tensor/tensor.h"'
expect layers common/rl/a.c 'rl is pure' <<<'#include <time.h>'
expect layers common/rl/a.c 'rl is pure' <<<'#include "base/file.h"'
expect layers common/rl/a.c clean <<<'#include <math.h>
#include "base/mem.h"'
expect layers common/weights/a.c 'weights may not include tensor' <<<'#include "tensor/backend.h"'
expect layers common/weights/a.c 'zstd.h' <<<'#include <zstd.h>'
expect layers common/weights/a.c clean <<<'#include "tensor/layout.h"
#include "base/zst.h"
#include "weights.pb-c.h"'
expect layers common/weights/stream/a.c 'weights/stream may not include weights/broadcast' <<<'#include "weights/broadcast/carry.h"'
expect layers common/weights/stream/a.c 'weights/stream may not include weights' <<<'#include "weights/publisher.h"'
expect layers common/weights/broadcast/a.c clean <<<'#include "weights/stream/carrier.h"
#include "weights/codec/snapshot.h"'
expect layers common/weights/shelf/a.c 'is no room' <<<'#include "weights/codec/delta.h"'
expect layers common/weights/a.c 'weights may not include model' <<<'#include "model/files/params.h"'
expect layers daemons/learner/main.c 'learner may not include generator' <<<'#include "generator/update.h"'
expect layers daemons/learner/lease/a.c clean <<<'#include "learner/steer/live.h"
#include "learner/lease/lessees.h"
#include "learner/settings.h"'
expect layers daemons/learner/replay/a.c 'learner/replay may not include learner/publish' <<<'#include "learner/publish/evaluating.h"'
expect layers daemons/learner/steer/a.c 'learner/steer may not include learner/publish' <<<'#include "learner/publish/publish.h"'
expect layers daemons/learner/store/a.c 'learner/store may not include learner/settings' <<<'#include "learner/settings.h"'
expect layers daemons/learner/settings.c 'learner/settings may not include learner/round' <<<'#include "learner/round/step.h"'
expect layers daemons/learner/cellar/a.c 'is no room' <<<'#include "learner/store/store.h"'
expect layers daemons/learner/main.c 'is no room' <<<'#include "learner/cellar/a.h"'
expect layers daemons/learner/main.c 'rocksdb/c.h> is at home in daemons/learner/store/' <<<'#include <rocksdb/c.h>'
expect layers daemons/learner/store/a.c clean <<<'#include <rocksdb/c.h>
#include "learner/store/replay.h"'
expect layers daemons/learner/main.c 'generated messages' <<<'#include "rollout.pb-c.h"'
expect layers daemons/rewarder/admin/a.c 'generated messages' <<<'#include "admin.pb-c.h"'
expect layers daemons/rewarder/a.c 'pcre2.h> is at home' <<<'#include <pcre2.h>'
expect layers daemons/generator/a.c 'uv.h> is at home' <<<'#include <uv.h>'
expect layers daemons/generator/a.c 'uv.h> is at home' <<<'#include "uv.h"'
expect layers daemons/generator/a.c 'grpc/grpc.h> is at home' <<<'#include <grpc/grpc.h>'
expect layers common/tensor/cpu/a.c 'cuda_runtime.h> is at home' <<<'#include <cuda_runtime.h>'
expect layers common/tensor/cuda/a.cu clean <<<'#include <cuda_runtime.h>'
expect layers common/model/a.c 'pthread.h> is at home' <<<'#include <pthread.h>'
expect layers common/model/a.c 'has no home' <<<'#include <expat.h>'
expect layers common/model/a.c 'ssl.h> is at home' <<<'#include <openssl/ssl.h>'
expect layers common/model/a.c 'begins with a layer' <<<'#include "params.h"'
expect layers common/model/a.c 'by macro' <<<'#include HEADER'
expect layers common/extra/a.c 'is no layer' <<<'#include "base/err.h"'
expect layers ctl/a.c 'ctl may not include learner' <<<'#include "learner/round/step.h"'

expect source common/rl/a.c clean <<<'/* goto, strcpy: words */
int f(void);  // sprintf too
const char *g = "strtok(";'
expect source common/rl/a.c "'goto' is banned" <<<'goto end;'
expect source common/rl/a.c 'is banned: no bound' <<<'x = strcpy(a, b);'
expect source common/rl/a.c 'is banned: no bound' <<<'x = /* so */ sprintf(a, "b");'
expect source common/rl/a.c 'alloca' <<<'x = alloca(3);'
expect source common/rl/a.c 'no typedef' <<<'typedef struct x x;'
expect source common/rl/a.c 'unfinished work' <<<'int x;  // TODO'
expect source daemons/learner/a.c 'base/env.h' <<<'    if (fsync(fd) || rename(a, b))'
expect source ctl/a.c 'base/env.h' <<<'    clock_gettime(CLOCK_REALTIME, &now);'
expect source daemons/learner/a.c 'never read back' <<<'    return metric_value(&sent);'
expect source common/base/env.c clean <<<'    return getrandom(to, len, 0);'
expect source common/base/a.c clean <<<'    env()->rename(a, b); x.write(c); file_read(d); // open(path)'
expect source common/rl/a.c 'conditional compilation' <<<'void f(void)
{
#ifdef X
#endif
}'
expect source common/rl/a.c 'white space at the end' <<<'int x; '
expect source common/rl/a.c 'a tab' <<<$'\tint x;'
expect source common/rl/malloc.c 'a function of libc' <<<'int x;'
expect source common/base/log.c clean <<<'int x;'
expect source common/rl/a.c '501 lines' < <(printf '\n%.0s' {1..501})
expect source common/rl/a.h '131 lines' < <(printf '\n%.0s' {1..131})
expect source common/rl/a.c '101 columns' < <(printf '// %098d\n' 0)
expect source tests/cuda/a_test.cpp '101 columns' < <(printf '// %098d\n' 0)
expect source tests/cuda_emu/include/a.h clean <<<'typedef struct x x;'
expect source common/rl/a.c 'a body of 51 lines' < <(
    echo '{'
    printf '    x;\n%.0s' {1..51}
    echo '}'
)
expect source cmake/a.cmake 'fast-math' <<<'add_compile_options(-ffast-math)'
expect places daemons/learner/a.c clean <<<'/* reference_logp, "rloo" */
int clip_fraction; // clip_frac'
expect places daemons/learner/a.c 'only these name it' <<<'x = at[COLUMN_REFERENCE_LOGP];'
expect places daemons/rewarder/reference.c clean <<<'x = at[COLUMN_REFERENCE_LOGP];'
expect places ctl/a.c 'only these name it' <<<'x = figures.clip_frac;'
mkdir -p "$tree/common/rl" "$tree/ctl" && echo '    X(rloo, kernel_policy, 1)' >"$tree/common/rl/rows_policy.h"
echo 'x = strcmp(name, "rloo");' >"$tree/ctl/a.c"
[[ $("$here/places.sh" "$tree") == 'ctl/a.c:1: only these name it'* ]] || {
    echo "places: the name of an objective was not found"
    failed=1
}
mkdir -p "$tree/ctl/room" && for i in {1..26}; do echo 'int x;' >"$tree/ctl/room/a$i.c"; done
[[ $("$here/source.sh" "$tree") == *"ctl/room: 26 .c files"* ]] || {
    echo "source: a room of 26 files was not found"
    failed=1
}
mkdir -p "$tree/common/rl" "$tree/common/model" && echo 'int x;' | tee "$tree/common/rl/same.c" >"$tree/common/model/same.c"
[[ $("$here/source.sh" "$tree") == *"two files are named same.c"* ]] || {
    echo "source: equal names were not found"
    failed=1
}

# hard KIND PATH WANT <<< TEXT: WANT is how a line of sentences.sh --list begins after the path, or "clean".
hard()
{
    local kind=$1 path=$2 want=$3 said
    cases=$((cases + 1))
    rm -rf "$tree" && mkdir -p "$tree/common" "$tree/$(dirname "$path")" && cat >"$tree/$path"
    said=$("$here/sentences.sh" --list "$kind" "$tree")
    if [[ $want == clean ]]; then
        [[ -z $said ]] && return
    else
        [[ $said == "$path:$want"* ]] && return
    fi
    echo "sentences on $path: wanted '$want', got: $said"
    failed=1
}

thirty=$(printf 'word %.0s' {1..30})
hard headers common/base/a.h clean <<<"/* $thirty. $thirty. */ const char *what = \"What is no comment.\";"
hard headers common/base/a.h '1: 31: word' <<<"/* $thirty
 * word. */"
hard headers common/base/a.h '2: 3: What it is.' <<<'/* A word.
 * What it is. */'
hard headers common/base/a.h '1: 2: who asks' <<<'int x; // who asks'
hard headers common/base/a.h clean <<<'/* A call:
 *
 *     it(what);     -- that works
 */'
hard sources common/base/a.c '2: 31: word' <<<"int x;
// $thirty
// word."
hard docs docs/a.md '3: 3: That is it.' <<<'# What it is

That is it.'
hard docs docs/a.md '1: 5: it ends as it began' <<<'| a cell | what it is | it ends as it began |'
hard docs docs/a.md clean <<<'```
It is code.
```'
rm -rf "$tree" && mkdir -p "$tree/common" && printf '// What.\n%.0s' {1..10000} >"$tree/common/a.h"
[[ $("$here/sentences.sh" "$tree") == *"10000 hard sentences in headers; at most "* ]] || {
    echo "sentences: no limit"
    failed=1
}

# circle WANT C...: each C is the text of a file of common/rl, compiled; WANT is a part of what circles.sh says, or "clean".
circle()
{
    local want=$1 said status=0 name=a objects="$tree/CMakeFiles/rlhfd_rl.dir/common/rl"
    shift
    cases=$((cases + 1))
    rm -rf "$tree" && mkdir -p "$objects" "$tree/common/rl"
    for text; do
        echo "$text" >"$tree/common/rl/$name.c"
        cc -c "$tree/common/rl/$name.c" -o "$objects/$name.c.o"
        name=$(tr a-y b-z <<<"$name")
    done
    said=$("$here/circles.sh" "$tree" "$tree" 2>&1) || status=$?
    if [[ $want == clean ]]; then
        [[ $status == 0 && -z $said ]] && return
    else
        [[ $status == 1 && $said == *"$want"* ]] && return
    fi
    echo "circles: wanted '$want', got status $status: $said"
    failed=1
}
a='int a(void) { return 1; }' b='int a(void); int b(void) { return a(); }' c='int b(void); int c(void) { return b(); }'
circle clean "$a" "$b" "$c"
circle clean 'int a(void) { return 1; } static int c(void) { return 2; } int d(void) { return c(); }' "$b" "$c"
circle 'common/rl/a.c -> common/rl/c.c: c' 'int c(void); int a(void) { return c(); }' "$b" "$c"
rm "$tree/common/rl/b.c"
"$here/circles.sh" "$tree" "$tree" >/dev/null || {
    echo "circles: an object without a source counted"
    failed=1
}

# One function with a caller, one without; and a row of the table that has a caller by now.
objects="$tree/CMakeFiles/rlhfd_rl.dir/common/rl"
rm -rf "$tree" && mkdir -p "$objects" "$tree/common/rl"
echo "CMAKE_HOME_DIRECTORY:INTERNAL=$tree" >"$tree/CMakeCache.txt"
echo 'int called(void) { return 1; } int rpc_stream_queued(void) { return called(); } int lonely(void) { return rpc_stream_queued(); }' \
    >"$tree/common/rl/a.c"
cc -fPIC -c "$tree/common/rl/a.c" -o "$objects/a.c.o"
said=$("$here/unused.sh" "$tree" 2>&1) && status=0 || status=$?
[[ $status == 1 && $said == *"common/rl/a.c: lonely has no caller"* && $said != *"a.c: called"* &&
    $said == *"rpc_stream_queued has a caller"* && $said == *"grid_text is gone"* ]] || {
    echo "unused: wanted lonely, rpc_stream_queued and grid_text, got status $status: $said"
    failed=1
}
((failed)) || echo "$((cases + 5)) cases"
exit $failed
