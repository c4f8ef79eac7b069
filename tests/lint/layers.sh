#!/usr/bin/env bash
# Holds the tables of STYLE.md, "Who may include whom": layers.sh [ROOT]. Prints each violation; 1 if there is one.
# To add a library or a layer: a line in one of the first two tables; a room: its place in the third.
set -euo pipefail
cd "${1:-"$(dirname "$0")/../.."}"

# layer: the layers whose headers it may include, beside its own. A path (tensor/layout.h) allows that header alone.
readarray -t LAYERS <<'TABLE'
base:
tls: base
svc: tls base rl/column_table.h rl/objective_table.h rl/figure_table.h rl/word_table.h
wire: base rl/column_table.h
rpc: wire svc tls base
hop: rpc wire svc tls base
admin: rpc svc tls base
gpu: base
tensor: gpu base
model: tensor base svc/recipe/recipe.h
rl: base
weights: gpu tensor/layout.h tensor/digest.h wire rpc svc tls base
generator: base tls svc wire rpc hop admin gpu tensor model rl weights
rewarder: base tls svc wire rpc hop admin tensor model rl weights
learner: base tls svc wire rpc admin gpu tensor model rl weights
sandbox: base
ctl: base tls svc wire rpc admin tensor model rl weights
TABLE
# beginning of a header's name: the directories (or files) that may include it. What is not named here is libc.
readarray -t LIBRARIES <<'TABLE'
jansson.h: common/base/
xxhash.h: common/base/
zstd.h: common/base/
openssl/: common/tls/
uv.h: common/svc/
yaml.h: common/svc/
microhttpd.h: common/svc/
protobuf-c/: common/wire/ common/rpc/ common/admin/ common/weights/ daemons/learner/admin/
grpc/: common/rpc/
sanitizer/: common/rpc/
cuda: common/tensor/cuda/
cublas: common/tensor/cuda/
new: common/tensor/cuda/
tuple: common/tensor/cuda/
nccl: common/tensor/cuda/
immintrin.h: common/tensor/cpu/
x86intrin.h: common/tensor/cpu/
utf8proc.h: common/model/
rocksdb/: daemons/learner/store/
pcre2.h: daemons/rewarder/scorers/
curl/: daemons/rewarder/http/
seccomp.h: daemons/sandbox/
ncurses.h: ctl/look/screen.c
pthread.h: common/base/ common/tls/ common/svc/ common/rpc/ common/tensor/
threads.h: common/base/ common/tls/ common/svc/ common/rpc/ common/tensor/
stdatomic.h: common/base/ common/tls/ common/svc/ common/rpc/ common/tensor/
TABLE

# layer: its rooms from top to bottom. A room includes its own headers and those of rooms after it; rooms joined by a slash
# stand side by side. A file at the layer's root is a room of its name.
readarray -t ROOMS <<'TABLE'
learner: main course admin job offline train round lease publish/steer replay settings preferences store
weights: publisher/subscriber carriers fanout/broadcast stream codec
TABLE

# rl is pure: no device, clock, thread or file.
RL_BANNED="<time. <stdio. <unistd. <fcntl. <signal. <dlfcn. <sys/ base/clock.h base/file.h base/log.h base/json.h"
LIBC="alloca argp arpa assert byteswap complex ctype dirent dlfcn endian errno execinfo fcntl fenv float fnmatch ftw
 getopt glob grp inttypes langinfo libgen limits link linux locale malloc math net netdb netinet poll pwd sched search
 semaphore setjmp signal spawn stdarg stdbool stddef stdint stdio stdlib string strings sys sysexits syslog termios
 time uchar unistd wchar wctype"

