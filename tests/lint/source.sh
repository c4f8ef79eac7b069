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
daemons/rewarder/sandbox/sandbox.c	a child's pipes
daemons/sandbox/control_group.c	control groups: files of the kernel
daemons/sandbox/census.c	/proc, and a directory that others filled
daemons/sandbox/files.c	names for Landlock's rules
daemons/sandbox/orders.c	the line that tells how a program ended
daemons/sandbox/spaces.c	namespaces: files of the kernel
daemons/sandbox/trial.c	tries what must be denied
daemons/sandbox/watch.c	pipes between its own processes, and signals as a file
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
    find "${trees[@]}" -type f \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) | sort
}

# One pass over all files: banned words, calls of the system, bodies, lengths. FILE:LINE: what is wrong.
check_files()
{
    sources | xargs -r awk -v banned="$(printf '%s\n' "${BANNED[@]}")" -v calls="$SYSTEM_CALLS" \
        -v homes="$(printf '%s\n' "${SYSTEM_HOMES[@]}")" '
    function whole(words) { return "(^|[^A-Za-z0-9_])(" words ")([^A-Za-z0-9_]|$)" }
    function say(at, what) { print FILENAME ":" at ": " what }
    BEGIN {
        rows = split(banned, row, "\n")
        for (i = 1; i <= rows; i++) { split(row[i], cell, "\t"); word[i] = cell[1]; why[i] = cell[2]; pattern[i] = whole(cell[1]) }
        for (i = split(homes, row, "\n"); i; i--) { split(row[i], cell, "\t"); home[cell[1]] = 1 }
        unfinished = whole("TODO|FIXME|XXX|HACK")
        typed = "(^|[^A-Za-z0-9_])typedef[ \t]+(struct|union|enum)([^A-Za-z0-9_]|$)"
        system_call = "(^|[^A-Za-z0-9_>.])(" calls ")[ \t]*\\("
    }
    # The line without comments and the insides of strings.
    function code_of(line,    out, at) {
        while (length(line)) {
            if (comment) {
                if (!(at = index(line, "*/"))) break
                line = substr(line, at + 2)
                comment = 0
            } else if (match(line, /"([^"\\]|\\.)*"|\/\/.*|\/\*|\047([^\047\\]|\\.)+\047/)) {
                out = out substr(line, 1, RSTART - 1)
                if (substr(line, RSTART, 2) == "/*") comment = 1
                else if (substr(line, RSTART, 2) != "//") out = out "\"\""
                line = substr(line, RSTART + RLENGTH)
            } else { out = out line; line = "" }
        }
        return out
    }
    function end_file() {
        if (file && lines > most_lines) print file ": " lines " lines; at most " most_lines
    }
    FNR == 1 {
        end_file()
        file = FILENAME
        comment = start = 0
        test = file ~ /^tests\//
        kernel = file ~ /^common\/tensor\/(cpu|cuda)\//
        table = file ~ /(_table|\/rows_[a-z]+)\.h$/
        # Kernels and tests may have longer bodies. Tables and kernels may be longer than a header that is read from top to bottom.
        most_body = kernel || test ? 500 : 50
        most_lines = file ~ /\.h$/ && !test && !kernel && !table && file != "common/tensor/backend.h" ? 130 : 500
    }
    {
        lines = FNR
        code = code_of($0)
    }
    code !~ /^[ \t]*#[ \t]*include/ {
        for (i = 1; i <= rows; i++)
            if (code ~ pattern[i] && !(file ~ /^tests\/testing\// && word[i] ~ /setjmp/))
                say(FNR, "\047" word[i] "\047 is banned: " why[i])
    }
    # Lanes: a struct stands in for what is a vector type elsewhere. The emulator has the names of CUDA.
    code ~ typed && code !~ /typedef struct err_t err_t/ && file !~ /^(common\/tensor\/cpu|tests\/cuda_emu\/include)\// {
        say(FNR, "no typedef of a struct, union or enum")
    }
    $0 ~ unfinished { say(FNR, "unfinished work has no place in the tree") }
    !test && !(file in home) {
        if (code ~ system_call)
            say(FNR, "clock, disk and randomness are reached through base/env.h")
        if (file !~ /^common\/svc\// && code ~ /(^|[^A-Za-z0-9_])metric_value([^A-Za-z0-9_]|$)/)
            say(FNR, "a metric shows a figure and is never read back: svc/cell.h")
    }
    # Bodies begin and end with a brace in column one.
    code ~ /^\{/ { start = FNR }
    start && code ~ /^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|else)/ { say(FNR, "no conditional compilation inside a body") }
    code ~ /^\}/ {
        if (start && FNR - start - 1 > most_body)
            say(start, "a body of " FNR - start - 1 " lines; at most " most_body)
        start = 0
    }
    # Tables have a row a line; an example of use and a string are not broken.
    length > 100 && !table && !/"/ && !/\\$/ && !/^ \*     |^\/\*    / { say(FNR, length " columns; at most 100") }
    END { end_file() }'
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
        \( -name '*.[ch]' -o -name '*.c[pu]*' -o -name '*.py' -o -name '*.sh' -o -name '*.md' -o -name '*.txt' -o -name '*.yaml' \
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
found=$(check_files)
[[ -z $found ]] || say "$found"
check_names
check_rooms
check_space
exit $bad
