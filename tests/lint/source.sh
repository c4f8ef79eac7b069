#!/usr/bin/env bash
# Names, banned words, lengths and white space of what STYLE.md's conventions fix: source.sh [ROOT]. Prints each violation.
set -euo pipefail
cd "${1:-"$(dirname "$0")/../.."}"
bad=0
trees=()
for tree in common daemons ctl tests; do
    [[ -d $tree ]] && trees+=("$tree")
done

# Extended regular expression, and why. Looked for in code, not in comments or strings.
readarray -t BANNED <<'TABLE'
goto	cleanup is SCOPED
(str|stp)n?(cpy|cat)	no bound, or no terminator: struct bytes, memcpy
v?sprintf	no bound: snprintf, mem_printf
gets	no bound
strtok	hidden state
alloca	unbounded stack
(atoi|atol|atof)	no errors: strtol and its end pointer
system	a shell
(setjmp|longjmp)	skips cleanup
__builtin_alloca	unbounded stack
TABLE

# Clock, disk and randomness are base/env.h's, so that tests make them fail. Who calls the system all the same, and why.
SYSTEM_CALLS='open|openat|creat|fopen|read|pread|readv|write|pwrite|writev|fsync|fdatasync|sync_file_range|rename|renameat|renameat2
    |unlink|unlinkat|rmdir|remove|mkdir|mkdirat|mkdtemp|mkstemp|link|linkat|symlink|symlinkat|truncate|ftruncate|fallocate
    |posix_fallocate|getrandom|getentropy|clock_gettime|gettimeofday|timespec_get|time|nanosleep|clock_nanosleep|usleep|sleep|opendir'
