#!/usr/bin/env bash
# The copy of the target tree that becomes the root file system, last thing before mksquashfs: links, modes and
# promises as in image/root.
#   post-fakeroot.sh TARGET_DIR
set -euo pipefail
# shellcheck disable=SC1091 source=image/lib.sh
. "$(dirname -- "$0")/../../../../image/lib.sh"

tree=$1
need readelf

[[ -f $tree/usr/bin/aegis && $(readlink -- "$tree/usr/bin/init") == aegis ]] || die "no init (BR2_PACKAGE_AEGIS)"
within_limits "$tree/usr/bin" "BR2_PACKAGE_AEGIS"
variant=$(cat "$tree/etc/aegis/variant")
case $variant in
    production)
        ours=$(programs | sed 's/ .*//; s/^/\/usr\/bin\//'; echo /usr/bin/init)
        mapfile -t others < <(cd "$tree" && find . \( -type f -perm /111 -o -path './usr/bin/*' \) -printf '/%P\n' | grep -vxF "$ours" | sort)
        ((${#others[@]} == 0)) ||
            die "${#others[@]} programs beside ours: ${others[*]:0:5} (of a package that the production variant can't have, or left by an earlier build: make clean)"
        ;;
    debug)
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
        [[ -f $tree/usr/bin/cttyhack ]] || die "no cttyhack, with which init starts the shell (BR2_PACKAGE_BUSYBOX)"
        # busybox's own shell runs its tools without exec, so a script's steps would not be seen; this one execs.
        [[ -f $tree/usr/bin/mksh ]] || die "no mksh for /bin/sh (BR2_PACKAGE_MKSH)"
        mv -fT -- "$tree/usr/bin/mksh" "$tree/usr/bin/sh"
        ;;
    *) die "/etc/aegis/variant: no variant $variant (production, debug)" ;;
esac

# Nothing setuid (Buildroot makes busybox so), nothing that only its owner may read: the root is nobody's secret.
find "$tree" -type d -exec chmod 755 {} +
find "$tree" -type f -perm /111 -exec chmod 755 {} +
find "$tree" -type f ! -perm /111 -exec chmod 644 {} +

# Of each inode one name: the tools are one.
while IFS= read -r -d '' path; do
    # Scripts have no such headers.
    headers=$(readelf -lW -- "$path" 2>/dev/null) || continue
    [[ $headers != *INTERP* ]] || die "${path#"$tree"}: needs a dynamic loader, the image has none (BR2_STATIC_LIBS)"
done < <(find "$tree" -type f -perm /111 -printf '%i\t%p\0' | sort -zu -k1,1 | cut -zf2-)
