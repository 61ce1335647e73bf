# Shared by the scripts of image/: messages, hashes, atomic files, the private apt. Sourced, never run.
# shellcheck shell=bash

IMAGE_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
TOP=${IMAGE_DIR%/*}
CACHE=${AEGIS_CACHE:-${XDG_CACHE_HOME:-${HOME:?HOME or AEGIS_CACHE must be set}/.cache}/aegis}
export IMAGE_DIR TOP CACHE
export LC_ALL=C
umask 022
# sfdisk, mke2fs and friends live in sbin, which a plain user's PATH lacks.
PATH=$PATH:/usr/sbin:/sbin

# This machine's own userland: static, from Debian. lksh is the mksh package's build for /bin/sh.
# shellcheck disable=SC2034  # used by the scripts that source this
BUSYBOX=/bin/busybox
# shellcheck disable=SC2034
SHELL_STATIC=/bin/lksh
# What a firmware starts: systemd's stub and loader.
EFI_DIR=/usr/lib/systemd/boot/efi
# Tools a read-only appliance has no use for: servers, logins, modules, package managers.
# shellcheck disable=SC2034
LEFT_OUT='busybox|sh|ash|init|linuxrc|crond|crontab|depmod|dpkg|dpkg-deb|rpm|rpm2cpio|dumpleases|ftpd|getty|httpd|insmod|login|lsmod|mkpasswd|modinfo|modprobe|passwd|rmmod|su|sulogin|telnetd|tftpd|udhcpc|udhcpc6|udhcpd|vlock'

say() { printf 'image: %s\n' "$*" >&2; }
die() { printf 'image: %s\n' "$*" >&2; exit 2; }

# need COMMAND...: every tool present, or one line that says how to get it.
need() {
    local tool missing=()
    for tool; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    ((${#missing[@]} == 0)) || die "not installed: ${missing[*]} (run \`make deps\`)"
}

# input FILE WHAT MEND: a readable, non-empty regular file.
input() {
    [[ -f $1 && -r $1 && -s $1 ]] || die "$1: no $2 here ($3)"
}

# programs: the image's programs, a line each: name and the most bytes (image/limits).
programs() { awk '!/^#/ && NF == 2' "$IMAGE_DIR/limits"; }

# limit NAME: what else is measured, at most.
limit() { awk -v name="$1" '$1 == name && NF == 3 { print $2 }' "$IMAGE_DIR/limits"; }

# within WHAT BYTES MOST MEND: what is longer than image/limits lets it be is refused.
within() { (($2 <= $3)) || die "$1: $2 bytes, more than the $3 of image/limits ($4)"; }

# within_limits FOLDER MEND: every program of image/limits is there (MEND: what to do when it is not), and none is longer than it may be.
within_limits() {
    local name most any=
    while read -r name most; do
        input "$1/$name" "program $name" "$2"
        within "$1/$name" "$(stat -c %s "$1/$name")" "$most" "make it smaller; a debug build is no program for the image"
        any=yes
    done < <(programs)
    [[ -n $any ]] || die "image/limits: names no program"
}

# root_within_limits ROOT.img [KERNEL]: the root with its tree of hashes, and both together.
root_within_limits() {
    local root
    root=$(stat -c %s "$1")
    within "$1" "$root" "$(limit root)" "take something out"
    [[ -z ${2:-} ]] || within "kernel and root" $((root + $(stat -L -c %s "$2"))) "$(limit kernel-and-root)" "take something out"
}

# efi_arch ARCH: what UEFI calls the architecture (2.10, 3.5.1.1), and where its stub, loader and tools are.
# shellcheck disable=SC2034
efi_arch() {
    case $1 in
        x86_64) EFI_NAME=x64 EFI_TOOLS= ;;
        aarch64) EFI_NAME=aa64 EFI_TOOLS=aarch64-linux-gnu- ;;
        *) die "$1: no such architecture (x86_64, aarch64)" ;;
    esac
    local folder=${AEGIS_EFI:-$EFI_DIR}
    EFI_STUB=$folder/linux$EFI_NAME.efi.stub
    EFI_LOADER=$folder/systemd-boot$EFI_NAME.efi
    EFI_OBJCOPY=${EFI_TOOLS}objcopy
    EFI_OBJDUMP=${EFI_TOOLS}objdump
}

# part FILE NAME VERSION PURL LICENCE: a line for the list of parts (image/sbom), of what somebody else made.
part() { printf '%s\t%s\t%s\t%s\t%s\n' "$(sha256sum <"$1" | cut -d' ' -f1)" "${@:2}"; }

# encoded TEXT: as a package URL has it.
encoded() { printf '%s' "$1" | sed 's/%/%25/g; s/:/%3A/g; s/+/%2B/g'; }

# debian_purl PACKAGE VERSION ARCH [FILE]: of a package of Debian's.
debian_purl() { printf 'pkg:deb/debian/%s@%s?arch=%s%s\n' "$1" "$(encoded "$2")" "$3" "${4:+#$4}"; }

# efi_parts ARCH: systemd's stub and loader, whose versions they say themselves, Debian's with its own part.
efi_parts() {
    efi_arch "$1"
    local file version purl
    for file in "$EFI_STUB" "$EFI_LOADER"; do
        version=$(grep -aom1 '#### LoaderInfo: systemd-[a-z]* [^ #]*' "$file" | cut -d' ' -f4) || die "$file: says no version"
        case $version in
            *-*deb*) purl=$(debian_purl systemd-boot-efi "$version" "$(debian_arch "$1")" "${file##*/}") ;;
            *) purl="pkg:generic/systemd@$(encoded "$version")#${file##*/}" ;;
        esac
        part "$file" "systemd-boot-efi ${file##*/}" "$version" "$purl" LGPL-2.1-or-later
    done
}