SYSTEM_CALLS=${SYSTEM_CALLS//[[:space:]]/}
readarray -t SYSTEM_HOMES <<'TABLE'
common/base/env.c	it is the seam
common/base/streams.c	runs before the first constructor
common/svc/mailbox.c	the kernel waits until a moment of its own clock
common/svc/child.c	a child between fork and exec, and its pipe
common/tensor/opaque/opaque.c	memory without a name
ctl/run/up.c	memory without a name
ctl/run/view.c	stdio on logs that others write
ctl/make/eval.c	stdio on the file that the caller names
ctl/make/scoring.c	a child's pipes
ctl/words/offers.c	a child's pipe
TABLE

say()
{
    echo "$*"
    bad=1
}

sources()
{
    ((${#trees[@]})) || return 0
    find "${trees[@]}" -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) | sort
}

# The file's code with comments and the insides of strings blanked, line by line.
code_of()
{
    awk '{
        out = ""
        line = $0
        while (length(line)) {
            if (comment) {
                at = index(line, "*/")
                if (!at) { line = ""; break }
                line = substr(line, at + 2)
                comment = 0
            } else if (match(line, /"([^"\\]|\\.)*"|\/\/.*|\/\*|\047([^\047\\]|\\.)+\047/)) {
                out = out substr(line, 1, RSTART - 1)
                if (substr(line, RSTART, 2) == "/*") comment = 1
                else if (substr(line, RSTART, 2) != "//") out = out "\"\""
                line = substr(line, RSTART + RLENGTH)
            } else { out = out line; line = "" }
        }
        print out
    }' "$1"
}

check_words()
{
    local file=$1 code=$2 row word reason found
    for row in "${BANNED[@]}"; do
        word=${row%%$'\t'*} reason=${row#*$'\t'}
        [[ $file == tests/testing/* && $word == *setjmp* ]] && continue
        found=$(grep -nwE "$word" <<<"$code" | grep -vE '^[0-9]+:[[:space:]]*#[[:space:]]*include' | head -n 3 | cut -d: -f1) || true
        for row in $found; do
            say "$file:$row: '$word' is banned: $reason"
        done
    done
    found=$(grep -nE '\btypedef[[:space:]]+(struct|union|enum)\b' <<<"$code" | grep -v 'typedef struct err_t err_t' | cut -d: -f1) || true
    [[ $file == common/tensor/cpu/* ]] && found=  # lanes: a struct stands in for what is a vector type elsewhere
    for row in $found; do
        say "$file:$row: no typedef of a struct, union or enum"
    done
    found=$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' "$file" | cut -d: -f1) || true
    for row in $found; do
        say "$file:$row: unfinished work has no place in the tree"
    done
}

check_system()
{
    local file=$1 code=$2 row
    [[ $file == tests/* ]] && return
    for row in "${SYSTEM_HOMES[@]}"; do
        [[ $file == "${row%%$'\t'*}" ]] && return
    done
    found=$(grep -nE "(^|[^A-Za-z0-9_>.])($SYSTEM_CALLS)[[:space:]]*\(" <<<"$code" | cut -d: -f1) || true
    for row in $found; do
        say "$file:$row: clock, disk and randomness are reached through base/env.h"
    done
    [[ $file == common/svc/* ]] && return
    found=$(grep -nw 'metric_value' <<<"$code" | cut -d: -f1) || true
    for row in $found; do
        say "$file:$row: a metric shows a figure and is never read back: svc/cell.h"
    done
}

# Bodies begin and end with a brace in column one. Kernels (tensor/cpu, tensor/cuda) and tests may be longer.
check_bodies()
{
    local file=$1 code=$2 limit=50
    [[ $file == common/tensor/cpu/* || $file == common/tensor/cuda/* || $file == tests/* ]] && limit=500
    awk -v file="$file" -v limit="$limit" '
        /^\{/ { start = NR }
        start && /^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|else)/ { print file ":" NR ": no conditional compilation inside a body" }
        /^\}/ { if (start && NR - start - 1 > limit) print file ":" start ": a body of " NR - start - 1 " lines; at most " limit; start = 0 }' \
        <<<"$code"
}

check_length()
{
    local file=$1 lines limit=500
    lines=$(wc -l <"$file")
    # Tables and kernels may be longer than a header that is read from top to bottom.
    [[ $file == *.h && ! $file =~ ^tests/|^common/tensor/(backend\.h|cpu/|cuda/)|_table\.h$ ]] && limit=130
    ((lines <= limit)) || say "$file: $lines lines; at most $limit"
    # Tables have a row a line; an example of use and a string are not broken.
    [[ $file == *_table.h ]] && return
    while read -r row; do
        say "$file:$row columns; at most 100"
    done < <(awk 'length > 100 && !/"/ && !/\\$/ && !/^ \*     |^\/\*    / { print NR ": " length }' "$file")
}

check_names()
{
    local names taken
    names=$(sources | grep '\.c$' | grep -vE '^tests/|/tensor/(cpu|cuda)/|/main\.c$') || return 0
    taken=$(sed 's|.*/||' <<<"$names" | sort | uniq -d)
    for name in $taken; do
        say "two files are named $name: $(grep "/$name\$" <<<"$names" | tr '\n' ' ')"
    done
    # These are settled: STYLE.md's tree names them, and no function of ours is called so.
    command -v nm >/dev/null || return 0
    for library in libc.so.6 libm.so.6; do
        library=$(find /lib /usr/lib -name "$library" -print -quit 2>/dev/null)
        [[ -n $library ]] && nm -D --defined-only "$library" 2>/dev/null
    done | awk '$2 ~ /[TWi]/ { sub(/@.*/, "", $3); print $3 }' | sort -u >"$scratch"
    for name in $(sed 's|.*/||; s|\.c$||' <<<"$names" | sort -u | comm -12 - "$scratch"); do
        [[ $name =~ ^(err|log|clock|step)$ ]] || say "$(grep "/$name\.c\$" <<<"$names"): $name is a function of libc"
    done
}

check_space()
{
    local found
    found=$(find . \( -name .git -o -name 'build*' -o -path ./runs -o -path ./run -o -path '*/data' \) -prune -o -type f \
        \( -name '*.[ch]' -o -name '*.cu*' -o -name '*.py' -o -name '*.sh' -o -name '*.md' -o -name '*.txt' -o -name '*.yaml' \
        -o -name '*.proto' -o -name '*.cmake' -o -name dev -o -name prepare -o -name compare \) -print0 |
        xargs -0 -r grep -HnE "[[:blank:]]+\$|"$'\r' | cut -d: -f1,2) || true
    for row in $found; do
        say "$row: white space at the end of the line"
    done
    found=$(sources | xargs -r grep -Hn $'\t' | cut -d: -f1,2) || true
    for row in $found; do
        say "$row: a tab; indent with four spaces"
    done
    found=$(grep -rnE 'ffast-math|Ofast|funsafe-math' --include='CMake*' --include='*.cmake' --exclude-dir='build*' . |
        grep -v '^[^:]*:[0-9]*:[[:space:]]*#' | cut -d: -f1,2) || true
    for row in $found; do
        say "$row: fast-math changes bits"
    done
}

check_rooms()
{
    local room count
    while read -r count room; do
        ((count <= 25)) || say "$room: $count .c files; at most 25"
    done < <(sources | grep '\.c$' | sed 's|/[^/]*$||' | sort | uniq -c)
}

scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT
while read -r file; do
    code=$(code_of "$file")
    check_words "$file" "$code"
    check_system "$file" "$code"
    found=$(check_bodies "$file" "$code")
    [[ -z $found ]] || say "$found"
    check_length "$file"
done < <(sources)
check_names
check_rooms
check_space
exit $bad
