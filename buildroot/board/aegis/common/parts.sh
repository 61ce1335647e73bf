#!/usr/bin/env bash
# What the list of parts (image/sbom) needs to know before post-image.sh makes it: the crates of our programs, by the cargo that
# built them, and what Buildroot built beside them, by its versions. Into BINARIES_DIR/.parts.
#   parts.sh SOURCE TARGET BINARIES_DIR NAME=VERSION...
set -euo pipefail
image=$(cd -- "$(dirname -- "$0")/../../../../image" && pwd -P)
# shellcheck disable=SC1091 source=image/lib.sh
. "$image/lib.sh"

source=$1 target=$2 parts=$3/.parts
shift 3
mapfile -t ours < <(programs | cut -d' ' -f1)
mkdir -p "$parts"
"$image/crates" "$source" "$target" "${ours[@]}" >"$parts/crates"
for other; do
    name=${other%%=*} version=${other#*=}
    case $name in
        linux) place=kernel licence=GPL-2.0-only ;;
        busybox) place=/usr/bin/busybox licence=GPL-2.0-only ;;
        mksh) place=/usr/bin/sh licence=MirOS ;;
        # In the two above.
        musl) place=- licence=MIT ;;
        *) die "parts.sh: no part $name" ;;
    esac
    [[ -n $version ]] || die "parts.sh: no version of $name"
    part "$place" "$name" "$version" "pkg:generic/$name@$(encoded "$version")" "$licence"
done >"$parts/others"
