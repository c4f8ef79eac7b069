#!/usr/bin/env bash
# completion_test.sh BIN SCRIPTS: Tab in real shells, with the installed scripts: zsh finds its own in fpath, at the first completion of
# a session, and by `source`; bash loads its own. 77: no zsh.
set -euo pipefail
bin=$1 scripts=$2
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
mkdir "$top/fpath"
cp "$scripts/_rlhfctl" "$top/fpath"

# bash: the words that the function offers for a line.
offers()
{
    PATH=$bin:$PATH bash --norc -c 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _rlhfctl 2>/dev/null; echo "${COMPREPLY[*]}"' \
        bash "$scripts/rlhfctl" "$@"
}
[[ $(offers rlhfctl back) == backup && $(offers rlhfctl set lag.ma) == *lag.max=* ]] || { echo "bash: $(offers rlhfctl set lag.ma)" && exit 1; }
command -v zsh >/dev/null || { echo "no zsh" && exit 77; }

cat >"$top/type.zsh" <<'ZSH'
# type.zsh SETUP LINE: a session on a terminal of its own; the line is typed, then Tab; prints what the line has become.
zmodload zsh/zpty
zpty -b shell zsh -f -i
zpty -w shell "PS1=; unsetopt beep; $1; show() { print -r -- \"<\$BUFFER>\"; zle kill-buffer; }; zle -N show; bindkey '^X' show; print ready''now"
wait_for()
{
    local text= part
    repeat 400; do
        if zpty -rt shell part; then text+=$part; else sleep 0.05; fi
        [[ $text == *${~1}* ]] && { seen=$text; return 0; }
    done
    print -r -- "no $1 in: $text"
    exit 1
}
wait_for readynow
zpty -wn shell "$2"$'\t'
zpty -wn shell $'\x18'
wait_for '<*>'
print -r -- "${${seen##*<}%%>*}"
zpty -d shell
ZSH
bad=0
# typed SETUP LINE WANTED
typed()
{
    local got
    got=$(PATH=$bin:$PATH TERM=dumb zsh -f "$top/type.zsh" "$1" "$2") || true
    [[ $got == "$3" ]] || { echo "zsh, '$2' after '$1': '$got', wanted '$3'" && bad=1; }
}
installed="fpath=($top/fpath \$fpath); autoload -Uz compinit; compinit -u -d $top/dump"
sourced="autoload -Uz compinit; compinit -u -d $top/dump2; source <(rlhfctl completion zsh)"
for setup in "$installed" "$sourced"; do
    typed "$setup" "rlhfctl back" "rlhfctl backup "
    typed "$setup" "rlhfctl set lag.ma" "rlhfctl set lag.max="
    typed "$setup" "rlhfctl groups sho" "rlhfctl groups show "
done
exit $bad
