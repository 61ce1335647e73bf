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
