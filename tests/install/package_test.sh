#!/usr/bin/env bash
# package_test.sh CPACK BUILD: the Debian package of BUILD. Packed twice it has the same bytes. Installed below a root of its own it
# has units that systemd takes, manuals without a warning, a recipe that only lacks its files, and the user. A recipe that was changed
# outlives an upgrade; remove keeps it and runs; purge leaves nothing. 77: dpkg or systemd's tools are not there, or no root.
set -euo pipefail
cpack=$1 build=$2
for tool in dpkg dpkg-shlibdeps systemd-sysusers systemd-tmpfiles; do
    command -v $tool >/dev/null || { echo "no $tool" && exit 77; }
done
((EUID == 0)) || { echo "dpkg --root needs root" && exit 77; }
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
root=$top/root

die()
{
    echo "package: $*"
    exit 1
}

# pack DIRECTORY: its package is $top/DIRECTORY/*.deb.
pack()
{
    SOURCE_DATE_EPOCH=1780000000 "$cpack" --config "$build/CPackConfig.cmake" -B "$top/$1" >"$top/log" 2>&1 || { cat "$top/log" && exit 1; }
}

in_root()
{
    DPKG_FRONTEND_LOCKED=1 dpkg --root="$root" --force-script-chrootless --force-depends --log=/dev/null --no-triggers "$@" \
        >"$top/log" 2>&1 </dev/null || { cat "$top/log" && exit 1; }
}

# All files of the root but dpkg's own and caches of the tools.
files()
{
    (cd "$root" && find . -path ./var/lib/dpkg -prune -o \( -type f -o -type l -o -type d \) -print | sort)
}

pack one
sleep 1
pack two
cmp "$top"/one/*.deb "$top"/two/*.deb || die "two packages of one build differ"
deb=$(echo "$top"/one/*.deb)

mkdir -p "$root"/var/lib/dpkg/{info,updates} "$root"/etc
touch "$root"/var/lib/dpkg/{status,available} "$root"/etc/{passwd,group,shadow,gshadow}
systemd-sysusers --root="$root" --inline 'u before - "a user that was there"'
files >"$top/before"
grep . "$root/etc/passwd" "$root/etc/group" >"$top/users"

in_root --install "$deb"
grep -q '^rlhfd:' "$root/etc/passwd" || die "no user rlhfd"
[[ $(stat -c %a "$root/var/lib/rlhfd") == 750 && $(stat -c %u "$root/var/lib/rlhfd") != 0 ]] || die "the wrong /var/lib/rlhfd"
if command -v systemd-analyze >/dev/null; then
    for target in sysinit basic shutdown network-online; do # what units of any machine have
        printf '[Unit]\nDescription=%s\n' $target >"$top/$target.target"
    done
    cp "$top"/*.target "$root/lib/systemd/system/"
    systemd-analyze verify --root="$root" --man=no rlhfd-learner.service rlhfd-generator@a.service rlhfd-rewarder@a.service \
        >"$top/log" 2>&1 && [[ ! -s $top/log ]] || { cat "$top/log" && die "systemd does not take the units"; }
    rm "$root"/lib/systemd/system/*.target
fi
if command -v man >/dev/null; then
    for page in "$root"/usr/share/man/man*/*.gz; do
        said=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l "$page" 2>&1 >"$top/page")
        [[ -z $said && -s $top/page ]] || die "$page: $said"
    done
    grep -q 'learner.groups' <(zcat "$root"/usr/share/man/man5/rlhfd-recipe.5.gz) || die "rlhfd-recipe(5) lacks learner.groups"
fi

# What each unit starts: the recipe is read, and the first thing that is wrong is a file that it names.
for unit in rlhfd-learner.service rlhfd-generator@.service rlhfd-rewarder@.service; do
    sed -n 's/^ExecStart=//p' "$root/lib/systemd/system/$unit" | sed "s| /| $root/|g; s|^/|$root/|; s/%i/a/; s/ \$OPTIONS//" >"$top/command"
    status=0
    # The rewarder lacks no file: it waits for a learner. Its own ports are free ones.
    timeout 60 $(cat "$top/command") --set net.join_timeout_s=1 --set rewarder.listen=127.0.0.1:0 >"$top/log" 2>&1 || status=$?
    [[ $unit == *rewarder* ]] && wanted="127.0.0.1:7003" || wanted="/var/lib/rlhfd/"
    grep -qF "$wanted" "$top/log" && ((status != 0 && status < 124)) || { cat "$top/command" "$top/log" && die "$unit: status $status"; }
    # The status of a wrong recipe is one after which the unit stays down.
    status=0
    $(cat "$top/command") --set learner.groups=none >"$top/log" 2>&1 || status=$?
    grep -qE "^RestartPreventExitStatus=(.* )?$status( |$)" "$root/lib/systemd/system/$unit" || die "$unit: status $status of a wrong recipe"
done

echo "# changed" >>"$root/etc/rlhfd/recipe.yaml"
touch "$root/var/lib/rlhfd/kept"
in_root --install "$deb"
grep -q '^# changed' "$root/etc/rlhfd/recipe.yaml" || die "an upgrade took the recipe"
in_root --remove rlhfd
[[ -e $root/etc/rlhfd/recipe.yaml && -e $root/var/lib/rlhfd/kept && ! -e $root/usr/bin/rlhfctl ]] || die "remove took too much or too little"
in_root --purge rlhfd
files >"$top/after"
diff "$top/before" "$top/after" || die "purge left or took something"
diff "$top/users" <(grep . "$root/etc/passwd" "$root/etc/group") || die "purge left or took a user"