# "path:line kind header" of every include: kind is q for quotes, a for angles.
includes()
{
    find . -path './build*' -prune -o \( -path './common/*' -o -path './daemons/*' -o -path './ctl/*' \) -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) -print |
        sed 's|^\./||' | sort |
        xargs -r awk '
            match($0, /^[ \t]*#[ \t]*include[ \t]*["<][^">]+[">]/) {
                header = substr($0, RSTART, RLENGTH)
                kind = header ~ /"/ ? "q" : "a"
                gsub(/^[^"<]*["<]|[">]$/, "", header)
                print FILENAME ":" FNR, kind, header
            }
            /^[ \t]*#[ \t]*include[ \t]*[^"< \t]/ { print FILENAME ":" FNR, "m", $2 }'
}

includes | awk -v layers="$(printf '%s\n' "${LAYERS[@]}")" -v libraries="$(printf '%s\n' "${LIBRARIES[@]}")" \
    -v rooms="$(printf '%s\n' "${ROOMS[@]}")" -v rl_banned="$RL_BANNED" -v libc="$LIBC" '
    BEGIN {
        n = split(layers, line, "\n")
        for (i = 1; i <= n; i++) {
            split(line[i], part, ":")
            known[part[1]] = 1
            allowed[part[1]] = part[2] " "
        }
        libraries_n = split(libraries, line, "\n")
        for (i = 1; i <= libraries_n; i++) {
            split(line[i], part, ": ")
            library[i] = part[1]
            home[i] = part[2]
        }
        n = split(rooms, line, "\n")
        for (i = 1; i <= n; i++) {
            split(line[i], part, ": ")
            floors = split(part[2], floor, " ")
            for (j = 1; j <= floors; j++) {
                beside = split(floor[j], room, "/")
                for (k = 1; k <= beside; k++)
                    depth[part[1] "/" room[k]] = j
            }
            has_rooms[part[1]] = 1
        }
        n = split(libc, word, " ")
        for (i = 1; i <= n; i++)
            standard[word[i]] = 1
        banned_n = split(rl_banned, banned, " ")
    }
    function wrong(text) { print $1 ": " text; bad = 1 }
    function begins(text, start) { return substr(text, 1, length(start)) == start }
    function at_home(path, homes,    place, n, i) {
        n = split(homes, place, " ")
        for (i = 1; i <= n; i++)
            if (begins(path, place[i]))
                return 1
        return 0
    }
    # Of "learner/store/db.h" learner/store, of "learner/settings.h" learner/settings.
    function room_of(header,    part, name) {
        split(header, part, "/")
        name = part[2]
        sub(/\.[ch]$/, "", name)
        return part[1] "/" name
    }
    function room_check(from, to) {
        if (!(from in depth) || !(to in depth))
            wrong("\"" (from in depth ? to : from) "\" is no room: add it to the table of rooms")
        else if (from != to && depth[to] <= depth[from])
            wrong(from " may not include " to ", which does not stand below it")
    }
    # 1: a third-party header at home; 0: not one of them; -1: away from home, and said so.
    function third_party(path, header,    i) {
        for (i = 1; i <= libraries_n; i++)
            if (begins(header, library[i])) {
                if (at_home(path, home[i]))
                    return 1
                wrong("<" header "> is at home in " home[i] " only")
                return -1
            }
        return 0
    }
    {
        path = $1
        sub(/:[0-9]+$/, "", path)
        split(path, part, "/")
        layer = part[1] == "ctl" ? "ctl" : part[2]
        header = $3
        written = ($2 == "a" ? "<" : "") header
        if (layer == "rl")
            for (i = 1; i <= banned_n; i++)
                if (begins(written, banned[i]))
                    wrong("rl is pure: no " header)
    }
    !(layer in known) { wrong("\"" layer "\" is no layer of STYLE.md"); next }
    $2 == "m" { wrong("an include by macro cannot be checked"); next }
    header ~ /\.pb-c\.h$/ {
        if (layer != "wire" && layer != "rpc" && layer != "admin" && layer != "weights" && !begins(path, "daemons/learner/admin/"))
            wrong("generated messages stay in wire, rpc, admin, weights and learner/admin: " header)
        next
    }
    $2 == "a" {
        if (third_party(path, header))
            next
        first = header
        sub(/[.\/].*/, "", first)
        if (!(first in standard))
            wrong("<" header "> has no home: add it to the table of libraries")
        next
    }
    {
        if (third_party(path, header))
            next
        target = header
        if (!sub(/\/.*/, "", target) || !(target in known))
            wrong("\"" header "\": write the path that begins with a layer (\"base/err.h\")")
        else if (target != layer && index(" " allowed[layer], " " target " ") == 0 &&
                 index(" " allowed[layer], " " header " ") == 0)
            wrong(layer " may not include " target " (\"" header "\")")
        else if (target == layer && layer in has_rooms)
            room_check(room_of(substr(path, index(path, "/") + 1)), room_of(header))
    }
    END { exit bad }'
