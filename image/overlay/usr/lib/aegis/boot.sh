# Shared by the scripts of /etc/init.d. Sourced, never run.

STATE=/run/aegis        # markers of this boot

# Nobody at the serial line may stop what is said there (XOFF): whoever speaks would stand still with it.
stty -ixon -ixoff </dev/console 2>/dev/null

# stderr is the console, also where stdout is taken.
say() { echo "aegis: $*" >&2; }

# try SECONDS COMMAND...: bounded, so that no step can hang the boot. Exit code of the command; 143 when it was cut.
try() { timeout "$@"; }

# asked NAME: prints the value of NAME=VALUE on the kernel command line; true when NAME is there at all.
asked() {
    for word in $(cat /proc/cmdline); do
        case $word in
            "$1") return 0 ;;
            "$1"=*) echo "${word#*=}"; return 0 ;;
        esac
    done
    return 1
}

# on_trial: true when the image that runs was not seen healthy yet. By the name that the loader gave its kernel at this start: of a new
# one the tries left and the tries done are 3 together (firmware/aegis/src/image/slot.rs). It does not take the agent's word.
on_trial() {
    name=$(tr -d '\000' 2>/dev/null </sys/firmware/efi/efivars/LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f)
    count=${name##*+} count=${count%.efi*}
    case $count in
        *[!0-9-]*|'') return 1 ;;
        ?*-?*) [ $((${count%-*} + ${count#*-})) = 3 ] ;;
        *) return 1 ;;
    esac
}

# A stick is anybody's: nothing on USB may pass for one of our own partitions.
on_usb() {
    case $(readlink -f "/sys/class/block/$1") in
        */usb[0-9]*) return 0 ;;
    esac
    return 1
}

# partition LABEL: the device of the internal GPT partition with this label, or of one that `aegis storage prepare` vouches for.
partition() {
    for entry in /sys/class/block/*; do
        grep -qx "PARTNAME=$1" "$entry/uevent" 2>/dev/null || continue
        name=${entry##*/}
        on_usb "$name" && { say "ignoring the partition $1 on USB ($name)"; continue; }
        echo "/dev/$name"
        return 0
    done
    readlink "$STATE/partition/$1"
}

# disk SERIAL: the disk with this serial number.
disk() {
    for entry in /sys/block/*; do
        [ "$(cat "$entry/serial" 2>/dev/null)" = "$1" ] || continue
        echo "/dev/${entry##*/}"
        return 0
    done
    return 1
}

# port NAME: the virtio serial port of this name.
port() {
    for entry in /sys/class/virtio-ports/*; do
        [ "$(cat "$entry/name" 2>/dev/null)" = "$1" ] || continue
        echo "/dev/${entry##*/}"
        return 0
    done
    return 1
}
