#!/usr/bin/env bash
# No circle among the objects of our libraries and programs: circles.sh [BUILD [ROOT]] prints each circle with its arrows; 1 if
# there is one. An arrow goes from an object that lacks a symbol to the object that has it (nm). An object whose source is gone from
# ROOT is left over from an older build and does not count.
set -euo pipefail
build=${1:-build}
root=$(cd "${2:-"$(dirname "$0")/../.."}" && pwd)
cd "$build"

# Objects are CMakeFiles/TARGET.dir/SOURCE.o; those of tests lie below tests/.
objects()
{
    local object source
    find CMakeFiles -name '*.o' | sort | while read -r object; do
        source=${object#CMakeFiles/*.dir/}
        [[ $source =~ ^(common|daemons|ctl)/ && -e $root/${source%.o} ]] && echo "$object" || true
    done
}

list=$(objects)
[[ -n $list ]] || {
    echo "circles: $build has no objects: build first" >&2
    exit 1
}
xargs nm -AP <<<"$list" | awk '
    { object = substr($1, 1, length($1) - 1); objects[object] = 1 }
    $3 == "U" { lacks[object] = lacks[object] " " $2 }
    $3 ~ /^[TDBRC]$/ && !($2 in owner) { owner[$2] = object }
    function name(object) { sub(/^CMakeFiles\/[^\/]*\.dir\//, "", object); sub(/\.o$/, "", object); return object }
    # Every object that arrows lead to from the one given.
    function walk(from,    top, stack, at, n, i, heads) {
        stack[top = 1] = from
        while (top) {
            at = stack[top--]
            n = split(arrows[at], heads, " ")
            for (i = 1; i <= n; i++)
                if (!((from, heads[i]) in reach)) {
                    reach[from, heads[i]] = 1
                    stack[++top] = heads[i]
                }
        }
    }
    END {
        for (object in objects) {
            n = split(lacks[object], symbols, " ")
            for (i = 1; i <= n; i++) {
                to = owner[symbols[i]]
                if (to == "" || to == object) continue
                if (!((object, to) in by)) arrows[object] = arrows[object] " " to
                by[object, to] = by[object, to] " " symbols[i]
            }
        }
        for (object in arrows) walk(object)
        for (object in arrows) {
            if (object in told || !((object, object) in reach)) continue
            bad = 1
            print "a circle:"
            for (member in objects) {
                if (!((object, member) in reach) || !((member, object) in reach)) continue
                told[member] = 1
                n = split(arrows[member], heads, " ")
                for (i = 1; i <= n; i++)
                    if ((heads[i], object) in reach && (object, heads[i]) in reach)
                        print "    " name(member) " -> " name(heads[i]) ":" by[member, heads[i]]
            }
        }
        exit bad
    }'
