#!/usr/bin/env bash
# Buildroot's images under the quick builder's names, the disk laid out by the quick builder's own script: there is one
# definition of the layout, and it is image/disk. (No genimage.cfg: it would be a second.)
#   post-image.sh BINARIES_DIR
set -euo pipefail
image=$(cd -- "$(dirname -- "$0")/../../../../image" && pwd -P)
# shellcheck disable=SC1091 source=image/lib.sh
. "$image/lib.sh"

images=$1
# x86_64 leaves bzImage, aarch64 Image.
for kernel in bzImage Image; do
    [[ ! -f $images/$kernel ]] || ln -sfnT "$kernel" "$images/vmlinuz"
done
# What a firmware starts: on aarch64 packed, it unpacks itself (external.mk).
started=$images/vmlinuz
[[ ! -f $images/vmlinuz.efi ]] || started=$images/vmlinuz.efi
[[ -f $images/vmlinuz ]] || die "$images: no kernel (BR2_LINUX_KERNEL)"

# option NAME: what the configuration says, without its quotes. Our defaults hold a make variable, which stands there as it was written.
option() {
    local value
    value=$(sed -n "s/^$1=\"\(.*\)\"$/\1/p" "$BR2_CONFIG")
    # shellcheck disable=SC2016  # it is make's
    printf '%s\n' "${value//'$(BR2_EXTERNAL_AEGIS_PATH)'/${BR2_EXTERNAL_AEGIS_PATH:-$image/../buildroot}}"
}
arch=x86_64
grep -qx BR2_aarch64=y "$BR2_CONFIG" && arch=aarch64
# Where the quick builder has it, and so whoever boots it.
place=$images
grep -qx BR2_PACKAGE_AEGIS_DEBUG=y "$BR2_CONFIG" && place=$images/debug
keys=$(option BR2_PACKAGE_AEGIS_SECURE_BOOT)
version=$(option BR2_PACKAGE_AEGIS_VERSION)
boot=()
if [[ $place != "$images" ]]; then
    say "debug variant: nothing of it is signed, the disk's ESP is empty"
elif [[ -n $keys ]]; then
    boot=("$started" "$keys" "$version")
else
    say "no Secure Boot keys (BR2_PACKAGE_AEGIS_SECURE_BOOT): the disk's ESP is empty"
fi

rm -rf "$images/.disk"
mkdir -p "$images/.disk" "$place"
"$image/disk" "$arch" "$images/rootfs.squashfs" "$images/.disk" "${boot[@]}"
# Of the variant for the field, as the quick builder.
[[ $place != "$images" ]] || root_within_limits "$images/.disk/root.img" "$images/vmlinuz"
# What is on the ESP is listed where there is one.
{
    while IFS=$'\t' read -r what rest; do
        case $what in
            kernel) ((${#boot[@]} == 0)) || printf '%s\t%s\n' "$(sha256sum <"$started" | cut -d' ' -f1)" "$rest" ;;
            *) printf '%s\t%s\n' "$what" "$rest" ;;
        esac
    done <"$images/.parts/others"
    ((${#boot[@]} == 0)) || efi_parts "$arch"
} >"$images/.parts/all"
"$image/sbom" image "$arch" "$version" "$images/.parts/crates" "$images/rootfs.squashfs" "$images/.parts/all" >"$images/.disk/sbom.cdx.json"
for made in "$images/.disk"/*; do
    mv -f "$made" "$place/"
done
rmdir "$images/.disk"
say "$place/system.img: $(du --block-size=1 "$place/system.img" | cut -f1) bytes on disk"
