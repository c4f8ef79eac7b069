#!/usr/bin/env bash
# What a row of a table says is said there alone: places.sh [ROOT] prints each other file whose code names it; 1 if there is one.
#
#     places.sh --find REGEX [ROOT]      file:line of what the code of common, daemons, ctl and proto has of it: comments do not count
#
# To hold a name: a line in the table below.
set -euo pipefail
regex=
[[ ${1:-} != --find ]] || { regex=$2 && shift 2; }
cd "${1:-"$(dirname "$0")/../.."}"

# Each objective's name, as its row has it. sft is a command, a job and a section of the recipe as well.
objectives()
{
    sed -nE 's/^ *(X\(|ROW_[A-Z_]+\(X, )([a-z0-9_]+), .*/\2/p' common/rl/rows_*.h 2>/dev/null | grep -vxE 'sft|name' | paste -sd '|'
}

# Extended regular expression, tab, the files that may name it: who has the row, who writes it, who reads it.
places()
{
    local names
    names=$(objectives) || true
    cat <<TABLE
COLUMN_REFERENCE_LOGP|reference_logp	common/rl/column_table.h common/rl/objective_table.h common/rl/rows_policy.h common/rl/rows_preference.h common/rl/rows_vocabulary.h common/rl/objective.c common/rl/reference_kl.c common/wire/rollout_v3.c daemons/rewarder/reference.c daemons/learner/offline/frozen.c daemons/learner/round/referring.c daemons/learner/round/stages.c proto/rollout_v3.proto
"(${names:-none})"	common/rl/rows_policy.h common/rl/rows_preference.h common/rl/rows_vocabulary.h common/rl/objective_table.h common/rl/pair_word_table.h common/rl/word_table.h common/svc/recipe/preset_table.h common/svc/recipe/recipe_words_table.h
FIGURE_clip_frac|clip_frac	common/rl/figure_table.h common/rl/objective_table.h
TABLE
}

# "file:line text" of all code, comments blanked.
code()
{
    find . -type f \( -path './common/*' -o -path './daemons/*' -o -path './ctl/*' -o -path './proto/*' \) \
        \( -name '*.[ch]' -o -name '*.cu' -o -name '*.proto' \) | sed 's|^\./||' | sort | xargs -r awk '
        FNR == 1 { comment = 0 }
        {
            out = ""
            line = $0
            while (length(line)) {
                if (comment) {
                    at = index(line, "*/")
                    if (!at) break
                    line = substr(line, at + 2)
                    comment = 0
                } else if (match(line, /"([^"\\]|\\.)*"|\/\/.*|\/\*/)) {
                    out = out substr(line, 1, RSTART - 1)
                    if (substr(line, RSTART, 2) == "/*") comment = 1
                    else if (substr(line, RSTART, 2) != "//") out = out substr(line, RSTART, RLENGTH)
                    line = substr(line, RSTART + RLENGTH)
                } else { out = out line; line = "" }
            }
            if (out ~ /[^ \t]/) print FILENAME ":" FNR " " out
        }'
}

if [[ -n $regex ]]; then
    code | grep -E "^[^ ]+ .*($regex)" || true
    exit 0
fi
all=$(code)
bad=0
while IFS=$'\t' read -r regex homes; do
    while IFS= read -r found; do
        [[ -n $found && " $homes " != *" ${found%%:*} "* ]] || continue
        echo "${found%% *}: only these name it: $homes"
        bad=1
    done < <(grep -E "^[^ ]+ .*(^|[^A-Za-z0-9_])($regex)([^A-Za-z0-9_]|\$)" <<<"$all" || true)
done < <(places)
exit $bad
