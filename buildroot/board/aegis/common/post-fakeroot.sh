#!/usr/bin/env bash
# The copy of the target tree that becomes the root file system, last thing before mksquashfs: links, modes and
# promises as in image/root.
#   post-fakeroot.sh TARGET_DIR
set -euo pipefail
# shellcheck disable=SC1091 source=image/lib.sh
. "$(dirname -- "$0")/../../../../image/lib.sh"

tree=$1
need readelf

# Each tool is a file of its own, not a link: a rule that denies one tool by its inode must not deny them all.
# mksquashfs makes inodes of them, and stores their blocks once. (external.mk: -no-hardlinks)
for path in "$tree"/usr/bin/*; do
    [[ -L $path && $(readlink -- "$path") =~ (^|/)busybox$ ]] || continue
    if grep -qxE "$LEFT_OUT" <<<"${path##*/}"; then
        rm -- "$path"
    else
        ln -f -- "$tree/usr/bin/busybox" "$path"
    fi
done
# busybox's own shell runs its tools without exec, so a script's steps would not be seen; this one execs.
if [[ -e $tree/usr/bin/mksh ]]; then
    mv -fT -- "$tree/usr/bin/mksh" "$tree/usr/bin/sh"
fi
[[ -f $tree/usr/bin/sh && ! -L $tree/usr/bin/sh ]] || die "no mksh for /bin/sh (BR2_SYSTEM_BIN_SH_MKSH)"
[[ -f $tree/usr/bin/init ]] || die "no init (BR2_PACKAGE_BUSYBOX and its CONFIG_INIT)"

# Nothing setuid (Buildroot makes busybox so), nothing that only its owner may read: the root is nobody's secret.
find "$tree" -type d -exec chmod 755 {} +
find "$tree" -type f -perm /111 -exec chmod 755 {} +
find "$tree" -type f ! -perm /111 -exec chmod 644 {} +

while IFS= read -r -d '' path; do
    # Scripts have no such headers.
    headers=$(readelf -lW -- "$path" 2>/dev/null) || continue
    [[ $headers != *INTERP* ]] || die "${path#"$tree"}: needs a dynamic loader, the image has none (BR2_STATIC_LIBS)"
done < <(find "$tree" -type f -perm /111 ! -samefile "$tree/usr/bin/busybox" -print0
    printf '%s\0' "$tree/usr/bin/busybox")
