#!/usr/bin/env bash
# What Buildroot built beside our programs, by its versions, for the list of parts (image/sbom): lines as that takes them, but that the
# kernel's file, and whether it is on the ESP, is for post-image.sh to say.
#   parts.sh FILE NAME=VERSION...
set -euo pipefail
# shellcheck disable=SC1091 source=image/lib.sh
. "$(dirname -- "$0")/../../../../image/lib.sh"

file=$1
shift
mkdir -p "$(dirname -- "$file")"
for other; do
    name=${other%%=*} version=${other#*=}
    case $name in
        linux) place=kernel licence=GPL-2.0-only ;;
        # Places in the image's root.
        busybox) place=/usr/bin/busybox licence=GPL-2.0-only ;;
        mksh) place=/usr/bin/sh licence=MirOS ;;
        # In the two above.
        musl) place=- licence=MIT ;;
        *) die "parts.sh: no part $name" ;;
    esac
    [[ -n $version ]] || die "parts.sh: no version of $name"
    printf '%s\t%s\t%s\t%s\t%s\n' "$place" "$name" "$version" "pkg:generic/$name@$(encoded "$version")" "$licence"
done >"$file"
