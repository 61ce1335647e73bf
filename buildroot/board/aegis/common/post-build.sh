#!/usr/bin/env bash
# Buildroot's target tree once the overlay is in: what image/root makes besides, and none of what only Buildroot's
# skeleton has. May run again on the same tree.
#   post-build.sh TARGET_DIR
set -euo pipefail
image=$(cd -- "$(dirname -- "$0")/../../../../image" && pwd -P)
# shellcheck disable=SC1091 source=image/lib.sh
. "$image/lib.sh"

tree=$1
mkdir -p "$tree"/{dev,proc,sys,run,tmp,data,media/stick,workload,scratch,var,usr/lib/aegis}
ln -sfnT ../run "$tree/var/run"
ln -sfnT ../tmp "$tree/var/tmp"
ln -sfnT /proc/self/mounts "$tree/etc/mtab"

# (Without a dynamic loader musl's rule leaves a link of that very name, its star.)
for path in linuxrc lib64 usr/lib64 'usr/lib/ld-musl*' dev/{fd,stdin,stdout,stderr} usr/lib/os-release usr/share/udhcpc \
    etc/{hostname,issue,os-release,profile,profile.d,protocols,resolv.conf,services,shells}; do
    rm -rf -- "${tree:?}/$path"
done
# Empty in the skeleton; what a package of yours put there stays.
for path in mnt opt root run/lock usr/libexec usr/share; do
    [[ ! -d $tree/$path ]] || rmdir --ignore-fail-on-non-empty -- "$tree/$path"
done

# Here, not by the package: a change of the option alone installs no package again.
variant=production
if grep -qx BR2_PACKAGE_AEGIS_DEBUG=y "$BR2_CONFIG"; then
    variant=debug
    say "debug variant: it has a shell and tools, and is none for the field"
fi
printf '%s\n' "$variant" >"$tree/etc/aegis/variant"

# The host's own, if Buildroot built none.
PATH=$HOST_DIR/sbin:$HOST_DIR/bin:$PATH "$image/data-template" "$tree/usr/lib/aegis/data.ext4"

# A device with a baseline that its own root does not allow would start without a policy.
if [[ -x $HOST_DIR/bin/aegisctl ]]; then
    "$HOST_DIR/bin/aegisctl" bundle verify --root "$tree/etc/aegis/root.cbor" "$tree/etc/aegis/baseline.aegis" >&2 ||
        die "BR2_PACKAGE_AEGIS_BASELINE is not signed for BR2_PACKAGE_AEGIS_ROOT_CBOR (\`make policy\`, or name another)"
fi