# source_time: the time of the sources, Unix seconds, the same for the same sources: SOURCE_DATE_EPOCH, else the time of the last commit,
# else of the newest source.
source_time() {
    if [[ -n ${SOURCE_DATE_EPOCH:-} ]]; then
        [[ $SOURCE_DATE_EPOCH =~ ^[0-9]{1,19}$ ]] || die "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH: not seconds since 1970"
        printf '%s\n' "$SOURCE_DATE_EPOCH"
    elif ! git -C "$TOP" log -1 --format=%ct 2>/dev/null; then
        find "$IMAGE_DIR" "$TOP"/{firmware,policy-bundles,probes} -type f -printf '%T@\n' | sort -n | tail -n 1 | cut -d. -f1
    fi
}

# at_time COMMAND...: with the time of the sources for the time, where a tool writes it into what it makes: the same gives the same.
at_time() {
    TZ=UTC faketime -f "$(date --utc --date="@${SOURCE_DATE_EPOCH:-0}" '+%Y-%m-%d %H:%M:%S')" "$@"
}

# tree_hash PATH...: SHA-256 over relative name, executable bit and content of every file below the paths.
tree_hash() {
    local path
    for path; do
        [[ -e $path ]] || die "$path: missing"
        (
            cd -- "$(dirname -- "$path")" || exit
            find "$(basename -- "$path")" -type f -printf '%p %m\n' | sed -E 's/ .*[1357].*$/ x/; s/ [0-7]+$/ -/' | sort
            find "$(basename -- "$path")" -type l -printf '%p -> %l\n' | sort
            find "$(basename -- "$path")" -type f -print0 | sort -z | xargs -0r sha256sum
        )
    done | sha256sum | cut -d' ' -f1
}

# put SOURCE TARGET: copy through a temporary name, so a reader never sees half a file. Same content: left alone.
put() {
    cmp -s -- "$1" "$2" && return 0
    cp -- "$1" "$2.tmp.$$"
    mv -f -- "$2.tmp.$$" "$2"
}

# keep SOURCE_DIR TARGET_DIR: a finished result enters the cache, with its sums, by one rename.
keep() {
    (cd -- "$1" && sha256sum -- * >.sums && mv .sums sums) || return
    rm -rf -- "$2"
    mv -- "$1" "$2"
}

# intact DIR: a cached result is there and is what was put there (the host may have lost power since).
intact() {
    [[ -s $1/sums ]] && (cd -- "$1" && sha256sum --status --strict -c sums 2>/dev/null)
}

# hold LOCKFILE: one builder at a time; the lock goes when this shell ends.
hold() {
    mkdir -p -- "${1%/*}"
    exec {lock_fd}>"$1"
    if ! flock -n "$lock_fd"; then
        say "another build holds $1; waiting for it"
        flock "$lock_fd"
    fi
}

