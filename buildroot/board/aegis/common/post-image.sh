#!/usr/bin/env bash
# Buildroot's images under the quick builder's names, the disk laid out by the quick builder's own script: there is one
# definition of the layout, and it is image/disk. (No genimage.cfg: it would be a second.)
#   post-image.sh BINARIES_DIR
set -euo pipefail
image=$(cd -- "$(dirname -- "$0")/../../../../image" && pwd -P)
# shellcheck disable=SC1091 source=image/lib.sh
. "$image/lib.sh"

images=$1
if [[ -f $images/bzImage ]]; then
    arch=x86_64 kernel=bzImage
elif [[ -f $images/Image ]]; then
    arch=aarch64 kernel=Image
else
    die "$images: no kernel (BR2_LINUX_KERNEL)"
fi
ln -sfnT "$kernel" "$images/vmlinuz"

"$image/disk" "$arch" "$images/rootfs.squashfs" "$images/system.img.new" "$images/system.cmdline.new"
mv -f "$images/system.cmdline.new" "$images/system.cmdline"
mv -f "$images/system.img.new" "$images/system.img"
say "$images/system.img: $(stat -c %s "$images/system.img") bytes"
