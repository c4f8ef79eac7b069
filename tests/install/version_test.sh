#!/usr/bin/env bash
# version_test.sh CMAKE: the version that cmake/version.cmake finds in repositories and copies of every kind.
set -euo pipefail
cmake=$1 here=$(cd "$(dirname "$0")/../.." && pwd)
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
command -v git >/dev/null || exit 77

# want DIRECTORY VERSION
want()
{
    local got
    rm -rf "$top/build"
    "$cmake" -S "$1" -B "$top/build" >"$top/log" 2>&1 || { cat "$top/log" && exit 1; }
    got=$(sed -n 's/.*version_text.*"\(.*\)";/\1/p' "$top/build/version.c")
    [[ $got == "$2" ]] || { echo "wanted '$2', got '$got'" && exit 1; }
}

tree=$top/tree
mkdir -p "$tree/cmake"
cp "$here"/cmake/version.* "$tree/cmake"
cp "$here/.gitattributes" "$tree"
printf 'cmake_minimum_required(VERSION 3.25)\nproject(x VERSION 9.8.7 LANGUAGES NONE)\ninclude(cmake/version.cmake)\n' \
    >"$tree/CMakeLists.txt"
want "$tree" 9.8.7
cd "$tree"
git init -q && git add . && git commit -qm one
want "$tree" "9.8.7-g$(git describe --always)"
git tag v9.9.0
want "$tree" 9.9.0
echo >>CMakeLists.txt
want "$tree" 9.9.0-dirty
git commit -qam two
want "$tree" "9.9.0-1-g$(git describe --always --exclude '*')"
mkdir "$top/archive"
git archive v9.9.0 | tar -xf - -C "$top/archive"
want "$top/archive" 9.9.0
echo "versions of a copy, a commit, a tag, a change, a commit after a tag, an archive"