# --- a private apt: own sources, lists and cache; the system's own are read, never changed -----------------

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# debian_arch ARCH: what Debian calls it.
debian_arch() {
    case $1 in
        x86_64) echo amd64 ;;
        aarch64) echo arm64 ;;
        *) die "no packages for $1 (x86_64, aarch64)" ;;
    esac
}

# apt_suite ARCH LISTS PART...: from now on packages for ARCH come from these parts of Debian's archive, whose lists are
# kept in LISTS.
apt_suite() {
    APT_DIR=$2
    APT_PARTS=("${@:3}")
    APT_OPTIONS=(
        -q
        -o "APT::Architecture=$(debian_arch "$1")" -o "APT::Architectures=$(debian_arch "$1")"
        -o "Dir::Etc::sourcelist=$APT_DIR/sources.list" -o Dir::Etc::sourceparts=-
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null -o APT::Default-Release=
        -o "Dir::State::lists=$APT_DIR/lists" -o "Dir::Cache=$APT_DIR/cache"
        -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none -o Acquire::Retries=3
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o Acquire::AllowInsecureRepositories=false -o APT::Get::AllowUnauthenticated=false
    )
}
apt_suite x86_64 "$CACHE/apt" bookworm bookworm-backports bookworm-security

# system_mirror RELEASE FALLBACK: the URI the system itself takes RELEASE from, so that a local mirror serves us too.
system_mirror() {
    local uri
    # The field names are apt's own.
    # shellcheck disable=SC2016
    uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(CREATED_BY)' 2>/dev/null |
        awk -v release="$1" '$2 == release && $3 == "main" && $4 == "Packages" && $1 ~ /debian(-security)?\/?$/ { print $1; exit }')
    printf '%s\n' "${uri:-$2}"
}

# write_sources MAIN SECURITY: the mirrors of the archive and of its security updates.
write_sources() {
    local part mirror
    for part in "${APT_PARTS[@]}"; do
        mirror=$1
        [[ $part != *-security ]] || mirror=$2
        printf 'deb [signed-by=%s] %s %s main\n' "$KEYRING" "$mirror" "$part"
    done >"$APT_DIR/sources.list"
}

# apt_update: refresh the private lists. apt checks every signature against Debian's archive keyring.
apt_update() {
    local main=http://deb.debian.org/debian security=http://deb.debian.org/debian-security
    need apt-get apt-cache dpkg-deb
    [[ -r $KEYRING ]] || die "$KEYRING: missing (install debian-archive-keyring)"
    mkdir -p "$APT_DIR/lists/partial" "$APT_DIR/cache/archives/partial"
    write_sources "$(system_mirror "${APT_PARTS[0]}" "$main")" "$(system_mirror "${APT_PARTS[0]}-security" "$security")"
    say "asking Debian for its current packages"
    apt-get "${APT_OPTIONS[@]}" update >"$APT_DIR/update.log" 2>&1 && return 0
    # A partial local mirror may lack backports or security.
    write_sources "$main" "$security"
    apt-get "${APT_OPTIONS[@]}" update >"$APT_DIR/update.log" 2>&1 ||
        die "no package lists from Debian (is there a network? see $APT_DIR/update.log)"
}

# apt_version PACKAGE: the version apt would install.
apt_version() {
    local version
    version=$(apt-cache "${APT_OPTIONS[@]}" policy "$1" | awk '$1 == "Candidate:" { print $2 }')
    [[ -n $version && $version != '(none)' ]] || die "Debian ${APT_PARTS[0]} has no package $1 (see $APT_DIR/sources.list)"
    printf '%s\n' "$version"
}

# apt_fetch PACKAGE VERSION: prints the path of the verified .deb in the cache; older versions of it are dropped.
apt_fetch() {
    local packages=$CACHE/packages scratch deb
    mkdir -p "$packages"
    deb=$packages/$1_$2.deb
    if [[ ! -f $deb ]]; then
        say "downloading $1 $2"
        scratch=$(mktemp -d "$packages/.fetch.XXXXXX")
        (cd "$scratch" && apt-get "${APT_OPTIONS[@]}" download "$1=$2" >"$APT_DIR/download.log" 2>&1) || {
            rm -rf "$scratch"
            die "download of $1 $2 failed (see $APT_DIR/download.log)"
        }
        rm -f "$packages/$1"_*.deb
        mv "$scratch"/*.deb "$deb"
        rm -rf "$scratch"
    fi
    printf '%s\n' "$deb"
}
