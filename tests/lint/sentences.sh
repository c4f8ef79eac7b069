#!/usr/bin/env bash
# Hard sentences of comments and documents: more than 30 words, or a first word among what, who, that, it. Each kind of file has a
# limit, which only goes down: sentences.sh [ROOT] prints the sentences of a kind that has more; 1 if there is one.
#
#     sentences.sh --list KIND [ROOT]    file:line: words: the sentence; KIND is headers, sources or docs
#
# An example of use and a block of code are no sentences, nor is a cell of a table with up to four words.
set -euo pipefail
list=
[[ ${1:-} != --list ]] || { list=$2 && shift 2; }
cd "${1:-"$(dirname "$0")/../.."}"

# kind, at most so many.
LIMITS="headers 0
sources 306
docs 30"

files_of()
{
    local tree trees=()
    for tree in common daemons ctl tests; do
        [[ -d $tree ]] && trees+=("$tree")
    done
    case $1 in
    headers) ((!${#trees[@]})) || find "${trees[@]}" -name '*.h' ;;
    sources) ((!${#trees[@]})) || find "${trees[@]}" -name '*.c' -o -name '*.cu' ;;
    docs) find . -maxdepth 1 -name '*.md' ! -name DECISIONS.md && { [[ ! -d docs ]] || find docs -name '*.md'; } ;;
    *)
        echo "sentences: '$1' is none of headers, sources, docs" >&2
        exit 2
        ;;
    esac | sed 's|^\./||' | sort
}

hard()
{
    files_of "$1" | xargs -r awk -v kind="$1" -v most=30 '
    function end_sentence(    i, text, first) {
        if (count) {
            first = tolower(word[1])
            gsub(/[^a-z]/, "", first)
            if (words > most || (words > short && first ~ /^(what|who|that|it)$/)) {
                text = word[1]
                for (i = 2; i <= count; i++) text = text " " word[i]
                print file ":" begin ": " words ": " text
            }
        }
        count = words = 0
    }
    function say(text,    n, i, all) {
        n = split(text, all, /[ \t]+/)
        for (i = 1; i <= n; i++) {
            if (all[i] == "") continue
            if (!count) begin = FNR
            word[++count] = all[i]
            if (all[i] ~ /[A-Za-z0-9]/) words++
            if (all[i] ~ /[.?!][)"`*]*$/ && all[i] !~ /^(e\.g|i\.e|etc|cf|vs|\.\.)\.+$/) end_sentence()
        }
    }
    # A line of a block comment, without its star. An indented one is an example.
    function block(text) {
        sub(/^[ \t]*\*/, "", text)
        if (text ~ /^[ \t]*$/ || text ~ /^     /) end_sentence()
        else say(text)
    }
    function code(line,    at, own) {
        own = line ~ /^[ \t]*\/\//
        if (!inside && !own) end_sentence()
        while (length(line)) {
            if (inside) {
                at = index(line, "*/")
                block(at ? substr(line, 1, at - 1) : line)
                if (!at) return
                inside = 0
                end_sentence()
                line = substr(line, at + 2)
            } else if (match(line, /"([^"\\]|\\.)*"|\/\/.*|\/\*/)) {
                at = substr(line, RSTART, 2)
                if (at == "//") { say(substr(line, RSTART + 2, RLENGTH - 2)); return }
                if (at == "/*") { inside = 1; end_sentence() }
                line = substr(line, RSTART + RLENGTH)
            } else return
        }
    }
    function prose(line,    n, i, cells) {
        if (line ~ /^ *```/) { inside = !inside; end_sentence(); return }
        if (inside) return
        if (line ~ /^ *\|/) {
            end_sentence()
            n = split(line, cells, /\|/)
            short = 4
            for (i = 1; i <= n; i++) { say(cells[i]); end_sentence() }
            short = 0
            return
        }
        if (line ~ /^ *$/ || line ~ /^ *([-*#>]|[0-9]+\.) /) end_sentence()
        if (line ~ /^ *#/) return
        sub(/^ *([-*>]|[0-9]+\.) /, "", line)
        say(line)
    }
    FNR == 1 { end_sentence(); inside = 0; file = FILENAME }
    kind == "docs" { prose($0) }
    kind != "docs" { code($0) }
    END { end_sentence() }'
}

if [[ -n $list ]]; then
    hard "$list"
    exit 0
fi
bad=0
while read -r kind most; do
    found=$(hard "$kind")
    count=$(grep -c . <<<"$found" || true)
    ((count <= most)) || {
        echo "$found"
        echo "$count hard sentences in $kind; at most $most"
        bad=1
    }
done <<<"$LIMITS"
exit $bad
